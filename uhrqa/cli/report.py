"""Tables for people: counts, cost and times of an answer. Everything here goes where it is told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from uhrqa.cli.console import (
    open_console,
    print_note,
    print_result,
    stderr_optional,
    strip_controls,
)

if TYPE_CHECKING:
    from rich.table import Table

    from uhrqa.answer import Answer
    from uhrqa.tally import LevelCount

STAGES = (  # label, parts of the cost, stages of the clock
    ("read", (), ("read",)),
    ("vision encode", ("vision", "projector"), ("encode",)),
    ("relevance pass", ("relevance",), ("relevance",)),
    ("select", (), ("select",)),
    ("prefill", ("prefill",), ("prefill",)),
    ("decode", ("decode",), ("decode",)),
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What FLOPs are counted in, the same all over a table."""

    name: str
    flops: float


UNITS = (Unit("TFLOPs", 1e12), Unit("GFLOPs", 1e9), Unit("MFLOPs", 1e6))
DECIMALS = 3  # at most, of FLOPs
LEAST_SECONDS = 0.0005  # less reads 0.000


def print_report(answer: Answer, *, loading: float | None = None, verbose: bool = False) -> None:
    """The whole account of one answer, on stderr.

    Args:
        answer: what to account for.
        loading: seconds it took to load the model.
        verbose: also say what the strategy decided, and show rows in which nothing happened.
    """
    for step in answer.steps if verbose else ():
        print_note(f"uhrqa: step: {step}")
    for note in answer.notes:  # before the tables, as they tell what to make of them
        print_note(f"uhrqa: note: {note}")
    print_note(caption(answer, loading))
    with stderr_optional():
        console = open_console(wide=True)
        console.print(levels_table(answer, every=verbose))
        console.print(stages_table(answer, every=verbose))
    print_note(totals(answer))
    if answer.attempts:
        print_note(attempts_text(answer))
    if answer.choices:
        print_note(choices_text(answer))


def caption(answer: Answer, loading: float | None = None) -> str:
    """What answered: `tiny · rfm-dip · budget 512 · cpu, float32 · loaded in 2.1 s`."""
    parts = [answer.model, answer.strategy, f"budget {answer.counts.budget}"]
    parts.append(f"{answer.device}, {answer.dtype}")
    if loading is not None:
        parts.append(f"loaded in {loading:.1f} s")
    return " · ".join(parts)


def attempts_text(answer: Answer) -> str:
    """What an `auto` budget tried: `auto budget: 64 tokens "7", 128 tokens "8", ...`."""
    tried = ", ".join(f'{entry.kept} tokens "{entry.text}"' for entry in answer.attempts)
    return strip_controls(f"auto budget: {tried}; cost and seconds are those of all")


def choices_text(answer: Answer) -> str:
    """How probable each answer was: `choices: "A" 0.72, "B" 0.28`, and all of them together."""
    each = ", ".join(f'"{entry.text}" {entry.probability:.2f}' for entry in answer.choices)
    share = sum(math.exp(entry.logprob) for entry in answer.choices)
    return strip_controls(f"choices: {each}; the model writes one of them with {share:.2f}")


def totals(answer: Answer) -> str:
    """Counts that belong to no level and to no stage."""
    counts = answer.counts
    memory = bytes_text(answer.peak_memory)
    if answer.device_memory is not None:
        memory += f" (device {bytes_text(answer.device_memory)})"
    asked = f" in {count_text(answer.requests, 'request')}" if answer.requests else ""
    passes = count_text(counts.relevance_passes, "relevance pass", "relevance passes")
    seen = count_text(counts.relevance_tokens, "visual token")
    enters = count_text(counts.entering, "visual token enters", "visual tokens enter")
    dropped = (
        f"{enters}, {counts.stages[-1].tokens} stay to the last layer; {counts.kept} on average\n"
    )
    reused = f" ({counts.prompt_reused} of the prompt reused)" if counts.prompt_reused else ""
    return (
        f"{dropped if len(counts.stages) > 1 else ''}"
        f"{count_text(counts.text, 'text token')}{reused} · "
        f"{count_text(counts.answer_tokens, 'answer token')} · "
        f"{passes} over {seen}\n"
        f"{bytes_text(answer.bytes_read)} read{asked} · peak memory {memory}"
    )


def levels_table(answer: Answer, *, every: bool = False) -> Table:
    """Tiles and visual tokens, level by level, against the budget.

    Args:
        answer: whose.
        every: also levels that were left alone, and the column of tiles that were reused.
    """
    counts = answer.counts
    reused = every or counts.tiles_reused > 0
    noun = "view" if any(level.is_view for level in counts.levels) else "level"
    levels = [level for level in counts.levels if every or _touched(level)]
    cells = {
        noun: [str(level.level) for level in levels] + ["all"],
        "size": [str(level.size) for level in levels]
        + [count_text(counts.separators, "separator") if counts.separators else ""],
        "tiles": _with_sum([level.tiles for level in levels]),
        "encoded": _with_sum([level.encoded for level in levels]),
        "reused": _with_sum([level.reused for level in levels]),
        "seen": _with_sum([level.seen for level in levels]),
        "kept / budget": [str(level.kept) for level in levels]
        + [f"{counts.kept} / {counts.budget}"],
    }
    titles = [title for title in cells if reused or title != "reused"]
    rows = list(zip(*(cells[title] for title in titles), strict=True))
    return make_table(titles, rows, words=2, total=True)


def stages_table(answer: Answer, *, every: bool = False) -> Table:
    """FLOPs and seconds, stage by stage.

    Args:
        answer: whose.
        every: also stages in which nothing happened.
    """
    labels: list[str] = []
    flops: list[float | None] = []
    seconds: list[float] = []
    for label, parts, clocks in STAGES:
        spent = sum(getattr(answer.cost, part) for part in parts)
        took = sum(answer.seconds.get(clock, 0.0) for clock in clocks)
        if every or spent or took >= LEAST_SECONDS:
            labels.append(label)
            flops.append(spent if parts else None)
            seconds.append(took)
    labels.append("all")
    flops.append(answer.cost.total)
    seconds.append(sum(answer.seconds.values()))
    unit = unit_for([answer.cost.total])
    columns = labels, flops_texts(flops, unit), [f"{took:.3f}" for took in seconds]
    rows = list(zip(*columns, strict=True))
    return make_table(("stage", unit.name, "seconds"), rows, total=True)


def _touched(level: LevelCount) -> bool:
    return any((level.encoded, level.reused, level.seen, level.kept))


def _with_sum(numbers: list[int]) -> list[str]:
    return [str(number) for number in (*numbers, sum(numbers))]


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


def print_table(
    title: str, heads: Sequence[str], lines: Sequence[Sequence[str]], *, words: int = 1
) -> None:
    """A title and a table on stdout, where they are the result."""
    print_result(title)
    open_console(stderr=False, wide=True).print(make_table(heads, lines, words=words))


def unit_for(totals: Iterable[float]) -> Unit:
    """The unit in which the largest of some numbers of FLOPs is 1 or more."""
    most = max(totals, default=0.0)
    if not most:
        return UNITS[0]
    return next((unit for unit in UNITS if most >= unit.flops), UNITS[-1])


def flops_texts(column: Sequence[float | None], unit: Unit) -> list[str]:
    """FLOPs as the cells of one column: with the decimals that its least number needs.

    A number without one to show reads `<0.001`; None is an empty cell.
    """
    numbers = [flops / unit.flops for flops in column if flops]
    least = min(numbers, default=1.0)
    decimals = min(max(0, 2 - math.floor(math.log10(least))), DECIMALS)
    smallest = 10.0**-decimals

    def text(flops: float | None) -> str:
        if flops is None:
            return ""
        if 0 < flops / unit.flops < smallest / 2:
            return f"<{smallest:.{decimals}f}"
        return f"{flops / unit.flops:.{decimals}f}"

    return [text(flops) for flops in column]


def count_text(count: int, noun: str, plural: str | None = None) -> str:
    """A number with what it counts: `1 separator`, `2 separators`."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def bytes_text(count: float | None) -> str:
    """Bytes for people: `12.3 MB` (1 MB = 1000 kB)."""
    if count is None:
        return "not measured"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
