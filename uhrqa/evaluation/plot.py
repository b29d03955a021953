"""The report as a picture: accuracy against visual tokens, a line for each strategy.

matplotlib is optional and imported only here, when a picture is drawn.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uhrqa.errors import ConfigError, OutputError
from uhrqa.evaluation.controls import CONTROLS
from uhrqa.evaluation.figures import Share, by_way, interval_over_scenes, mean
from uhrqa.evaluation.intervals import Interval
from uhrqa.evaluation.row_log import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")
COLOURS = (  # told apart by colour-blind eyes too (Okabe and Ito 2008; its yellow left out)
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
MARKERS = "osD^vP*X"
GREY = "#666666"
LABEL_GAP = 0.036  # of the axis' height, between the labels of two lines
LABEL_ROOM = 0.12  # of the axis' width, at the left for the names of controls
NEAR = 0.7  # of the most tokens; a line that ends before is named where it ends
SIZE = (9.0, 5.4)  # inches


@dataclass(frozen=True, slots=True)
class Point:
    """One strategy at one budget: mean tokens kept, share right and where that may lie."""

    tokens: float
    share: float
    interval: Interval | None


def require_matplotlib(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before anything is computed.

    Raises:
        ConfigError: matplotlib is not installed, or the file is neither SVG nor PNG.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--plot {path}: write a name that ends with {' or '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib: pip install 'uhrqa[plot]'")


def points(results: Results, seed: int = 0) -> dict[str, list[Point]]:
    """Strategy or control to its points, fewest tokens first.

    A strategy that was refused for some questions at a budget has no point there: it would be
    compared over easier questions than the others. One that keeps the same tokens at every budget
    has one point.
    """
    ways = by_way(results.rows)
    refused = {(refusal.strategy, refusal.budget) for refusal in results.refusals}
    found: dict[str, list[Point]] = {}
    for (name, budget), rows in ways.items():
        if (name, budget) not in refused:
            tokens = mean(row.kept for row in rows) or 0.0
            over_scenes = interval_over_scenes(rows, seed)
            found.setdefault(name, []).append(Point(tokens, Share.of(rows).value, over_scenes))
    return {name: _distinct(line) for name, line in found.items()}


def _distinct(line: list[Point]) -> list[Point]:
    """Points by tokens, one for each number of them."""
    return [by_tokens for _, by_tokens in sorted({p.tokens: p for p in line}.items())]


def spread_labels(heights: Sequence[float], gap: float = LABEL_GAP) -> list[float]:
    """Heights of labels moved apart to `gap` at least, in their order and as near as may be."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    placed: list[list[float]] = []  # groups of touching labels: their own wishes, lowest first
    for index in order:
        placed.append([heights[index]])
        while len(placed) > 1 and _bottom(placed[-1], gap) < _top(placed[-2], gap) + gap:
            placed[-2:] = [placed[-2] + placed[-1]]
    spots = [_bottom(part, gap) + gap * turn for part in placed for turn in range(len(part))]
    return [spot for _, spot in sorted(zip(order, spots, strict=True))]


def _bottom(part: list[float], gap: float) -> float:
    return sum(part) / len(part) - gap * (len(part) - 1) / 2


def _top(part: list[float], gap: float) -> float:
    return _bottom(part, gap) + gap * (len(part) - 1)


def draw_plot(results: Results, path: Path, seed: int = 0) -> None:
    """Draw the picture into a file; its suffix decides the format.

    Args:
        results: with one row or more.
        path: SVG or PNG.
        seed: of the bootstrap.

    Raises:
        OutputError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    found = points(results, seed)
    with mpl.rc_context({"svg.hashsalt": "uhrqa", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        lines = {name: p for name, p in found.items() if name not in CONTROLS}
        _set_tokens(axes, lines, sorted({row.budget for row in results.rows if row.budget}))
        _draw_lines(axes, lines)
        _draw_controls(axes, {name: p[0] for name, p in found.items() if name in CONTROLS})
        axes.set(xlabel="visual tokens kept (mean)", ylabel="share of questions right", ylim=(0, 1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        try:
            figure.savefig(path, dpi=160, metadata=metadata)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _draw_lines(axes: Axes, found: dict[str, list[Point]]) -> None:
    """A line with its band for each strategy, and its name at the right end."""
    most = max((line[-1].tokens for line in found.values()), default=1.0)
    far = {name: line for name, line in found.items() if line[-1].tokens >= NEAR * most}
    edge = axes.get_xlim()[1]
    spots = dict(zip(far, spread_labels([line[-1].share for line in far.values()]), strict=True))
    for turn, (name, line) in enumerate(found.items()):
        colour = COLOURS[turn % len(COLOURS)]
        tokens, shares = [p.tokens for p in line], [p.share for p in line]
        axes.plot(tokens, shares, color=colour, marker=MARKERS[turn % len(MARKERS)], markersize=5)
        if all(p.interval for p in line):
            low, high = zip(*(p.interval for p in line if p.interval), strict=True)
            axes.fill_between(tokens, low, high, color=colour, alpha=0.12, linewidth=0)
        _name_line(
            axes, name, line[-1], colour, (edge * 1.04, spots[name]) if name in far else None
        )


def _name_line(
    axes: Axes, name: str, end: Point, colour: str, spot: tuple[float, float] | None
) -> None:
    """The name in the right margin at `spot`; beside the line's end where it ends before."""
    point = end.tokens, end.share
    if spot is None:
        axes.annotate(name, point, (6, -11), textcoords="offset points", color=colour)
        return
    arrow = {"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.5}
    axes.annotate(
        name, point, spot, color=colour, va="center", arrowprops=arrow, annotation_clip=False
    )


def _set_tokens(axes: Axes, found: dict[str, list[Point]], budgets: Sequence[int]) -> None:
    """The axis of tokens: budgets as ticks, and room at the left for the names of the controls."""
    axes.set_xscale("log", base=2)
    tokens = [point.tokens for line in found.values() for point in line]
    axes.set_xticks(budgets, [str(budget) for budget in budgets], minor=False)
    if tokens:
        least, most = max(1.0, min(tokens)), max(*tokens, *budgets)
        axes.set_xlim(least / 1.25 * (least / most) ** LABEL_ROOM, most * 1.04)


def _draw_controls(axes: Axes, found: dict[str, Point]) -> None:
    """A dashed line over the whole width for each control, named at the left."""
    spots = spread_labels([point.share for point in found.values()])
    for (name, point), spot in zip(found.items(), spots, strict=True):
        axes.axhline(point.share, color=GREY, linestyle=(0, (5, 3)), linewidth=1)
        text = f"{name} {point.share:.2f}"
        across = axes.get_yaxis_transform()  # x in shares of the width, y in data
        axes.text(0.01, spot + 0.003, text, transform=across, color=GREY, va="bottom", fontsize=9)
