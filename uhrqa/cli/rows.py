"""The rows of `uhrqa profile`, as JSON or as one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.cli.choice import Choice
from uhrqa.cli.console import dump_json, open_console, print_note, print_result
from uhrqa.cli.report import Unit, bytes_text, flops_texts, make_table, unit_for
from uhrqa.config import Settings

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from uhrqa.answer import Answer
    from uhrqa.cost import Cost
    from uhrqa.plan import Plan
    from uhrqa.tally import Counts

ANSWER_WIDTH = 16
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
        peak_memory: on the device, or of the process where the device is the CPU.
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
    """Rows, what they are about, and for plans what was taken for granted."""

    title: str
    rows: list[Row]
    assumed: dict[str, int] | None = None

    @property
    def is_refused(self) -> bool:
        """Whether no row could be had; the first one's reason then ends the command."""
        return all(row.refused for row in self.rows)


def planned_row(choice: Choice, plan: Plan) -> Row:
    """A row from a plan's counts and cost."""
    return replace(_row(choice, plan.counts, plan.cost), bound=plan.bound, notes=plan.notes)


def measured_row(choice: Choice, answer: Answer) -> Row:
    """A row from a real answer."""
    on_device = answer.device_memory is not None
    return replace(
        _row(choice, answer.counts, answer.cost),
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
                    "assumed": table.assumed,
                    "rows": [asdict(row) for row in table.rows],
                }
            )
        )
    else:
        _print_text(table, settings.model)
    _print_notes([] if quiet else table.rows[1:] if table.is_refused else table.rows)


def _print_text(table: Table, model: str) -> None:
    """Title and table, without the columns that the terminal has no room for."""
    unit = unit_for(row.flops().get("total", 0) for row in table.rows)
    columns = _columns(table.rows, unit)
    drawn, left_out = _fitting(columns)
    stages = [title for title in columns if title in STAGES and title not in left_out]
    lines = [table.title, f"model {model}; {', '.join(stages)} in {unit.name}"]
    if table.assumed:
        lines.append(
            "assumed: {question_tokens} text tokens in the prompt, "
            "{decode_steps} decoding steps".format(**table.assumed)
        )
    if left_out:
        lines.append(f"left out on this narrow terminal: {', '.join(left_out)}; --json has all")
    print_result("\n".join(lines))
    open_console(stderr=False, wide=True).print(drawn)


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
        columns |= {
            "seconds": ["" if row.seconds is None else f"{row.seconds:.2f}" for row in rows],
            "peak memory": ["" if row.refused else bytes_text(row.peak_memory) for row in rows],
            "read": ["" if row.refused else bytes_text(row.bytes_read) for row in rows],
            "answer": [shorten(row.answer or "", ANSWER_WIDTH) for row in rows],
        }
    return columns


def _print_notes(rows: list[Row]) -> None:
    for row in rows:
        for note in (row.refused, *row.notes):
            if note:
                print_note(f"uhrqa: note: {row.strategy}: {note}")


def shorten(text: str, width: int) -> str:
    """The start of a text, with an ellipsis where something is left out."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
