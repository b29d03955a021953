"""From rows to figures: shares right with their intervals, counting, localisation and cost.

Two intervals, both 95 %: Wilson's takes questions to be independent and stands beside every share;
the bootstrap over scenes does not, and is the one printed beside the overall accuracy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from uhrqa.evaluation.controls import CONTROLS
from uhrqa.evaluation.intervals import Interval, scene_bootstrap, wilson
from uhrqa.evaluation.row_log import Results
from uhrqa.evaluation.rows import Row

SCHEMA = "uhrqa.eval.synth/1"
FEW = 8  # counts up to this are told apart from larger ones
TARGETS = (8, 16, 24, 48)  # px, where the bins of target size meet
NO_TARGET = "no object"
INTERVALS = {
    "wilson": "Wilson score, 95 %, questions taken as independent",
    "scenes": "percentile bootstrap over scenes, 95 %; null for fewer than 2 scenes",
}
Way = tuple[str, int]  # strategy and budget


@dataclass(frozen=True, slots=True)
class Share:
    """How many questions were answered rightly."""

    right: int
    count: int

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Share:
        """The share right of some rows, 1 or more."""
        return cls(sum(row.right for row in rows), len(rows))

    @property
    def value(self) -> float:
        """Between 0 and 1."""
        return self.right / self.count

    @property
    def wilson(self) -> Interval:
        """95 %, questions taken as independent."""
        return wilson(self.right, self.count)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "accuracy": self.value,
            "right": self.right,
            "questions": self.count,
            "wilson": list(self.wilson),
        }


@dataclass(frozen=True, slots=True)
class Counting:
    """How well objects are counted.

    Attributes:
        questions: whose truth is a number.
        error: mean absolute error over them. An answer that is no number counts as 0 would: its
            error is the truth.
        few: questions whose truth is `FEW` or less.
        exact: share of those that are exactly right; None for none.
    """

    questions: int
    error: float
    few: int
    exact: float | None


def group(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by what `key` gives for each, in order of appearance."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def by_way(rows: Iterable[Row]) -> dict[Way, list[Row]]:
    """Rows by strategy and budget: strategies as first met, controls last, budgets ascending."""
    groups = group(rows, lambda row: (row.strategy, row.budget))
    order = list(dict.fromkeys(name for name, _ in groups if name not in CONTROLS))
    order += [name for name in CONTROLS if (name, 0) in groups]
    return {way: groups[way] for way in sorted(groups, key=lambda w: (order.index(w[0]), w[1]))}


def interval_over_scenes(rows: Iterable[Row], seed: int = 0) -> Interval | None:
    """The bootstrap over scenes of the share right; None for fewer than two scenes."""
    scenes = [Share.of(part) for part in group(rows, lambda row: row.scene).values()]
    return scene_bootstrap([(share.right, share.count) for share in scenes], seed)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more often one way is right than another, on the questions both answered.

    Attributes:
        value: between -1 and 1.
        interval: 95 %, a paired bootstrap over scenes; None for fewer than two.
        count: questions.
    """

    value: float
    interval: Interval | None
    count: int


def difference(rows: Iterable[Row], others: Iterable[Row], seed: int = 0) -> Difference:
    """The share right of `rows` less that of `others`, question by question."""
    theirs = {(row.scene, row.question): row.right for row in others}
    gaps: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        key = row.scene, row.question
        if key in theirs:
            gaps[row.scene].append(row.right - theirs[key])
    count = sum(map(len, gaps.values()))
    value = sum(map(sum, gaps.values())) / count if count else 0.0
    pairs = [(sum(gap), len(gap)) for gap in gaps.values()]
    return Difference(value, scene_bootstrap(pairs, seed), count)


def counting(rows: Iterable[Row]) -> Counting | None:
    """How well objects are counted, over questions whose truth is a number; None for none."""
    rows = [row for row in rows if row.category == "count" and row.expected.isdecimal()]
    if not rows:
        return None
    errors = [abs(_number(row.said) - int(row.expected)) for row in rows]
    few = [row.right for row in rows if int(row.expected) <= FEW]
    exact = float(np.mean(few)) if few else None
    return Counting(len(rows), float(np.mean(errors)), len(few), exact)


def _number(said: str) -> int:
    """The number an answer is; 0 where it is none."""
    return int(said.strip()) if said.strip().isdecimal() else 0


def target_bin(row: Row) -> str:
    """In which bin the shortest object asked about lies, by its length in source pixels."""
    if row.target is None:
        return NO_TARGET
    return target_bins()[sum(row.target >= edge for edge in TARGETS)]


def target_bins() -> tuple[str, ...]:
    """Names of the bins, smallest first, without `NO_TARGET`."""
    middle = (f"{low}-{high} px" for low, high in pairwise(TARGETS))
    return (f"<{TARGETS[0]} px", *middle, f">={TARGETS[-1]} px")


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of those that are not None; None for none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


PARTS: Mapping[str, Callable[[Row], str]] = {
    "category": lambda row: row.category,
    "target": target_bin,
    "side": lambda row: str(row.side),
}
"""Name of a breakdown to the part of it that a row belongs to."""


def way_figures(way: Way, rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """All figures of one strategy at one budget, JSON-ready.

    Args:
        way: strategy and budget.
        rows: its rows, 1 or more.
        seed: of the bootstrap.
    """
    over_scenes = interval_over_scenes(rows, seed)
    counted = counting(rows)
    means = {
        name: mean(getattr(row, name) for row in rows)
        for name in ("found", "kept", "tiles", "tflops", "seconds", "bytes")
    }
    return {
        "strategy": way[0],
        "budget": way[1] or None,
        **Share.of(rows).to_dict(),
        "scenes": list(over_scenes) if over_scenes else None,
        "mean": means,
        "count": {
            "questions": counted.questions,
            "mean_absolute_error": counted.error,
            f"questions_to_{FEW}": counted.few,
            f"exact_to_{FEW}": counted.exact,
        }
        if counted
        else None,
        "by": {
            name: {key: Share.of(part).to_dict() for key, part in group(rows, of).items()}
            for name, of in PARTS.items()
        },
    }


def refused(results: Results) -> list[dict[str, Any]]:
    """By strategy and budget, how many questions were refused, and the first reason."""
    found: dict[Way, dict[str, Any]] = {}
    for refusal in results.refusals:
        way = refusal.strategy, refusal.budget
        entry = {"strategy": way[0], "budget": way[1] or None, "questions": 0}
        found.setdefault(way, {**entry, "reason": refusal.reason})["questions"] += 1
    return list(found.values())
