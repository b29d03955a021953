"""RSVQA-HR: presence, comparison, number and area, about aerial images of 512 x 512 pixels.

Three files a split, lists indexed by id. Areas are asked as numbers and scored as five bins, as the
authors' classifier has them.

Source: Lobry et al. 2020 (RSVQA); syvlo/RSVQA @3c445ff0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from uhrqa.benchmarks.items import Broken, DataSet, Item
from uhrqa.benchmarks.reading import require_some
from uhrqa.benchmarks.task import Average, Mark, Score, Task, as_it_stands, in_short, plain_scorer
from uhrqa.errors import QuestionError

SPLITS = ("test", "test_phili", "val", "train")
TYPES = ("presence", "comp", "count", "area")
BINS = (0, 10, 100, 1000)  # square metres; an edge belongs to the bin below it
AREA = re.compile(r"(\d+(?:\.\d+)?)\s*(?:m2|m\^2|m²|square met(?:er|re)s?)\.?", re.IGNORECASE)
Row = dict[str, Any]


def load(place: Path, split: str = "") -> DataSet:
    """Read the three files of a split, from their directory or by any of them.

    Raises:
        QuestionError: one is missing or damaged, or no question can be asked.
    """
    if place.is_file():
        found = re.fullmatch(r"USGS_split_(\w+)_(?:images|questions|answers)", place.stem)
        place, split = place.parent, split or (found[1] if found else "")
    split = split or SPLITS[0]
    files = tuple(
        place / f"USGS_split_{split}_{kind}.json" for kind in ("questions", "answers", "images")
    )
    questions, answers, images = (_rows(path) for path in files)
    left: list[int] = []
    broken: list[Broken] = []
    items = tuple(_items(files[0], (questions, answers, images), left, broken))
    notes = [f"split '{split}'"]
    if left:
        notes.append(f"records that are not active, left out: {len(left)}")
    require_some(items, broken)
    if not items:
        raise QuestionError(f"{files[0]}: no question is active")
    return DataSet(items, files, tuple(notes), tuple(broken), len(questions))


def _rows(path: Path) -> list[Row]:
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise QuestionError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise QuestionError(f"{path}: not JSON: {error}") from error
    kind = path.stem.rpartition("_")[2]
    rows = content.get(kind) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise QuestionError(f"{path}: no list '{kind}' of records")
    return rows


def _items(
    path: Path,
    rows: tuple[list[Row], list[Row], list[Row]],
    left: list[int],
    broken: list[Broken],
) -> Iterator[Item]:
    """The questions of a split.

    Args:
        path: the file of questions, for messages.
        rows: questions, answers and images.
        left: gathers the numbers of records that are not active.
        broken: gathers those that cannot be asked.
    """
    questions, answers, images = rows
    answer_of, image_of = ({row.get("id"): row for row in rows} for rows in (answers, images))
    for number, row in enumerate(questions, start=1):
        if not row.get("active", True):
            left.append(number)
            continue
        try:
            answer = answer_of[row["answers_ids"][0]]
            picture = image_of.get(row["img_id"], {"active": True})
            texts = [row["question"], answer["answer"], row["type"]]
            name, (question, truth, kind) = f"{row['img_id']}.tif", map(str, texts)
            item = Item(number, row["id"], question, truth, kind, images=(name,))
        except (KeyError, IndexError, TypeError) as error:
            problem = f"no question with an answer: missing {error}"
            broken.append(Broken(number, f"{path}: record {number}: {problem}"))
            continue
        if not all(isinstance(text, str) for text in texts):
            problem = "'question', 'answer' or 'type' is no text"
            broken.append(Broken(number, f"{path}: record {number}: {problem}"))
        elif answer.get("active", True) and picture.get("active", True):
            yield item
        else:
            left.append(number)


def area_bin(square_metres: float) -> str:
    """The class of an area."""
    if square_metres <= 0:
        return "0m2"
    for low, high in pairwise(BINS):
        if square_metres <= high:
            return f"between {low}m2 and {high}m2"
    return f"more than {BINS[-1]}m2"


def binned(text: str) -> str:
    """An area as its class; whatever is none, as it is."""
    found = AREA.fullmatch(text.strip())
    return area_bin(float(found[1])) if found else text


def _score_official(said: str, mark: Mark) -> Score:
    answer = binned(said.strip().lower()) if mark.category == "area" else said.strip().lower()
    truth = binned(mark.truth) if mark.category == "area" else mark.truth
    return answer, answer == truth.strip().lower()


def _score_strict(said: str, mark: Mark) -> Score:
    answer = said.strip().rstrip(".").lower()
    return answer, answer == mark.truth.strip().lower()


TASK = Task(
    "rsvqa-hr",
    "RSVQA-HR",
    "1",
    load,
    {"short": in_short, "question": as_it_stands},
    {
        "official": plain_scorer(_score_official),
        "strict": plain_scorer(_score_strict, "exact match, areas not binned"),
    },
    (
        Average("OA", "micro"),
        Average("AA", "macro", TYPES),
        Average("presence and comparison", "macro", TYPES[:2]),
    ),
    splits=SPLITS,
)
