"""What every data set is read into: questions with their truths, and where their pictures are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uhrqa.benchmarks.records import Embedded

Id = str | int
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Item:
    """One question.

    Attributes:
        number: of its record in the data set, from 1; records that are no question count too.
        id: as the data set has it.
        question: its words, or the whole prompt where the data set has it ready.
        truth: as the data set has it.
        category: of the question.
        subset: part of the data set that is scored for itself; the empty text where there is none.
        images: their names as written, one for each picture.
        embedded: the pictures themselves where the data set holds them; else none.
        choices: as written, `(A) red`; none for open questions.
        ready: choices with instruction, where the data set has them as one text.
        many: whether several letters may be right.
        turns: whether it is one of several turns about its image.
        boxes: of what is asked about, x0, y0, x1, y1.
        frame: longer side of the image the boxes are drawn in; 0 is the image itself.
        official: fields that are kept for exports alone.
    """

    number: int
    id: Id
    question: str
    truth: str
    category: str
    subset: str = ""
    images: tuple[str, ...] = ()
    embedded: tuple[Embedded, ...] = ()
    choices: tuple[str, ...] = ()
    ready: str = ""
    many: bool = False
    turns: bool = False
    boxes: tuple[Corners, ...] = ()
    frame: int = 0
    official: Mapping[str, Any] | None = None

    @property
    def group(self) -> tuple[object, ...]:
        """What tells its pictures from those of other questions."""
        return self.embedded or self.images


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that is left out.

    Attributes:
        number: as an item's.
        problem: file, record and what is wrong, in one line.
    """

    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as it was read.

    Attributes:
        items: its questions.
        files: it was read from.
        notes: what was taken for granted, and what was left out, a line each.
        broken: records that cannot be asked, in their order.
        records: how many there are in all; the highest number one can have.
    """

    items: tuple[Item, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()
    records: int = 0

    @property
    def digest(self) -> str:
        """What decides the questions and their truths, in 16 letters; not how they are stored."""
        return digest_of(self.items)


def spans(numbers: Iterable[int]) -> str:
    """Ascending whole numbers in few letters: `2, 5-7`."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ends)


def digest_of(items: Iterable[Item]) -> str:
    """What decides some questions and their truths, in 16 letters."""
    state = hashlib.sha256()
    for item in items:
        parts = (item.id, item.question, item.truth, item.category, item.choices)
        state.update(repr(parts).encode("utf-8", "surrogatepass"))
    return state.hexdigest()[:16]


def groups_of(items: Sequence[Item]) -> list[list[Item]]:
    """Questions by their pictures, in the order these are first met."""
    groups: dict[tuple[object, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return list(groups.values())


def shard_of(items: Sequence[Item], index: int, count: int) -> list[Item]:
    """The questions of one of `count` parts, from 1; those about one image stay together."""
    return [item for group in groups_of(items)[index - 1 :: count] for item in group]
