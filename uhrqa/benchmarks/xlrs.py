"""XLRS-Bench-lite: thirteen sub-tasks of choices; one of several letters, one about two images.

The folder that `save_to_disk` wrote, bare Arrow shards, parquet, and VLMEvalKit's JSON lines.

Source: Wang et al. 2025 (XLRS-Bench); lmms-eval @75571cfe, VLMEvalKit @e8e78f05.
"""

from __future__ import annotations

import re
from pathlib import Path

from uhrqa.benchmarks.fields import Fields
from uhrqa.benchmarks.items import DataSet, Item
from uhrqa.benchmarks.letters import LETTERS, strict_letters, unoffered, xlrs_letters
from uhrqa.benchmarks.mme_realworld import read_choices
from uhrqa.benchmarks.reading import find_files, read_items
from uhrqa.benchmarks.task import Average, Mark, Score, Task, plain_scorer

FILES = (
    "data-*.arrow", "train/data-*.arrow", "*/data-*.arrow", "*.parquet", "data/*.parquet",
    "XLRS-Bench-lite_part*.jsonl", "*.jsonl", "*.json", "*.tsv",
)  # fmt: skip
MANY = "Land use classification/Overall Land use classification"  # several letters may be right
PERCEPTION = {
    "Counting/Overall counting": 60,
    "Counting/Regional counting": 100,
    MANY: 100,
    "Land use classification/Regional Land use classification": 200,
    "Object properties/Object classification": 800,
    "Object properties/Object color": 800,
    "Object properties/Object motion state": 60,
    "Object spatial relationship/Object spatial relationship": 500,
}
REASONING = {
    "Complex reasoning/Anomaly Detection and Interpretation": 100,
    "Complex reasoning/Environmental condition reasoning": 100,
    "Complex reasoning/Route planning": 100,
    "Counting/Counting with changing detection": 60,
    "Counting/Counting with complex reasoning": 100,
}
SIZES = {**PERCEPTION, **REASONING}
LISTED = "The choices are listed below:\n"
ONE = (
    "Select the best answer for the multiple-choice question based on the image. Only respond with "
    "the letter corresponding to the correct answer (A, B, C, D)."
)
SEVERAL = (
    "Select the best answer(s) for the multiple-choice question based on the image. There may be "
    "more than one correct option. Only respond with the letter(s) corresponding to the correct "
    "answer(s) (A, B, C, D), with multiple choices separated by spaces."
)


def load(place: Path, split: str = "") -> DataSet:
    """Read the questions; pictures stay where they are.

    Raises:
        QuestionError: they cannot be read, or none can be asked, as where boxes are to be drawn.
    """
    notes: dict[str, None] = {}
    files = find_files(place, FILES, notes)
    items, broken, count = read_items(files, notes, _item)
    return DataSet(items, files, tuple(notes), broken, count)


def _item(fields: Fields) -> Item:
    if fields.get("bbox") is not None:
        raise fields.error(
            "is of the grounding set, which no scorer is published for; name XLRS-Bench-lite"
        )
    category = _category(fields)
    options, ready = fields.get("multi_choice_options", "options", "choices"), ""
    if isinstance(options, str) and not options.lstrip().startswith("["):
        ready, choices = options, tuple(re.findall(r"^\([A-E]\) .*$", options, re.MULTILINE))
        if not choices:
            raise fields.error("'multi-choice options' holds no line that begins with (A)")
        fields.note("choices are read from the prompt that stands in 'multi-choice options'")
    else:
        choices = read_choices(fields, "multi_choice_options", "options", "choices")
    return Item(
        fields.number,
        fields.id("index", "question_id", "id"),
        fields.words("question"),
        _truth(fields, choices),
        category,
        "",
        fields.names("image", "images", "path"),
        fields.embedded,
        choices,
        ready,
        many=category == MANY,
        official={"l2-category": fields.get("l2_category") or "default"},
    )


def _truth(fields: Fields, choices: tuple[str, ...]) -> str:
    """Letters as they are written, blanks and commas between them too."""
    truth = fields.text("answer")
    if not re.fullmatch(r"[A-Z\s,;()]*[A-Z][A-Z\s,;()]*", truth):
        raise fields.error(f"'answer' is {truth[:20]!r}, no letters")
    if outside := unoffered(truth, choices):
        raise fields.error(
            f"'answer' is '{truth}', and {outside} none of its {len(choices)} choices"
        )
    return truth


def _category(fields: Fields) -> str:
    """The category as it is written; where only its second half is, that of the thirteen."""
    written = fields.text("category").strip()
    if written in SIZES:
        return written
    plain = written.rpartition("/")[2].strip().casefold()
    for name in SIZES:
        if name.rpartition("/")[2].casefold() == plain:
            fields.note(f"category '{written}' is taken for '{name}'")
            return name
    fields.note(f"category '{written}' is none of the thirteen")
    return written


def lmms_prompt(item: Item) -> str:
    """As lmms-eval writes it; no blank stands before the choices."""
    end = f"{SEVERAL}The answer(s) is(are):" if item.many else f"{ONE}\nThe answer is:"
    return f"{item.question}{LISTED}" + "\n".join(item.choices) + f"\n\n{end}"


def kit_prompt(item: Item) -> str:
    """As VLMEvalKit's file has it ready; from the choices where it is another file."""
    return f"{item.question}{item.ready}" if item.ready else lmms_prompt(item)


def readme_prompt(item: Item) -> str:
    """As the authors' page writes it."""
    end = SEVERAL if item.many else f"{ONE}\nThe answer is:"
    return f"{item.question} {LISTED}" + "\n".join(item.choices) + f"\n{end}"


def score_official(said: str, mark: Mark) -> Score:
    """The set of letters is the truth's, which is not cleaned: a truth of `A C` never matches."""
    letters = xlrs_letters(said)
    return letters, set(letters) == set(mark.truth)


def score_strict(said: str, mark: Mark) -> Score:
    """The same for answers that are letters and nothing else, and truths with blanks or commas."""
    letters = strict_letters(said, mark.choices)
    wanted = set(re.findall(f"[{LETTERS}]", mark.truth.upper()))
    return letters, bool(letters) and set(letters) == wanted


TASK = Task(
    "xlrs",
    "XLRS-Bench-lite",
    "1",
    load,
    {"lmms-eval": lmms_prompt, "vlmevalkit": kit_prompt, "authors": readme_prompt},
    {"official": plain_scorer(score_official), "strict": plain_scorer(score_strict)},
    (
        Average("micro (w.Avg)", "micro"),
        Average("macro", "macro"),
        Average("macro of 13 (lmms-eval)", "macro", tuple(SIZES), absent=True),
        Average("perception, micro", "micro", tuple(PERCEPTION)),
        Average("reasoning, micro", "micro", tuple(REASONING)),
    ),
    sizes=SIZES,
)
