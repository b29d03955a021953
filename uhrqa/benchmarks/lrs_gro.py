"""LRS-GRO: open questions about a whole image, a region or an object.

JSON lines of its two training parts and the test set as `save_to_disk` wrote it. Boxes are drawn in
the image resized to a longer side of 1024. Its scorer strips answers, unlike LRS-VQA's. The
authors' protocol asks twice, the second time about a crop; here a question is asked once, and what
is scored is that answer.

Source: ZoomEarth (earth-insights/ZoomEarth @2d6bb5d8).
"""

from __future__ import annotations

from pathlib import Path

from uhrqa.benchmarks.fields import Fields
from uhrqa.benchmarks.items import DataSet, Item
from uhrqa.benchmarks.letters import TAGGED
from uhrqa.benchmarks.lrs_vqa import score_strict
from uhrqa.benchmarks.reading import (
    find_files,
    note_boxes,
    read_items,
    require_known,
    shows_nothing,
    some_of,
)
from uhrqa.benchmarks.records import read_records
from uhrqa.benchmarks.synonyms import measure, same_meaning
from uhrqa.benchmarks.task import (
    Average,
    Mark,
    Score,
    Scoring,
    Task,
    as_it_stands,
    in_short,
    plain_scorer,
)

FILES = (
    "test/data-*.arrow", "data-*.arrow", "*/data-*.arrow", "rl.jsonl", "LRS-GRO.jsonl", "*.jsonl",
    "*.parquet", "*.json",
)  # fmt: skip
FRAME = 1024  # px, longer side of the image that boxes are drawn in
TYPES = ("global", "region", "object")


def load(place: Path, split: str = "") -> DataSet:
    """Read the questions.

    Raises:
        QuestionError: they cannot be read, or none can be asked, or is of a known type.
    """
    notes: dict[str, None] = {}
    files = find_files(place, FILES, notes, _holds_questions)
    if place.is_dir():
        others = [path.name for path in sorted(place.glob("*.jsonl")) if path not in files]
        if others:
            notes[f"files beside the questions, left out: {some_of(others)}"] = None
    items, broken, count = read_items(files, notes, _item)
    require_known(items, TYPES, notes)
    boxless = [item.number for item in items if shows_nothing(item, FRAME, FRAME)]
    note_boxes(boxless, notes)
    return DataSet(items, files, tuple(notes), broken, count)


def _holds_questions(path: Path) -> bool:
    """Whether a file has an official name, or begins with a question.

    Answers stand beside questions, and what a model was trained on, which also tells reasons.
    """
    if path.name in FILES or path.suffix == ".arrow":
        return True
    first = next(read_records(path), None)
    if first is None or first.problem:
        return first is not None
    fields = Fields(path, first, {})
    taken = fields.has("answer1") or fields.has("stage_1_reasoning")
    return not taken and fields.has("type") and (fields.has("question") or fields.has("text"))


def _item(fields: Fields) -> Item:
    return Item(
        fields.number,
        fields.id("question_id", "id"),
        fields.words("question", "text"),
        fields.text("ground_truth", "answer"),
        fields.text("type"),
        "",
        fields.names("image_name", "image", "path"),
        fields.embedded,
        boxes=fields.box("bbox"),
        frame=FRAME,
        official={"category": fields.maybe("category")},
    )


def score_official(said: str, mark: Mark) -> Score:
    """What stands between answer tags, stripped: equal without letter case, or of one synset."""
    tagged = TAGGED.search(said)
    answer = (tagged[1] if tagged else said).strip().lower()
    return answer, same_meaning(answer, mark.truth.lower())


def official() -> tuple[str, Scoring]:
    """The authors' rule under their name, or under another without a WordNet."""
    return measure(), score_official


TASK = Task(
    "lrs-gro",
    "LRS-GRO",
    "1",
    load,
    {"short": in_short, "question": as_it_stands},
    {"official": official, "strict": plain_scorer(score_strict, "exact match, stripped")},
    (Average("overall", "micro"), Average("mean of types", "macro", TYPES)),
)
