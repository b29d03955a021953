"""The report's tables as text cells: the terminal and the Markdown page draw the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from uhrqa.errors import ConfigError
from uhrqa.evaluation.controls import CONTROLS
from uhrqa.evaluation.figures import (
    FEW,
    NO_TARGET,
    PARTS,
    Share,
    Way,
    by_way,
    counting,
    difference,
    group,
    interval_over_scenes,
    mean,
    refused,
    target_bins,
)
from uhrqa.evaluation.intervals import Interval
from uhrqa.evaluation.row_log import Results
from uhrqa.evaluation.rows import Row

MIDDLE = 256  # tokens; the budget of the tables that show one, where it was run
OUTSIDE = "no budget"
BLANK = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, the heads of the columns, and lines of cells as text."""

    title: str
    heads: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]


def report_tables(
    results: Results, at: int | None = None, seed: int = 0, paired: bool = False
) -> list[Table]:
    """All tables: accuracy by budget, then at one budget by category, size and side, and the cost.

    Args:
        results: with one row or more.
        at: the budget of the tables that show one; see `chosen_budget`.
        seed: of the bootstrap.
        paired: also tell the differences from the best strategy.

    Raises:
        ConfigError: no row has the budget `at`.
    """
    ways = by_way(results.rows)
    chosen = chosen_budget({row.budget for row in results.rows if row.budget}, at)
    there = {way[0]: rows for way, rows in ways.items() if way[1] in (0, chosen)}
    under = f"at a budget of {chosen}" if chosen else "of the controls"
    sizes = (*target_bins(), NO_TARGET)
    return [
        accuracy_table(results, seed),
        *([paired_table(there, under, seed)] if paired else []),
        _parts_table(f"Right by category, {under}", there, PARTS["category"], sorted),
        _parts_table(
            f"Right by length of the shortest object asked about, {under}",
            there,
            PARTS["target"],
            lambda names: [name for name in sizes if name in set(names)],
        ),
        _parts_table(
            f"Right by longer side of the {subject_noun(results)} in px, {under}",
            there,
            PARTS["side"],
            lambda names: sorted(names, key=int),
        ),
        cost_table(f"Localisation, counting and cost {under}", there),
    ]


def subject_noun(results: Results) -> str:
    """What questions are about: a drawn scene, or an image where they come from a file."""
    return "image" if "questions" in results.manifest else "scene"


def chosen_budget(budgets: Iterable[int], at: int | None = None) -> int:
    """The budget of the tables that show one: `at`, else `MIDDLE` where it was run, else a middle.

    Returns:
        0 where there is no budget.

    Raises:
        ConfigError: `at` is none of the budgets.
    """
    budgets = sorted(budgets)
    if at is not None and at not in budgets:
        known = ", ".join(map(str, budgets)) or "none"
        raise ConfigError(f"--at {at}: nothing is asked at that budget; there are {known}")
    if at is None and MIDDLE not in budgets:
        return budgets[len(budgets) // 2] if budgets else 0
    return MIDDLE if at is None else at


def accuracy_table(results: Results, seed: int = 0) -> Table:
    """Share right by strategy and budget, with the bootstrap over scenes."""
    ways = by_way(results.rows)
    refusals = {(refusal.strategy, refusal.budget) for refusal in results.refusals}
    known = [*ways, *sorted(refusals - set(ways))]
    budgets = sorted({budget for _, budget in known if budget})
    columns = [*budgets, *([0] if any(not budget for _, budget in known) else [])]
    most = max(len(rows) for rows in ways.values())
    ends = {way: interval_over_scenes(rows, seed) for way, rows in ways.items()}

    def cell(way: Way) -> str:
        if way not in ways:
            return "refused" if way in refusals else BLANK
        share = Share.of(ways[way])
        text = f"{share_text(share)} {interval_text(ends[way])}"
        return text if share.count == most else f"{text} n={share.count}"

    over = f"{subject_noun(results)}s"
    none = f" ([{BLANK}]: they need two {over})" if None in ends.values() else ""
    return Table(
        f"Right of {most} questions, with 95 % intervals over {over}{none}; "
        "n where fewer were answered",
        ("strategy", *(str(budget) if budget else OUTSIDE for budget in columns)),
        [
            (name, *(cell((name, budget)) for budget in columns))
            for name in dict.fromkeys(name for name, _ in known)
        ],
    )


def paired_table(there: Mapping[str, Sequence[Row]], under: str, seed: int = 0) -> Table:
    """How far each strategy is behind the best one on the questions that both answered."""
    best = max(
        (name for name in there if name not in CONTROLS),
        key=lambda name: Share.of(there[name]).value,
        default=next(iter(there)),
    )
    lines = []
    for name, rows in there.items():
        gap = difference(rows, there[best], seed)
        ends = f"[{gap.interval.low:+.2f}, {gap.interval.high:+.2f}]" if gap.interval else BLANK
        lines.append((name, f"{gap.value:+.2f}", ends, str(gap.count)))
    heads = ("strategy", "difference", "95 %", "questions")
    return Table(f"Difference from {best}, on the same questions, {under}", heads, lines)


def _parts_table(
    title: str,
    there: Mapping[str, Sequence[Row]],
    part: Callable[[Row], str],
    order: Callable[[Iterable[str]], list[str]],
) -> Table:
    """Share right by strategy and part; heads say how many questions a part has."""
    groups = {name: group(rows, part) for name, rows in there.items()}
    parts = order({key for found in groups.values() for key in found})
    counts = {key: max(len(found.get(key, ())) for found in groups.values()) for key in parts}

    def cell(rows: Sequence[Row], most: int) -> str:
        if not rows:
            return BLANK
        text = share_text(Share.of(rows))
        return text if len(rows) == most else f"{text} n={len(rows)}"

    return Table(
        title,
        ("strategy", *(f"{key} (n={counts[key]})" for key in parts)),
        [
            (name, *(cell(found.get(key, []), counts[key]) for key in parts))
            for name, found in groups.items()
        ],
    )


def cost_table(title: str, there: Mapping[str, Sequence[Row]]) -> Table:
    """Objects found, tokens, tiles and TFLOPs as means over questions, and how well it counts."""
    heads = (
        "strategy", "objects found", "tokens kept", "tiles", "TFLOPs", "count error",
        f"exact to {FEW}",
    )  # fmt: skip
    lines = []
    for name, rows in there.items():
        counted = counting(rows)
        lines.append(
            (
                name,
                _number(mean(row.found for row in rows), 2),
                _number(mean(row.kept for row in rows), 0),
                _number(mean(row.tiles for row in rows), 1),
                _number(mean(row.tflops for row in rows), 3),
                _number(counted.error if counted else None, 2),
                _number(counted.exact if counted else None, 2),
            )
        )
    return Table(title, heads, lines)


def refusal_lines(results: Results) -> list[str]:
    """What was refused, a line for each strategy and budget."""
    lines = []
    for entry in refused(results):
        budget = f" at {entry['budget']}" if entry["budget"] else ""
        noun = "question" if entry["questions"] == 1 else "questions"
        what = f"{entry['strategy']}{budget}: {entry['questions']} {noun} refused"
        lines.append(f"{what}: {entry['reason']}")
    return lines


def share_text(share: Share) -> str:
    """A share to two decimals, without the leading 0: `.94`."""
    return _short(share.value)


def interval_text(interval: Interval | None) -> str:
    """An interval in brackets; a dash where there is none."""
    return f"[{_short(interval.low)}, {_short(interval.high)}]" if interval else f"[{BLANK}]"


def _short(value: float) -> str:
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0.") else text


def _number(value: float | None, decimals: int) -> str:
    return BLANK if value is None else f"{value:.{decimals}f}"
