"""How objects are drawn: polygons in their own axes, put through a `Brush`.

Objects of a kind share a silhouette and inner marks (a deck, a court's lines, a roof's ridge).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from uhrqa.synth.kinds import COLOURS, Colour
from uhrqa.synth.scene import Thing

Points = Sequence[tuple[float, float]]
MARK_LIMIT = 5.0  # canvas px: objects shorter than this get no inner marks


@dataclass(frozen=True, slots=True)
class Brush:
    """Draws polygons given in an object's own axes.

    Attributes:
        draw: the canvas.
        zoom: canvas pixels per source pixel, along x and y.
        x0: left edge of the canvas in source pixels.
        y0: top edge.
    """

    draw: ImageDraw.ImageDraw
    zoom: tuple[float, float]
    x0: float
    y0: float

    def at(self, x: float, y: float, angle: float, size: float) -> Pen:
        """A pen whose axes start at (x, y), turned by `angle`, `size` source px to the unit."""
        return Pen(self, x, y, math.cos(angle) * size, math.sin(angle) * size)


@dataclass(frozen=True, slots=True)
class Pen:
    """A `Brush` in the axes of one object."""

    brush: Brush
    x: float
    y: float
    c: float
    s: float

    def _map(self, points: Points) -> list[tuple[float, float]]:
        b = self.brush
        return [
            (
                (self.x + u * self.c - v * self.s - b.x0) * b.zoom[0] - 0.5,
                (self.y + u * self.s + v * self.c - b.y0) * b.zoom[1] - 0.5,
            )
            for u, v in points
        ]

    def poly(self, points: Points, colour: Colour) -> None:
        """A filled polygon."""
        self.brush.draw.polygon(self._map(points), fill=colour)

    def rect(self, u: float, v: float, half: tuple[float, float], colour: Colour) -> None:
        """A filled rectangle by centre and half sides."""
        a, b = half
        self.poly(((u - a, v - b), (u + a, v - b), (u + a, v + b), (u - a, v + b)), colour)

    def disc(self, u: float, v: float, radius: float, colour: Colour) -> None:
        """A filled circle."""
        steps = (k * math.pi / 7 for k in range(14))
        self.poly([(u + radius * math.cos(t), v + radius * math.sin(t)) for t in steps], colour)

    @property
    def pixels(self) -> float:
        """Canvas pixels to the unit."""
        return math.hypot(self.c, self.s) * self.brush.zoom[0]

    def shifted(self, dx: float, dy: float) -> Pen:
        """The same pen moved by source pixels (for shadows)."""
        return Pen(self.brush, self.x + dx, self.y + dy, self.c, self.s)


def shade(colour: Colour, by: float) -> Colour:
    """A colour made darker (below 1) or lighter."""
    r, g, b = (max(0, min(255, round(value * by))) for value in colour)
    return r, g, b


_DARK: Colour = (34, 36, 40)
LINE: Colour = (236, 236, 228)
_HULL = ((-0.5, -0.12), (-0.42, -0.17), (0.2, -0.17), (0.5, 0.0), (0.2, 0.17), (-0.42, 0.17),
         (-0.5, 0.12))  # fmt: skip
_WINGS = ((0.12, 0.0), (-0.12, 0.45), (-0.24, 0.45), (-0.1, 0.0), (-0.24, -0.45), (-0.12, -0.45))
_TAIL = ((-0.34, 0.0), (-0.44, 0.19), (-0.5, 0.19), (-0.46, 0.0), (-0.5, -0.19), (-0.44, -0.19))
_BODY = ((0.5, 0.0), (0.4, 0.07), (-0.48, 0.05), (-0.48, -0.05), (0.4, -0.07))
_ELL = ((-0.5, -0.4), (0.5, -0.4), (0.5, 0.0), (0.0, 0.0), (0.0, 0.4), (-0.5, 0.4))


def draw_thing(brush: Brush, thing: Thing) -> None:
    """One object."""
    pen = brush.at(thing.x, thing.y, thing.angle, thing.length)
    _THINGS[thing.kind](pen, thing, COLOURS[thing.colour], pen.pixels >= MARK_LIMIT)


def _ship(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    if thing.state == "moving":
        pen.poly(((-0.45, 0.06), (-1.5, 0.42), (-1.5, -0.42), (-0.45, -0.06)), (198, 214, 222))
    pen.poly(_HULL, colour)
    if marked:
        deck = (90, 92, 96) if thing.colour != "black" else (190, 190, 186)
        pen.rect(-0.28, 0.0, (0.1, 0.1), deck)
        pen.rect(0.08, 0.0, (0.14, 0.035), deck)


def _airplane(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.shifted(0.08 * thing.length, 0.08 * thing.length).poly(_WINGS, _DARK)
    for part in (_WINGS, _TAIL, _BODY):
        pen.poly(part, colour)
    if marked:
        pen.rect(0.4, 0.0, (0.04, 0.04), _DARK)


def _tank(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    shift = 0.16 * thing.length
    pen.shifted(shift, shift).disc(0, 0, 0.48, _DARK)
    pen.disc(0, 0, 0.5, colour)
    if thing.state == "open":  # the floating roof lies low: a dark bowl with the tank's rim
        pen.disc(0, 0, 0.36, shade(colour, 0.35))
    elif marked:
        pen.disc(0, 0, 0.1, shade(colour, 0.75))


def _bridge(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.shifted(0.06 * thing.length, 0.06 * thing.length).rect(0, 0, (0.5, 0.15), _DARK)
    pen.rect(0, 0, (0.5, 0.16), colour)
    if marked:
        pen.rect(0, 0, (0.5, 0.03), shade(colour, 0.55))


def _court(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.rect(0, 0, (0.5, 0.28), colour)
    if marked:
        for sign in (-1, 1):
            pen.rect(0, 0.19 * sign, (0.42, 0.022), LINE)
            pen.rect(0.41 * sign, 0, (0.022, 0.2), LINE)
        pen.rect(0, 0, (0.025, 0.24), LINE)


def _car(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.rect(0, 0, (0.5, 0.25), colour)
    if marked:
        pen.rect(0.14, 0, (0.08, 0.2), _DARK)
        pen.rect(-0.32, 0, (0.05, 0.18), _DARK)


def _pool(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    water = (44, 150, 220) if thing.colour == "blue" else (70, 190, 130)
    rim: Colour = (240, 238, 230)
    if thing.shape == "round":
        pen.disc(0, 0, 0.5, rim)
        pen.disc(0, 0, 0.41, water)
    elif thing.shape == "l-shaped":
        pen.poly(_ELL, rim)
        pen.poly(((-0.42, -0.32), (0.42, -0.32), (0.42, -0.08), (-0.08, -0.08), (-0.08, 0.32),
                  (-0.42, 0.32)), water)  # fmt: skip
    else:
        pen.rect(0, 0, (0.5, 0.3), rim)
        pen.rect(0, 0, (0.42, 0.22), water)


def _house(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    shadow = pen.shifted(0.14 * thing.length, 0.14 * thing.length)
    dim = shade(colour, 0.68)
    if thing.shape == "l-shaped":
        shadow.poly(_ELL, _DARK)
        pen.poly(_ELL, colour)
        pen.poly(((-0.5, -0.2), (0.5, -0.2), (0.5, 0.0), (0.0, 0.0), (0.0, 0.4), (-0.25, 0.4),
                  (-0.25, -0.2)), dim)  # fmt: skip
    else:
        shadow.rect(0, 0, (0.5, 0.35), _DARK)
        pen.rect(0, 0, (0.5, 0.35), colour)
        pen.rect(0, 0.175, (0.5, 0.175), dim)


_THINGS = {
    "ship": _ship,
    "airplane": _airplane,
    "storage tank": _tank,
    "bridge": _bridge,
    "tennis court": _court,
    "car": _car,
    "swimming pool": _pool,
    "house": _house,
}
