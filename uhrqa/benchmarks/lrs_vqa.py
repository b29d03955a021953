"""LRS-VQA: open questions about FAIR1M, GLH-Bridge and STAR images, each a subset.

One JSON object a line, with the instruction inside `text` already. Its official scorer compares
without letter case and asks WordNet whether two words share a synset; nothing is stripped, so that
`urban.` is wrong. Records without truth or category do not count.

Source: Luo et al. 2025 (LRS-VQA); VisionXLab/LRS-VQA @1b3b6cd4.
"""

from __future__ import annotations

import math
from pathlib import Path

from uhrqa.benchmarks.fields import Fields
from uhrqa.benchmarks.items import DataSet, Item
from uhrqa.benchmarks.reading import (
    find_files,
    note_boxes,
    read_items,
    require_known,
    shows_nothing,
    some_of,
)
from uhrqa.benchmarks.synonyms import measure, same_meaning
from uhrqa.benchmarks.task import Average, Mark, Score, Scoring, Task, as_it_stands, plain_scorer

FILES = ("LRS_VQA_merged.jsonl", "*/LRS_VQA_merged.jsonl", "*.jsonl", "*.json", "*.parquet")
_RURAL, _COUNT, _WHY = "rural or urban", "count", "reasoning"
SIZES = {
    "FAIR": {
        _COUNT: 400, "object category": 387, "object shape": 285, "object status": 400, _WHY: 400,
        _RURAL: 400,
    },
    "GLH-Bridge": {_COUNT: 400, "object background": 245, "object color": 165, _RURAL: 252},
    "STAR": {
        _COUNT: 399, "object category": 600, "object color": 600, "object shape": 600,
        "object status": 600, _WHY: 600, _RURAL: 600,
    },
}  # fmt: skip
KNOWN = tuple(sorted({category for sizes in SIZES.values() for category in sizes}))


def load(place: Path, split: str = "") -> DataSet:
    """Read `LRS_VQA_merged.jsonl`, or a file like it.

    Raises:
        QuestionError: it cannot be read, or no record can be asked, or is of a known category.
    """
    notes: dict[str, None] = {}
    files = find_files(place, FILES, notes)
    dropped: list[int] = []
    boxless: list[int] = []

    def make(fields: Fields) -> Item | None:
        if fields.get("ground_truth", "answer") not in (None, "") and fields.get("category"):
            item = _item(fields)
            if shows_nothing(item, *_size(fields)):
                boxless.append(fields.number)
            return item
        dropped.append(fields.number)
        return None

    items, broken, count = read_items(files, notes, make)
    require_known(items, KNOWN, notes)
    note_boxes(boxless, notes)
    if dropped:
        notes[
            f"records without truth or category, left out as in the official scorer: "
            f"{len(dropped)} ({some_of(dropped)})"
        ] = None
    return DataSet(items, files, tuple(notes), broken, count)


def _size(fields: Fields) -> tuple[float, float]:
    """Width and height as a record tells them; infinite where it does not."""
    match fields.get("image_size"):
        case [int() | float() as width, int() | float() as height]:
            return width, height
    return math.inf, math.inf


def _item(fields: Fields) -> Item:
    name = fields.id("question_id", "id")
    return Item(
        fields.number,
        name,
        fields.words("text", "question"),
        fields.text("ground_truth", "answer"),
        fields.text("category"),
        subset_of(str(name)),
        fields.names("image", "image_name", "path"),
        fields.embedded,
        boxes=fields.box("hbox"),
    )


def subset_of(name: str) -> str:
    """The subset a question belongs to: what stands before the first `_` of its id."""
    start, line, _ = name.partition("_")
    return start if line else ""


def score_official(said: str, mark: Mark) -> Score:
    """Equal without letter case, or of one synset; nothing is stripped."""
    answer = said.lower()
    return answer, same_meaning(answer, mark.truth.lower())


def score_strict(said: str, mark: Mark) -> Score:
    """Equal without letter case, outer blanks and a closing full stop; no synonym counts."""
    answer = said.strip().rstrip(".").lower()
    return answer, answer == mark.truth.strip().rstrip(".").lower()


def official() -> tuple[str, Scoring]:
    """The authors' rule under their name, or under another without a WordNet."""
    return measure(), score_official


def _with_newline(item: Item) -> str:
    return f"{item.question}\n"


TASK = Task(
    "lrs-vqa",
    "LRS-VQA",
    "1",
    load,
    {"paper": as_it_stands, "authors": _with_newline},
    {"official": official, "strict": plain_scorer(score_strict, "exact match, stripped")},
    (Average("AA", "macro"), Average("OA", "micro")),
    of_subsets=SIZES,
)
