"""The rows of `uhrqa profile`, as JSON or as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.cli.choice import Choice
from uhrqa.cli.console import dump_json, open_console, print_note, print_result
from uhrqa.cli.report import Unit, bytes_text, flops_texts, make_table, unit_for
from uhrqa.config import Settings

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from uhrqa.answer import Answer
    from uhrqa.cli.forecasting import Forecast
    from uhrqa.cost import Cost
    from uhrqa.tally import Counts

ANSWER_WIDTH = 16
MANY_SECONDS = 100  # from here on decimals say nothing
SCHEMA = "uhrqa.profile/1"
STAGES = {  # column to parts of the cost
    "vision": ("vision", "projector"),
    "relevance": ("relevance",),
    "prefill": ("prefill",),
    "decode": ("decode",),
    "total": ("total",),
}
DISPENSABLE = ("read", "answer", "decode", "prefill", "relevance", "vision")
"""Columns left out one after the other until the rest fits the terminal; then lines fold."""


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one budget; what was not measured is None.

    Attributes:
        refused: why the budget cannot be met, if so; the numbers are 0 then.
        tflops: by stage.
        bound: of a plan: `exact`, or `at most` where attention and pixels decide.
        seconds: measured, or foreseen where the machine was measured.
        peak_memory: on the device, or of the process where the device is the CPU.
        memory: of a plan: what the peak consists of.
        stage_seconds: of a plan, where the machine was measured.
        notes: what the reader should know, such as a budget that was lowered.
    """

    strategy: str
    budget: int
    refused: str | None = None
    tiles: int = 0
    kept: int = 0
    relevance_tokens: int = 0
    tflops: dict[str, float] | None = None
    seconds: float | None = None
    bytes_read: int | None = None
    peak_memory: int | None = None
    answer: str | None = None
    bound: str | None = None
    memory: dict[str, int] | None = None
    stage_seconds: dict[str, float] | None = None
    notes: tuple[str, ...] = ()

    def flops(self) -> dict[str, float]:
        """FLOPs by column of the table; none where the row is refused."""
        tflops = self.tflops
        if tflops is None:
            return {}
        return {
            stage: 1e12 * sum(tflops[part] for part in parts) for stage, parts in STAGES.items()
        }


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, what they are about, and for plans what was taken for granted.

    Attributes:
        convention: how FLOPs are counted.
        machine: of a plan: what memory and seconds are of.
        notes: what is to be known of all rows.
    """

    title: str
    rows: list[Row]
    convention: str
    assumed: dict[str, int] | None = None
    machine: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether no row could be had; the first one's reason then ends the command."""
        return all(row.refused for row in self.rows)


def planned_row(choice: Choice, found: Forecast, convention: str) -> Row:
    """A row from a plan's counts and cost."""
    from uhrqa.conventions import cost_by

    plan, dims = found.plan, choice.card.dims
    return replace(
        _row(
            choice, plan.counts, cost_by(convention, dims, plan.counts, plan.work.passes, plan.cost)
        ),
        seconds=found.total_seconds,
        bytes_read=plan.bytes_read,
        peak_memory=found.memory.total,
        bound=plan.bound,
        memory=asdict(found.memory),
        stage_seconds=found.seconds,
        notes=plan.notes,
    )


def measured_row(choice: Choice, answer: Answer, convention: str) -> Row:
    """A row from a real answer."""
    from uhrqa.conventions import cost_by

    counts, dims = answer.counts, choice.card.dims
    on_device = answer.device_memory is not None
    return replace(
        _row(choice, counts, cost_by(convention, dims, counts, answer.relevance, answer.cost)),
        seconds=sum(answer.seconds.values()),
        bytes_read=answer.bytes_read,
        peak_memory=answer.device_memory if on_device else answer.peak_memory,
        answer=answer.text,
        notes=answer.notes,
    )


def _row(choice: Choice, counts: Counts, cost: Cost) -> Row:
    return Row(
        strategy=choice.strategy,
        budget=choice.budget.tokens,
        tiles=counts.tiles_encoded,
        kept=counts.kept,
        relevance_tokens=counts.relevance_tokens,
        tflops=cost.to_dict(),
    )


def print_table(table: Table, settings: Settings, quiet: bool) -> None:
    """Print the rows to stdout, and unless quiet, what there is to know about them to stderr."""
    if settings.format == "json":
        print_result(
            dump_json(
                {
                    "schema": SCHEMA,
                    "title": table.title,
                    "model": settings.model,
                    "convention": table.convention,
                    "machine": table.machine,
                    "assumed": table.assumed,
                    "rows": [asdict(row) for row in table.rows],
                }
            )
        )
    else:
        _print_text(table, settings.model)
    if quiet:
        return
    for note in () if table.is_refused else table.notes:
        print_note(f"uhrqa: note: {note}")
    _print_notes(table.rows[1:] if table.is_refused else table.rows)


def _print_text(table: Table, model: str) -> None:
    """Title and table, without the columns that the terminal has no room for."""
    from uhrqa.conventions import EXACT, UNITS

    unit = unit_for(row.flops().get("total", 0) for row in table.rows)
    columns = _columns(table.rows, unit)
    drawn, left_out = _fitting(columns)
    stages = [title for title in columns if title in STAGES and title not in left_out]
    counted = unit.name.replace("FLOPs", UNITS.get(table.convention, "FLOPs"))
    if table.convention != EXACT:
        counted += f" as {table.convention} counts them"
    lines = [table.title, f"model {model}; {', '.join(stages)} in {counted}"]
    timed = any(row.stage_seconds for row in table.rows)
    if table.machine:
        lines.append(f"memory{' and seconds' * timed} on {table.machine}")
    if table.assumed:
        lines.append(
            "assumed: {question_tokens} text tokens in the prompt, "
            "{decode_steps} decoding steps".format(**table.assumed)
        )
    if left_out:
        lines.append(f"left out on this narrow terminal: {', '.join(left_out)}; --json has all")
    print_result("\n".join(lines))
    console = open_console(stderr=False, wide=True)
    console.print(drawn)
    if table.machine and not table.is_refused:
        console.print(_parts_table("memory", table.rows, lambda row: row.memory, _bytes_or_none))
        if timed:
            console.print(
                _parts_table("seconds", table.rows, lambda row: row.stage_seconds, seconds_text)
            )


def _parts_table(
    title: str,
    rows: list[Row],
    parts: Callable[[Row], Mapping[str, float] | None],
    text: Callable[[float], str],
) -> RichTable:
    """What memory or seconds of each row consist of."""
    found = [(row, of) for row in rows if (of := parts(row)) is not None]
    names = list(found[0][1]) if found else []
    cells = [
        [row.strategy, str(row.budget), *(text(part) for part in of.values())] for row, of in found
    ]
    return make_table([title, "budget", *names], cells)


def _fitting(columns: dict[str, list[str]]) -> tuple[RichTable, tuple[str, ...]]:
    """As much of a table as the terminal has room for, and the titles that are left out."""
    console = open_console(stderr=False, wide=True)
    width = open_console(stderr=False).width
    order = [title for title in DISPENSABLE if title in columns]
    for count in range(len(order) + 1):
        titles = [title for title in columns if title not in order[:count]]
        drawn = make_table(titles, list(zip(*(columns[title] for title in titles), strict=True)))
        if console.measure(drawn).maximum <= width:
            break
    return drawn, tuple(order[:count])


def _columns(rows: list[Row], unit: Unit) -> dict[str, list[str]]:
    """Cells by title of the column; a refused row says so and is empty from there on."""
    columns = {
        "strategy": [row.strategy for row in rows],
        "budget": [str(row.budget) for row in rows],
        "kept": ["refused" if row.refused else str(row.kept) for row in rows],
        "tiles": ["" if row.refused else str(row.tiles) for row in rows],
    }
    for stage in STAGES:
        columns[stage] = flops_texts([row.flops().get(stage) for row in rows], unit)
    if any(row.seconds is not None for row in rows):
        columns["seconds"] = [
            "" if row.seconds is None else seconds_text(row.seconds) for row in rows
        ]
    if any(row.peak_memory is not None for row in rows):
        columns["peak memory"] = [
            "" if row.refused else bytes_text(row.peak_memory) for row in rows
        ]
        columns["read"] = [
            ""
            if row.refused
            else "not known"
            if row.bytes_read is None
            else bytes_text(row.bytes_read)
            for row in rows
        ]
    if any(row.answer is not None for row in rows):
        columns["answer"] = [shorten(row.answer or "", ANSWER_WIDTH) for row in rows]
    return columns


def _print_notes(rows: list[Row]) -> None:
    for row in rows:
        for note in (row.refused, *row.notes):
            if note:
                print_note(f"uhrqa: note: {row.strategy}: {note}")


def _bytes_or_none(number: float) -> str:
    """Nothing for what was not measured."""
    return bytes_text(number) if number else ""


def seconds_text(seconds: float) -> str:
    """Two decimals, none from 100 seconds on."""
    return f"{seconds:.2f}" if seconds < MANY_SECONDS else f"{seconds:.0f}"


def shorten(text: str, width: int) -> str:
    """The start of a text, with an ellipsis where something is left out."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
