"""MME-RealWorld, its remote-sensing part: five choices, of which the last says it is not there.

The authors' JSON array, lmms-eval's parquet and VLMEvalKit's TSV; of a file with other sub-tasks
only those about remote sensing are asked. The full set (3,738) and the Lite one (150) are told
apart by their number of questions.

Source: Zhang et al. 2024 (MME-RealWorld); yfzhang114/MME-RealWorld @87096fcf.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from uhrqa.benchmarks.fields import Fields
from uhrqa.benchmarks.items import DataSet, Item
from uhrqa.benchmarks.letters import (
    mme_authors,
    mme_lmms_eval,
    mme_vlmevalkit,
    strict_letters,
    unoffered,
)
from uhrqa.benchmarks.reading import find_files, read_items
from uhrqa.benchmarks.task import Average, Task, letter_scorer
from uhrqa.errors import QuestionError

FILES = (
    "MME_RealWorld_RS.json", "MME_RealWorld.json", "MME-RealWorld-Lite.json",
    "data/MME-RealWorld-Lite.json", "*/MME_RealWorld*.json", "MME*.tsv", "*.tsv", "data/*.parquet",
    "*.parquet", "*.json", "*.jsonl",
)  # fmt: skip
SIZES = {"position": 1257, "color": 1255, "count": 1226}
LITE = {"position": 50, "color": 50, "count": 50}
REMOTE = "remote sensing"
SELECT = (
    "Select the best answer to the above multiple-choice question based on the image. Respond with "
    "only the letter (A, B, C, D, or E) of the correct option."
)
ENGLISH = (
    "The choices are listed below:",
    SELECT,
    "The best answer is:",
)
CHINESE = (
    "选项如下所示:",
    "根据图像选择上述多项选择题的最佳答案。只需回答正确选项的字母（A, B, C, D 或 E）。",  # noqa: RUF001
    "最佳答案为：",  # noqa: RUF001
)
USUAL = ("index", "question", "answer", "path", "multi_choice_options")  # of the two harnesses
Words = tuple[str, str, str]


def load(place: Path, split: str = "") -> DataSet:
    """Read the remote-sensing questions of a file in one of the three forms.

    Raises:
        QuestionError: it cannot be read, none is about remote sensing, or none can be asked.
    """
    notes: dict[str, None] = {}
    files = find_files(place, FILES, notes)
    others = 0

    def make(fields: Fields) -> Item | None:
        nonlocal others
        if _subtask(fields) == REMOTE:
            return _item(fields)
        others += 1
        return None

    items, broken, count = read_items(files, notes, make, USUAL)
    if not items:
        raise QuestionError(f"{files[0]}: none of {others} records is about remote sensing")
    if others:
        notes[f"records of other sub-tasks, left out: {others}"] = None
    return DataSet(items, files, tuple(notes), broken, count)


def _subtask(fields: Fields) -> str:
    """Sub-task in small letters: `Subtask`, or what is behind the `/` of lmms-eval's category."""
    named = fields.get("subtask")
    if named is None and fields.get("l2_category") is not None:
        named = fields.text("category").rpartition("/")[2]
    return str(named if named is not None else REMOTE).strip().lower()


def _item(fields: Fields) -> Item:
    ours = fields.get("question_id", "index") is not None
    choices = read_choices(fields, "answer_choices", "multi_choice_options", "choices")
    return Item(
        fields.number,
        fields.id("question_id", "index") if ours else fields.number,
        fields.words("text", "question"),
        _letter(fields, choices),
        fields.text("l2_category" if fields.get("l2_category") else "category").strip().lower(),
        "",
        fields.names("image", "path"),
        fields.embedded,
        choices=choices,
        official={name: value for name, value in fields.raw.items() if name in OFFICIAL},
    )


OFFICIAL = (
    "Question Type",
    "Question type",
    "Task",
    "Subtask",
    "Category",
    "Dataset",
    "l2-category",
)


def _letter(fields: Fields, choices: tuple[str, ...]) -> str:
    letter = fields.text("ground_truth", "answer").strip()
    if not re.fullmatch("[A-E]", letter):
        raise fields.error(f"'ground_truth' is {letter[:20]!r}, no letter A to E")
    if unoffered(letter, choices):
        raise fields.error(f"'ground_truth' is '{letter}', none of its {len(choices)} choices")
    return letter


def read_choices(fields: Fields, *names: str) -> tuple[str, ...]:
    """Choices as written: a list, the text of a Python list, or lines that begin with a letter.

    Raises:
        QuestionError: there are none.
    """
    value = fields.get(*names)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            raise fields.error(f"'{names[0]}' is no list: {value[:40]!r}") from error
    if value is None:  # a column for each letter
        value = [f"({x.upper()}) {fields.get(x)}" for x in "abcde" if fields.get(x) is not None]
        if not value:
            raise fields.error(f"no '{names[0]}'")
    if value == []:
        raise fields.error(f"'{names[0]}' is empty")
    if not isinstance(value, list) or not all(isinstance(choice, str) for choice in value):
        raise fields.error(f"'{names[0]}' is no list of texts")
    return tuple(value)


def _words(item: Item) -> Words:
    """Instruction in the language of the question."""
    return CHINESE if re.search("[\u4e00-\u9fff]", item.question) else ENGLISH


def _prompt(form: str) -> Callable[[Item], str]:
    def prompt(item: Item) -> str:
        listed, select, best = _words(item)
        choices = "\n".join(item.choices)
        return form.format(
            question=item.question, listed=listed, choices=choices, select=select, best=best
        )

    return prompt


FORMS: Mapping[str, str] = {
    "paper": "{question} {listed} \n\n{choices}\n{select}",
    "paper-qwen": "{question}\n{choices}\n{select}",
    "authors": "{question} {listed} \n{choices}\n{select}\n{best}",
    "readme": "{question}\n\n{listed}\n{choices}\n{select}\n{best}",
    "lmms-eval": "{question} {listed}\n{choices}\n{select}\n{best} ",
    "vlmevalkit": "{question} {listed}\n{choices}\n{select} \n{best}",
}
"""`paper` is LRS-VQA's, which leaves out the last line; the next one is its script for Qwen-VL."""

TASK = Task(
    "mme-realworld-rs",
    "MME-RealWorld, remote sensing",
    "1",
    load,
    {name: _prompt(form) for name, form in FORMS.items()},
    {
        "official": letter_scorer(mme_authors),
        "lmms-eval": letter_scorer(mme_lmms_eval),
        "vlmevalkit": letter_scorer(mme_vlmevalkit),
        "strict": letter_scorer(strict_letters),
    },
    (Average("Avg", "micro"), Average("Avg-C", "macro")),
    sizes=SIZES,
)
