"""A distillation as a picture: its losses, and what its module finds beside its teacher.

matplotlib is optional and imported only here, when a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from uhrqa.distill.run import Outcome
from uhrqa.errors import OutputError
from uhrqa.evaluation.plot import COLOURS, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (10.0, 4.2)  # inches
WINDOWS = 60  # points of a curve, at most: means of neighbouring steps
PARTS = (
    ("total", "loss (weighted sum)"), ("whole", "KL, all tokens"),
    ("local", "KL, high-resolution tokens"), ("mse", "MSE of their logits, scaled"),
)  # fmt: skip


def draw_plot(outcome: Outcome, path: Path) -> None:
    """Draw the picture into a file; its suffix decides the format.

    Raises:
        OutputError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "uhrqa", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=SIZE, layout="constrained")
        found = bool(outcome.after.recalls)
        axes = figure.subplots(1, 1 + found, squeeze=False)[0]
        _draw_losses(axes[0], outcome)
        if found:
            _draw_recall(axes[1], outcome)
        for part in axes:
            part.spines[["top", "right"]].set_visible(False)
            part.grid(axis="y", color="#dddddd", linewidth=0.6)
            part.set_axisbelow(True)
            part.legend(frameon=False, fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        try:
            figure.savefig(path, dpi=160, metadata=metadata)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def smooth(values: Sequence[float], windows: int = WINDOWS) -> tuple[list[float], list[float]]:
    """Middles and means of equally long runs of values, numbered from 1."""
    count = min(windows, len(values))
    edges = [round(k * len(values) / count) for k in range(count + 1)]
    runs = list(pairwise(edges))
    return [(a + 1 + b) / 2 for a, b in runs], [sum(values[a:b]) / (b - a) for a, b in runs]


def _draw_losses(axes: Axes, outcome: Outcome) -> None:
    for (name, label), colour in zip(PARTS, COLOURS, strict=False):
        steps, means = smooth([getattr(losses, name) for losses in outcome.curve])
        axes.plot(steps, means, color=colour, label=label, linewidth=1.6)
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))


def _draw_recall(axes: Axes, outcome: Outcome) -> None:
    """Bars for each share of tokens: chance, the module before and after, its teacher."""
    before, after = outcome.before.recalls, outcome.after.recalls
    bars = {
        "chance": [recall.chance for recall in after],
        "module at the start": [recall.module for recall in before],
        "module distilled": [recall.module for recall in after],
        "teacher": [recall.teacher for recall in after],
    }
    width = 0.8 / len(bars)
    for turn, ((label, heights), colour) in enumerate(
        zip(bars.items(), ("#bbbbbb", COLOURS[5], COLOURS[0], GREY), strict=True)
    ):
        places = [k + (turn - 1.5) * width for k in range(len(after))]
        axes.bar(places, heights, width, color=colour, label=label)
    shares = [f"best {100 * recall.share:g} %" for recall in after]
    axes.set_xticks(range(len(after)), shares)
    where = "held-out images" if outcome.held_out else "the images trained on"
    axes.set(ylabel=f"share of boxes found ({where})", ylim=(0, 1), xlabel="tokens of level 1")
