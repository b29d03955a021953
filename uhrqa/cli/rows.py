"""The rows of `uhrqa profile`, as JSON or as one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.cli.choice import Choice
from uhrqa.cli.console import dump_json, open_console, print_note, print_result
from uhrqa.cli.report import bytes_text, make_table, tera_text
from uhrqa.config import Settings

if TYPE_CHECKING:
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
NARROWER = (  # columns left out until the rest fits the terminal; then lines fold
    (),
    ("read", "answer"),
    ("read", "answer", *(name for name in STAGES if name != "total")),
)


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


def print_rows(rows: list[Row], settings: Settings, title: str, quiet: bool) -> None:
    """Print the rows to stdout, and unless quiet, what there is to know about them to stderr."""
    if settings.format == "json":
        listing = [asdict(row) for row in rows]
        print_result(
            dump_json({"schema": SCHEMA, "title": title, "model": settings.model, "rows": listing})
        )
        _print_notes([] if quiet else rows)
        return
    measured = any(row.seconds is not None for row in rows)
    every = ["strategy", "budget", "kept", "tiles", *STAGES]
    every += ["seconds", "peak memory", "read", "answer"] if measured else []
    cells = [dict(zip(every, _cells(row, measured), strict=False)) for row in rows]
    console = open_console(stderr=False, wide=True)
    width = open_console(stderr=False).width
    for left_out in NARROWER:
        titles = [name for name in every if name not in left_out]
        table = make_table(titles, [[row.get(name, "") for name in titles] for row in cells])
        if console.measure(table).maximum <= width:
            break
    stages = [name for name in titles if name in STAGES]
    print_result(f"{title}\nmodel {settings.model}; {', '.join(stages)} in TFLOPs")
    console.print(table)
    _print_notes([] if quiet else rows)


def _print_notes(rows: list[Row]) -> None:
    for row in rows:
        for note in (row.refused, *row.notes):
            if note:
                print_note(f"uhrqa: note: {row.strategy}: {note}")


def shorten(text: str, width: int) -> str:
    """The start of a text, with an ellipsis where something is left out."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _cells(row: Row, measured: bool) -> list[str]:
    start = [row.strategy, str(row.budget)]
    if row.refused or row.tflops is None:
        return [*start, "refused"]
    cells = [*start, str(row.kept), str(row.tiles)]
    cells += [
        tera_text(1e12 * sum(row.tflops[part] for part in parts)) for parts in STAGES.values()
    ]
    if measured:
        cells += [f"{row.seconds:.2f}", bytes_text(row.peak_memory)]
        cells += [bytes_text(row.bytes_read), shorten(row.answer or "", ANSWER_WIDTH)]
    return cells
