"""RSHR-Bench, its multiple-choice part: one image, several, or several turns about one.

`dataset.json` of XHRBench with its paths, and parquet; codes of categories are misspelt in the
release and kept. The only published scorer is that of UHR-BAT's script. Open questions, captions
and pairs have none and are left out.

Source: RSHR-Bench (Yunkaidang/RSHR @da52857e); UHR-BAT (Yunkaidang/UHR @e40a792c).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from uhrqa.benchmarks.fields import Fields
from uhrqa.benchmarks.items import DataSet, Item
from uhrqa.benchmarks.letters import rshr_letters, split_choice, strict_letters, unoffered
from uhrqa.benchmarks.reading import find_files, read_items
from uhrqa.benchmarks.task import Average, Mark, Score, Task, plain_scorer
from uhrqa.errors import QuestionError

FILES = (
    "dataset.json", "data/test-*.parquet", "*.parquet", "data-*.arrow", "*/data-*.arrow", "*.json",
    "*.jsonl",
)  # fmt: skip
PERCEPTION = (
    "color", "shape", "detection", "object_clasfication", "relation", "object_grounding",
    "regional_grouding", "object_counting", "regionla_counting",
)  # fmt: skip
REASONING = (
    "anomaly_detection", "future_prediction_two_image", "multi_region_join_contrast",
    "multi_region_join_contrast_singal", "object_state_judgement",
)  # fmt: skip
TURNS = (
    "multturn_anomaly_detection", "multitrun-future_prediction",
    "multiturn_object_state_judgement",
)  # fmt: skip
MENDED = {  # how the codes would be spelt
    "object_classification": "object_clasfication",
    "regional_grounding": "regional_grouding",
    "regional_counting": "regionla_counting",
    "multi_region_joint_contrast": "multi_region_join_contrast",
    "multi_region_joint_contrast_single": "multi_region_join_contrast_singal",
    "multiturn_anomaly_detection": "multturn_anomaly_detection",
    "multiturn_future_prediction": "multitrun-future_prediction",
}
KNOWN = {*PERCEPTION, *REASONING, *TURNS}


def load(place: Path, split: str = "") -> DataSet:
    """Read the multiple-choice questions.

    Raises:
        QuestionError: they cannot be read, none has choices, or none can be asked.
    """
    notes: dict[str, None] = {}
    files = find_files(place, FILES, notes)
    others = 0

    def make(fields: Fields) -> Item | None:
        nonlocal others
        if fields.get("options", "choices", "answer_choices", "multi_choice_options"):
            return _item(fields)
        others += 1
        return None

    items, broken, count = read_items(files, notes, make)
    if not items:
        raise QuestionError(f"{files[0]}: none of {others} records has choices in 'options'")
    if others:
        notes[f"records without choices, which no scorer is published for, left out: {others}"] = (
            None
        )
    return DataSet(items, files, tuple(notes), broken, count)


def _item(fields: Fields) -> Item:
    truth, choices = "".join(_letters(fields)), _choices(fields)
    if outside := unoffered(truth, choices):
        raise fields.error(
            f"'answer' is '{truth}', and {outside} none of its {len(choices)} choices"
        )
    written = fields.text("category", "task", "l2_category").strip()
    category = MENDED.get(written, written)
    if category != written:
        fields.note(f"category '{written}' is taken for '{category}', as the release spells it")
    elif category not in KNOWN:
        fields.note(f"category '{category}' is none of the {len(KNOWN)} that are known")
    return Item(
        fields.number,
        fields.id("id", "question_id", "index"),
        fields.words("question", "text"),
        truth,
        category,
        "",
        fields.names("images", "image", "path"),
        fields.embedded,
        choices,
        many=len(truth) > 1,
        turns=category in TURNS,
    )


def _choices(fields: Fields) -> tuple[str, ...]:
    """Choices as `A. red`: a mapping in the order of its letters; a list gets them."""
    value = fields.get("options", "choices", "answer_choices", "multi_choice_options")
    if isinstance(value, dict):
        present = {str(name): text for name, text in value.items() if text is not None}
        return tuple(f"{name}. {present[name]}" for name in sorted(present))
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        lettered = [split_choice(text) for text in value]
        return tuple(
            f"{letter or 'ABCDEF'[index % 6]}. {text}"
            for index, (letter, text) in enumerate(lettered)
        )
    raise fields.error("'options' is neither a mapping of letters nor a list of texts")


def _letters(fields: Fields) -> tuple[str, ...]:
    """The letters of the truth; of `A) Red` only what stands before the bracket."""
    value: Any = fields.get("answer", "ground_truth")
    if value is None:
        raise fields.error("no 'answer'")
    several = value if isinstance(value, list) else [value]
    found: list[str] = []
    for part in several:
        text = str(part).upper()
        head = text.partition(")")[0].strip(" (") if ")" in text else text
        found += re.findall("[A-F]", head) if re.fullmatch(r"[A-F\s,;]+", head) else []
    if not found:
        raise fields.error(f"'answer' is {str(value)[:20]!r}, no letter A to F")
    return tuple(sorted(set(found)))


def paper_prompt(item: Item) -> str:
    """As UHR-BAT's script writes it; it gives away that several letters are right."""
    several = " You should choose multiple answers." if item.many else ""
    choices = "\n".join(item.choices)
    end = f"Select the best answer based on the image.{several} Answer with the option letter only."
    return f"{item.question}\n{choices}\n{end}"


def _score_official(said: str, mark: Mark) -> Score:
    letters = rshr_letters(said)
    return letters, set(letters) == set(mark.truth)


def _score_strict(said: str, mark: Mark) -> Score:
    letters = strict_letters(said, mark.choices)
    return letters, bool(letters) and set(letters) == set(mark.truth)


TASK = Task(
    "rshr",
    "RSHR-Bench, multiple choice",
    "1",
    load,
    {"paper": paper_prompt},
    {"official": plain_scorer(_score_official), "strict": plain_scorer(_score_strict)},
    (
        Average("Avg", "macro", (*PERCEPTION, *REASONING)),
        Average("P.Avg", "macro", PERCEPTION),
        Average("R.Avg", "macro", REASONING),
        Average("micro", "micro"),
    ),
    dialogues=True,
)
