"""What a benchmark's file gives: how it is loaded, asked, scored and averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from uhrqa.benchmarks.items import DataSet, Item

Kind = Literal["micro", "macro"]


class Mark(Protocol):
    """What is known of an asked question when it is scored; a row of a result file is one."""

    @property
    def truth(self) -> str:
        """As the data set has it."""

    @property
    def category(self) -> str:
        """Of the question."""

    @property
    def choices(self) -> tuple[str, ...]:
        """As written; none for an open question."""


Score = tuple[str, bool]  # what the answer was taken for, and whether that is right
Scoring = Callable[[str, Mark], Score]
Scorer = Callable[[], tuple[str, Scoring]]
"""Gives the name of its measure, which may depend on what is installed, and what scores."""


@dataclass(frozen=True, slots=True)
class Average:
    """One figure over categories.

    Attributes:
        name: as the authors call it.
        kind: `micro` is right by asked; `macro` the mean of the categories' shares.
        over: categories it is taken over; all that were asked when None.
        absent: count categories of `over` that nothing was asked of as 0.
    """

    name: str
    kind: Kind
    over: tuple[str, ...] | None = None
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    Attributes:
        name: as `uhrqa eval` knows it.
        title: as its authors call it.
        version: of this reading of it; another one where the same answers would score differently.
        load: reads a file or a directory; takes the name of a split.
        prompts: name to what makes the prompt; the default first.
        scorers: name to scorer; `official` first.
        averages: the one that is published first.
        splits: names of splits, the default first; empty where files tell them.
        sizes: questions of each category in the whole data set, where that is known.
        of_subsets: the same by subset, for data sets that are scored subset by subset.
        dialogues: also tell the share of dialogues with every turn right.
    """

    name: str
    title: str
    version: str
    load: Callable[[Path, str], DataSet]
    prompts: Mapping[str, Callable[[Item], str]]
    scorers: Mapping[str, Scorer]
    averages: tuple[Average, ...]
    splits: tuple[str, ...] = ()
    sizes: Mapping[str, int] | None = None
    of_subsets: Mapping[str, Mapping[str, int]] | None = None
    dialogues: bool = False


def plain_scorer(scoring: Scoring, measure: str = "accuracy") -> Scorer:
    """A scorer that depends on nothing."""
    return lambda: (measure, scoring)


def letter_scorer(extract: Callable[[str, tuple[str, ...]], str]) -> Scorer:
    """A scorer of single letters: what is extracted is the truth."""

    def scoring(said: str, mark: Mark) -> Score:
        letter = extract(said, mark.choices)
        return letter, letter.lower() == mark.truth.lower()

    return plain_scorer(scoring)


def as_it_stands(item: Item) -> str:
    """A prompt: the question's own words."""
    return item.question


def in_short(item: Item) -> str:
    """A prompt: the question, and what LRS-VQA asks for."""
    return f"{item.question}\nAnswer the question using a single word or phrase."
