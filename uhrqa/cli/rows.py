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
    from uhrqa.tally import Counts

ANSWER_WIDTH = 16
WIDE = 110  # columns of a terminal from which all of ours fit
SCHEMA = "uhrqa.profile/1"
STAGES = {  # column to parts of the cost
    "vision": ("vision", "projector"),
    "relevance": ("relevance",),
    "prefill": ("prefill",),
    "decode": ("decode",),
    "total": ("total",),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one budget; what was not measured is None.

    Attributes:
        refused: why the budget cannot be met, if so; the numbers are 0 then.
        tflops: by stage.
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


def make_row(choice: Choice, counts: Counts, cost: Cost, answer: Answer | None = None) -> Row:
    """A row from a plan's counts and cost, or from a real answer's."""
    row = Row(
        strategy=choice.strategy,
        budget=choice.budget.tokens,
        tiles=counts.tiles_encoded,
        kept=counts.kept,
        relevance_tokens=counts.relevance_tokens,
        tflops=cost.to_dict(),
    )
    if answer is None:
        return row
    return replace(
        row,
        seconds=sum(answer.seconds.values()),
        bytes_read=answer.bytes_read,
        peak_memory=answer.device_memory or answer.peak_memory,
        answer=answer.text,
    )


def print_rows(rows: list[Row], settings: Settings, title: str) -> None:
    """Print the rows to stdout, and why budgets were refused to stderr."""
    if settings.format == "json":
        listing = [asdict(row) for row in rows]
        print_result(
            dump_json({"schema": SCHEMA, "title": title, "model": settings.model, "rows": listing})
        )
        return
    console = open_console(stderr=False)
    measured = any(row.seconds is not None for row in rows)
    titles = ["strategy", "budget", "kept", "tiles", *STAGES]
    titles += ["seconds", "peak memory"] if measured else []
    titles += ["read", "answer"] if measured and console.width >= WIDE else []
    print_result(f"{title}\nmodel {settings.model}; {', '.join(STAGES)} in TFLOPs")
    console.print(make_table(titles, [_cells(row, measured)[: len(titles)] for row in rows]))
    for row in rows:
        if row.refused:
            print_note(f"uhrqa: note: {row.strategy}: {row.refused}")


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
