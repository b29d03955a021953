"""From rows to figures: what is right, by category and subset, averages and their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uhrqa.benchmarks.rows import BenchRow, Outcome
from uhrqa.benchmarks.task import Average, Scoring, Task
from uhrqa.errors import OutputError, UnknownNameError
from uhrqa.evaluation.intervals import DRAWS, LEAST_SCENES, Interval
from uhrqa.evaluation.line_log import Manifest
from uhrqa.registry import suggest

OFFICIAL = "official"


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with what its answer was taken for, and whether that is right."""

    row: BenchRow
    parsed: str
    right: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """Right and asked of one category."""

    right: int
    count: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.right / self.count


def scoring_of(task: Task, name: str) -> tuple[str, Scoring]:
    """A measure's name, and what scores by it.

    Raises:
        UnknownNameError: the task has no such scoring.
    """
    if name not in task.scorers:
        raise UnknownNameError(
            f"unknown scoring '{name}' of {task.name}{suggest(name, task.scorers)}"
        )
    return task.scorers[name]()


def score_rows(rows: Sequence[BenchRow], scoring: Scoring) -> list[Scored]:
    """The rows that have an answer, scored."""
    return [
        Scored(row, *scoring(row.prediction, row)) for row in rows if row.prediction is not None
    ]


def cells_of(scored: Sequence[Scored]) -> dict[str, Cell]:
    """By category, in order of appearance."""
    found: dict[str, list[bool]] = {}
    for entry in scored:
        found.setdefault(entry.row.category, []).append(entry.right)
    return {name: Cell(sum(right), len(right)) for name, right in found.items()}


def average_of(average: Average, cells: Mapping[str, Cell]) -> float | None:
    """The figure over some categories; None where nothing was asked of them."""
    names = cells if average.over is None else average.over
    there = [cells[name] for name in names if name in cells]
    if not there:
        return None
    if average.kind == "micro":
        return sum(cell.right for cell in there) / sum(cell.count for cell in there)
    total = len(tuple(names)) if average.absent else len(there)
    return sum(cell.share for cell in there) / total


def interval_of(
    average: Average, scored: Sequence[Scored], seed: int = 0, draws: int = DRAWS
) -> Interval | None:
    """95 %, a percentile bootstrap over images; None for fewer than two.

    Questions about one image stand or fall together, so that images are drawn again. A category of
    which a draw has no question is left out of that draw's mean.
    """
    over = average.over
    kept = [entry for entry in scored if over is None or entry.row.category in over]
    images = {group: at for at, group in enumerate(dict.fromkeys(e.row.group for e in kept))}
    names = {name: at for at, name in enumerate(dict.fromkeys(e.row.category for e in kept))}
    if len(images) < LEAST_SCENES:
        return None
    table = np.zeros((2, len(images), len(names)))  # right, asked
    for entry in kept:
        place = images[entry.row.group], names[entry.row.category]
        table[(0, *place)] += entry.right
        table[(1, *place)] += 1
    even = np.full(len(images), 1 / len(images))
    taken = np.random.default_rng(seed).multinomial(len(images), even, size=draws)
    right, asked = taken @ table[0], taken @ table[1]  # [draws, C]
    if average.kind == "micro":
        values = right.sum(1) / asked.sum(1)
    else:
        shares = np.divide(right, asked, out=np.zeros_like(right), where=asked > 0)
        total = len(over) if average.absent and over is not None else (asked > 0).sum(1)
        values = shares.sum(1) / total
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(low), float(high))


def task_of(manifest: Manifest) -> Task:
    """The benchmark a result file is of.

    Raises:
        OutputError: it names none, or was made by another version of the task.
    """
    from uhrqa.benchmarks import TASKS

    name = manifest.get("task", {}).get("name")
    if name not in TASKS:
        raise OutputError(f"the results are of task {name!r}{suggest(str(name), TASKS)}")
    task: Task = TASKS.load(name)
    return task


def figures(outcome: Outcome, task: Task, scoring: str = OFFICIAL, seed: int = 0) -> dict[str, Any]:
    """All figures of a result file, JSON-ready.

    Args:
        outcome: manifest and rows.
        task: the benchmark.
        scoring: a name in `task.scorers`.
        seed: of the bootstrap.

    Raises:
        UnknownNameError: no such scoring.
    """
    measure, rule = scoring_of(task, scoring)
    return {
        "schema": "uhrqa.benchmark.scores/1",
        "manifest": dict(outcome.manifest),
        "scoring": scoring,
        "measure": measure,
        "intervals": f"percentile bootstrap over images, 95 %, seed {seed}",
        "ways": [way_figures(way, outcome.of(way), task, rule, seed) for way in outcome.ways],
    }


def way_figures(
    way: str, rows: Sequence[BenchRow], task: Task, rule: Scoring, seed: int = 0
) -> dict[str, Any]:
    """The figures of one way of asking."""
    scored = score_rows(rows, rule)
    right = sum(entry.right for entry in scored)
    subsets = dict.fromkeys(row.subset for row in rows if row.subset)
    answered = [entry.row for entry in scored]
    return {
        "way": way,
        "questions": len(rows),
        "answered": len(scored),
        "right": right,
        "share_of_all": right / len(rows) if rows else None,
        "unanswered": unanswered(rows),
        "pasted": sum(row.pasted > 1 for row in answered),
        **part_figures(scored, task, seed),
        "subsets": {
            name: part_figures([e for e in scored if e.row.subset == name], task, seed)
            for name in subsets
        },
        **({"dialogues": dialogues(scored)} if task.dialogues else {}),
        "cost": {
            "tflops": sum(row.tflops for row in answered),
            "seconds": sum(row.seconds for row in answered),
            "tokens_kept": sum(row.kept for row in answered),
            "tiles": sum(row.tiles for row in answered),
        },
    }


def part_figures(scored: Sequence[Scored], task: Task, seed: int) -> dict[str, Any]:
    """Averages with intervals, and categories."""
    cells = cells_of(scored)
    averages = {}
    for average in task.averages:
        interval = interval_of(average, scored, seed)
        averages[average.name] = {
            "value": average_of(average, cells),
            "kind": average.kind,
            "interval": list(interval) if interval else None,
        }
    return {
        "averages": averages,
        "categories": {
            name: {"accuracy": cell.share, "right": cell.right, "questions": cell.count}
            for name, cell in cells.items()
        },
    }


def unanswered(rows: Sequence[BenchRow]) -> dict[str, int]:
    """Why questions have no answer, with how many of them."""
    found: dict[str, int] = {}
    for row in rows:
        if row.prediction is None:
            kind = row.error.partition(":")[0] if row.error.startswith(KINDS) else "failed"
            found[kind] = found.get(kind, 0) + 1
    return found


EXPECTED = ("missing image", "unsupported")  # told before anything is asked
KINDS = (*EXPECTED, "budget")


def dialogues(scored: Sequence[Scored]) -> dict[str, Any]:
    """Dialogues with every turn right. No official definition of that figure is known."""
    found: dict[tuple[int, str], list[bool]] = {}
    for entry in scored:
        if entry.row.turn:
            found.setdefault((entry.row.group, entry.row.category), []).append(entry.right)
    whole = sum(map(all, found.values()))
    return {"dialogues": len(found), "all_turns_right": whole}
