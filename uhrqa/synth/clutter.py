"""What no question asks about: trees, rocks, and things that look like objects and are none."""

from __future__ import annotations

from collections.abc import Callable

from uhrqa.synth.kinds import Colour
from uhrqa.synth.scene import Clutter
from uhrqa.synth.shapes import DARK, Brush, Pen, shade


def draw_clutter(brush: Brush, spot: Clutter) -> None:
    """One piece."""
    tones, draw = CLUTTER[spot.kind]
    draw(brush.at(spot.x, spot.y, spot.angle, spot.length), tones[spot.tone % len(tones)])


def _tree(pen: Pen, colour: Colour) -> None:
    pen.shadow(0.3).disc(0, 0, 0.46, shade(colour, 0.45))
    pen.disc(0, 0, 0.5, colour)
    dx, dy = pen.brush.shadow
    pen.disc(-0.12 * dx, -0.12 * dy, 0.25, shade(colour, 1.25))


def _rock(pen: Pen, colour: Colour) -> None:
    """As long as a ship, without its lines."""
    pen.poly(((-0.5, 0.02), (-0.2, -0.17), (0.28, -0.12), (0.5, 0.07), (0.1, 0.2), (-0.35, 0.16)),
             colour)  # fmt: skip


def _whitecap(pen: Pen, colour: Colour) -> None:
    """A breaking wave: as pale and narrow as a hull."""
    pen.poly(((-0.5, 0.05), (-0.1, -0.06), (0.5, 0.02), (0.1, 0.08)), colour)


def _container(pen: Pen, colour: Colour) -> None:
    """As long as a car is, ribbed, without windows."""
    pen.shadow(0.3).rect(0, 0, (0.5, 0.17), DARK)
    pen.rect(0, 0, (0.5, 0.17), colour)
    for k in (-3, -1, 1, 3):
        pen.rect(0.12 * k, 0, (0.02, 0.17), shade(colour, 0.75))


def _tarp(pen: Pen, colour: Colour) -> None:
    """A blue sheet: a pool's colour without its rim."""
    pen.poly(((-0.5, -0.2), (0.44, -0.27), (0.5, 0.22), (-0.4, 0.28)), colour)


def _greenhouse(pen: Pen, colour: Colour) -> None:
    """A court's outline, with ribs for lines."""
    pen.shadow(0.1).rect(0, 0, (0.5, 0.22), DARK)
    pen.rect(0, 0, (0.5, 0.22), colour)
    for k in range(-3, 4):
        pen.rect(0.14 * k, 0, (0.015, 0.22), shade(colour, 0.82))


def _pond(pen: Pen, colour: Colour) -> None:
    """A tank's outline, uneven and without a shadow."""
    pen.poly(((-0.5, 0.0), (-0.3, -0.4), (0.2, -0.46), (0.5, -0.1), (0.36, 0.36), (-0.2, 0.44)),
             colour)  # fmt: skip


CLUTTER: dict[str, tuple[tuple[Colour, ...], Callable[[Pen, Colour], None]]] = {
    "tree": (((50, 76, 42), (66, 88, 46), (82, 84, 44)), _tree),
    "rock": (((108, 102, 94), (84, 82, 78)), _rock),
    "whitecap": (((176, 192, 200), (150, 172, 184)), _whitecap),
    "container": (((150, 74, 58), (70, 96, 136), (160, 156, 148), (168, 138, 66)), _container),
    "tarp": (((58, 104, 168), (74, 122, 150)), _tarp),
    "greenhouse": (((190, 198, 196), (160, 178, 168)), _greenhouse),
    "pond": (((62, 84, 84), (86, 92, 68)), _pond),
}
"""Colours and drawing of each kind of clutter."""

AT_SEA = ("rock", "whitecap")
ON_LAND = ("tree", "tree", "tree", "container", "tarp", "greenhouse", "pond", "rock")
