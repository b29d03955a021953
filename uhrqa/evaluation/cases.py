"""What is asked about, wherever it comes from: an image with questions whose answers are known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from uhrqa.geometry import Box
from uhrqa.raster import Raster


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its truth.

    Attributes:
        text: as it is asked.
        category: of the question.
        answer: the truth.
        things: boxes of the objects asked about, XYXY source pixels.
        boxes: of all that must be looked at, `things` among them.
        target: length of the shortest of these objects, source pixels; None for none.
        choices: the answers there are; none: it is written freely.
    """

    text: str
    category: str
    answer: str
    things: tuple[Box, ...] = ()
    boxes: tuple[Box, ...] = ()
    target: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """An image and its questions.

    Attributes:
        side: its longer side, source pixels.
        cases: its questions.
        open: gives its raster.
    """

    side: int
    cases: tuple[Case, ...]
    open: Callable[[], AbstractContextManager[Raster]]


class Questions(Protocol):
    """Where subjects come from; the same ones every time."""

    @property
    def scenes(self) -> int:
        """How many subjects there are."""
        ...

    def subjects(self) -> Iterator[Subject]:
        """One after the other."""
        ...

    def common(self) -> dict[str, str]:
        """The most common answer of each category: what can be said without looking."""
        ...


def most_common(cases: Iterable[Case]) -> dict[str, str]:
    """The most common answer of each category; of several the first met."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        seen[case.category][case.answer] += 1
    return {category: counts.most_common(1)[0][0] for category, counts in seen.items()}
