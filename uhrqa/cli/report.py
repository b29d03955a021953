"""Tables for people: counts, cost and times of an answer. Everything here goes where it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from uhrqa.cli.console import open_console, print_note, stderr_optional, strip_controls

if TYPE_CHECKING:
    from rich.table import Table

    from uhrqa.answer import Answer

STAGES = (  # label, parts of the cost, stages of the clock
    ("read", (), ("read",)),
    ("vision encode", ("vision", "projector"), ("encode",)),
    ("relevance pass", ("relevance",), ("relevance",)),
    ("select", (), ("select",)),
    ("prefill", ("prefill",), ("prefill",)),
    ("decode", ("decode",), ("decode",)),
)


def print_report(answer: Answer, *, steps: bool = False) -> None:
    """The whole account of one answer, on stderr.

    Args:
        answer: what to account for.
        steps: also say what the strategy decided, a line for each decision.
    """
    for step in answer.steps if steps else ():
        print_note(f"uhrqa: step: {step}")
    counts = answer.counts
    memory = bytes_text(answer.peak_memory)
    if answer.device_memory is not None:
        memory += f" (device {bytes_text(answer.device_memory)})"
    with stderr_optional():
        console = open_console(wide=True)
        console.print(levels_table(answer))
        console.print(stages_table(answer))
    print_note(
        f"text tokens {counts.text} · answer tokens {counts.answer_tokens} · "
        f"relevance passes {counts.relevance_passes}, {counts.relevance_tokens} visual tokens\n"
        f"bytes read {bytes_text(answer.bytes_read)} · peak memory {memory}"
    )
    for note in answer.notes:
        print_note(f"uhrqa: note: {note}")


def levels_table(answer: Answer) -> Table:
    """Tiles and visual tokens, level by level, against the budget."""
    counts = answer.counts
    rows = [
        (
            str(level.level),
            str(level.size),
            str(level.tiles),
            str(level.encoded),
            str(level.reused),
            str(level.seen),
            str(level.kept),
        )
        for level in counts.levels
    ]
    total = (
        "all",
        f"{counts.separators} separators",
        str(sum(level.tiles for level in counts.levels)),
        str(counts.tiles_encoded),
        str(counts.tiles_reused),
        str(sum(level.seen for level in counts.levels)),
        f"{counts.kept} / {counts.budget}",
    )
    titles = ("level", "size", "tiles", "encoded", "reused", "seen", "kept / budget")
    return make_table(titles, [*rows, total], words=2, total=True)


def stages_table(answer: Answer) -> Table:
    """TFLOPs and seconds, stage by stage."""
    rows = []
    for label, parts, clocks in STAGES:
        flops = sum(getattr(answer.cost, part) for part in parts)
        seconds = sum(answer.seconds.get(clock, 0.0) for clock in clocks)
        rows.append((label, tera_text(flops) if parts else "", f"{seconds:.3f}"))
    rows.append(("all", tera_text(answer.cost.total), f"{sum(answer.seconds.values()):.3f}"))
    return make_table(("stage", "TFLOPs", "seconds"), rows, total=True)


def make_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1, total: bool = False
) -> Table:
    """A plain table: the first `words` columns to the left, numbers to the right.

    Args:
        titles: of the columns.
        rows: cells as text.
        words: leading columns that hold words.
        total: set the last row apart.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, title in enumerate(titles):
        justify: Literal["left", "right"] = "left" if index < words else "right"
        table.add_column(title, justify=justify, no_wrap=True, overflow="fold")
    for index, row in enumerate(rows):
        table.add_row(*map(strip_controls, row), end_section=total and index == len(rows) - 2)
    return table


def tera_text(flops: float) -> str:
    """FLOPs as TFLOPs, with three digits that matter and no exponent."""
    rounded = float(f"{flops / 1e12:.3g}")
    return f"{rounded:.9f}".rstrip("0").rstrip(".")


def bytes_text(count: float | None) -> str:
    """Bytes for people: `12.3 MB` (1 MB = 1000 kB)."""
    if count is None:
        return "not measured"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
