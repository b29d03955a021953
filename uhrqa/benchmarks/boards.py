"""Published leaderboards, and what keeps a run of ours from standing beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from uhrqa.benchmarks.rows import Outcome
from uhrqa.benchmarks.scores import OFFICIAL, Cell, Scored, average_of, cells_of
from uhrqa.benchmarks.synonyms import EXACT
from uhrqa.benchmarks.task import Average, Kind, Task


@dataclass(frozen=True, slots=True)
class Entry:
    """One published row.

    Attributes:
        name: of the model.
        values: per cent by column.
        printed: the averages as they are printed.
        consistent: whether these follow from the values.
        kind: how its average is taken, where that differs from row to row.
        note: what else is to be known of it.
    """

    name: str
    values: tuple[float, ...]
    printed: tuple[float, ...]
    consistent: bool
    kind: Kind | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A leaderboard.

    Attributes:
        task: name of the benchmark.
        subset: that it is about; the empty text for all.
        title: for people.
        source: where it was printed.
        note: how its averages are taken.
        columns: head to category.
        averages: head to what it is.
        rows: as they were printed.
    """

    task: str
    subset: str
    title: str
    source: str
    note: str
    columns: Mapping[str, str]
    averages: Mapping[str, Average]
    rows: tuple[Entry, ...]


@cache
def boards() -> tuple[Board, ...]:
    """All that are known."""
    text = resources.files("uhrqa.benchmarks").joinpath("published.json").read_text("utf-8")
    return tuple(_board(row) for row in json.loads(text))


def _board(row: Mapping[str, Any]) -> Board:
    columns = row["columns"]
    averages = {
        name: Average(name, value["kind"], tuple(columns[c] for c in value.get("over", columns)))
        for name, value in row["averages"].items()
    }
    entries = tuple(
        Entry(
            entry["name"], tuple(entry["values"]), tuple(entry["printed"]), entry["consistent"],
            entry.get("kind"), entry.get("note", ""),
        )
        for entry in row["rows"]
    )  # fmt: skip
    return Board(
        row["task"], row.get("subset", ""), row["title"], row["source"], row["note"], columns,
        averages, entries,
    )  # fmt: skip


def sizes_of(task: Task, subset: str = "") -> Mapping[str, int]:
    """Questions of each category in the whole data set; empty where that is not known."""
    if subset and task.of_subsets:
        return task.of_subsets.get(subset, {})
    return task.sizes or {}


def recomputed(board: Board, entry: Entry, sizes: Mapping[str, int]) -> tuple[float | None, ...]:
    """The averages of a published row, taken anew from its values; None where sizes are needed.

    Args:
        board: it stands on.
        entry: the row.
        sizes: questions of each category, for those that are right by asked.
    """
    found: list[float | None] = []
    for average in board.averages.values():
        kind = entry.kind or average.kind
        values = {
            category: value
            for category, value in zip(board.columns.values(), entry.values, strict=True)
            if average.over is None or category in average.over
        }
        if kind == "macro":
            found.append(sum(values.values()) / len(values))
        elif all(category in sizes for category in values):
            asked = sum(sizes[category] for category in values)
            found.append(sum(value * sizes[name] for name, value in values.items()) / asked)
        else:
            found.append(None)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A run of ours on a leaderboard.

    Attributes:
        values: per cent by column; None where nothing was asked.
        averages: per cent.
        caveats: why it may not be compared with the others, a clause each.
    """

    values: tuple[float | None, ...]
    averages: tuple[float | None, ...]
    caveats: tuple[str, ...]


def own_row(
    board: Board,
    task: Task,
    outcome: Outcome,
    scored: Sequence[Scored],
    *,
    scoring: str = OFFICIAL,
    measure: str = "accuracy",
) -> OwnRow:
    """A run's row on a board, from its scored answers."""
    part = [entry for entry in scored if not board.subset or entry.row.subset == board.subset]
    cells = cells_of(part)
    return OwnRow(
        tuple(_per_cent(cells[c].share if c in cells else None) for c in board.columns.values()),
        tuple(_per_cent(average_of(average, cells)) for average in board.averages.values()),
        tuple(caveats(board, task, outcome, cells, scoring=scoring, measure=measure)),
    )


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def caveats(
    board: Board,
    task: Task,
    outcome: Outcome,
    cells: Mapping[str, Cell],
    *,
    scoring: str,
    measure: str,
) -> list[str]:
    """What keeps a run from being compared with a board."""
    found = []
    manifest = outcome.manifest
    if scoring != OFFICIAL:
        found.append(f"scored by '{scoring}', not as the authors do")
    elif measure == EXACT:
        found.append("exact match alone: no WordNet table is installed, the authors use one")
    if manifest.get("from"):
        found.append("answers of another program; how they were asked is not known")
    elif manifest.get("prompt") != next(iter(task.prompts)):
        found.append(f"prompt '{manifest.get('prompt')}'")
    asked = {name: cell.count for name, cell in cells.items()}
    sizes = sizes_of(task, board.subset)
    if sizes and asked != dict(sizes):
        total, whole = sum(asked.values()), sum(sizes.values())
        lite = board.task == "mme-realworld-rs" and set(asked.values()) == {50}
        found.append(f"{'the Lite split: ' if lite else ''}{total} of {whole} questions")
    elif not sizes and (manifest.get("limit") or manifest.get("shard")):
        option = "--limit" if manifest.get("limit") else "--shard"
        found.append(f"a part of the questions: {option}")
    if broken := manifest.get("data", {}).get("broken"):
        found.append(f"{broken['count']} broken records left out")
    rows = [row for row in outcome.main if not board.subset or row.subset == board.subset]
    silent = sum(row.prediction is None for row in rows)
    if silent and not manifest.get("from"):
        found.append(f"{silent} questions without an answer")
    pasted = sum(row.pasted > 1 and row.prediction is not None for row in rows)
    if pasted:
        found.append(f"{pasted} questions about images shown side by side")
    return found
