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
        shadow: where the shadow of something one unit high ends, in units, along x and y.
    """

    draw: ImageDraw.ImageDraw
    zoom: tuple[float, float]
    x0: float
    y0: float
    shadow: tuple[float, float] = (0.0, 0.0)

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

    def oval(self, a: float, b: float, colour: Colour) -> None:
        """A filled ellipse around the centre by half axes."""
        steps = (k * math.pi / 10 for k in range(20))
        self.poly([(a * math.cos(t), b * math.sin(t)) for t in steps], colour)

    @property
    def pixels(self) -> float:
        """Canvas pixels to the unit."""
        return math.hypot(self.c, self.s) * self.brush.zoom[0]

    def shadow(self, height: float) -> Pen:
        """The same pen at the end of the shadow of something `height` units high."""
        unit = math.hypot(self.c, self.s) * height
        dx, dy = self.brush.shadow
        return Pen(self.brush, self.x + dx * unit, self.y + dy * unit, self.c, self.s)


def shade(colour: Colour, by: float) -> Colour:
    """A colour made darker (below 1) or lighter."""
    r, g, b = (max(0, min(255, round(value * by))) for value in colour)
    return r, g, b


DARK: Colour = (38, 40, 46)
LINE: Colour = (228, 228, 220)
_FOAM: Colour = (196, 208, 214)
_HULL = ((-0.5, -0.11), (-0.44, -0.16), (0.12, -0.17), (0.36, -0.1), (0.5, 0.0), (0.36, 0.1),
         (0.12, 0.17), (-0.44, 0.16), (-0.5, 0.11))  # fmt: skip
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
        pen.poly(((-0.4, 0.08), (-1.5, 0.4), (-1.5, 0.24), (-0.5, 0.0), (-1.5, -0.24),
                  (-1.5, -0.4), (-0.4, -0.08)), _FOAM)  # fmt: skip
        pen.rect(-0.85, 0.0, (0.4, 0.07), _FOAM)
    pen.shadow(0.1).poly(_HULL, DARK)
    pen.poly(_HULL, colour)
    if marked:
        deck = (92, 94, 98) if thing.colour != "black" else (176, 176, 172)
        pen.rect(-0.3, 0.0, (0.09, 0.1), LINE if thing.colour != "white" else deck)
        pen.rect(0.06, 0.0, (0.16, 0.04), deck)
        pen.rect(0.27, 0.0, (0.03, 0.06), shade(colour, 0.7))


def _airplane(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    low = pen.shadow(0.1)
    for part in (_WINGS, _BODY):
        low.poly(part, DARK)
    for part in (_WINGS, _TAIL, _BODY):
        pen.poly(part, colour)
    if marked:
        pen.rect(0.4, 0.0, (0.03, 0.045), DARK)
        for sign in (-1, 1):
            pen.rect(0.02, 0.2 * sign, (0.06, 0.03), shade(colour, 0.6))


def _tank(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.shadow(0.3).disc(0, 0, 0.49, DARK)
    pen.disc(0, 0, 0.5, colour)
    if thing.state == "open":  # the floating roof lies low: a dark bowl with the tank's rim
        pen.disc(0, 0, 0.37, shade(colour, 0.34))
    elif marked:
        pen.disc(0, 0, 0.36, shade(colour, 1.06))
        pen.disc(0, 0, 0.09, shade(colour, 0.75))


def _bridge(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.shadow(0.14).rect(0, 0, (0.5, 0.15), DARK)
    pen.rect(0, 0, (0.5, 0.16), colour)
    if marked:
        for sign in (-1, 1):
            pen.rect(0, 0.14 * sign, (0.5, 0.02), shade(colour, 0.6))
        pen.rect(0, 0, (0.5, 0.012), LINE)


def _court(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.rect(0, 0, (0.5, 0.28), colour)
    if marked:
        pen.rect(0, 0, (0.4, 0.2), shade(colour, 1.18))
        for sign in (-1, 1):
            pen.rect(0, 0.19 * sign, (0.42, 0.022), LINE)
            pen.rect(0.41 * sign, 0, (0.022, 0.2), LINE)
        pen.rect(0, 0, (0.025, 0.24), LINE)


def _car(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    pen.shadow(0.22).rect(0, 0, (0.48, 0.23), DARK)
    pen.rect(0, 0, (0.5, 0.24), colour)
    if marked:
        pen.rect(0.14, 0, (0.07, 0.2), DARK)
        pen.rect(-0.32, 0, (0.05, 0.18), DARK)


def _pool(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    water = (44, 150, 214) if thing.colour == "blue" else (70, 184, 130)
    rim: Colour = (232, 230, 220)
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
    low, dim = pen.shadow(0.26), shade(colour, 0.68)
    if thing.shape == "l-shaped":
        low.poly(_ELL, DARK)
        pen.poly(_ELL, colour)
        pen.poly(((-0.5, -0.2), (0.5, -0.2), (0.5, 0.0), (0.0, 0.0), (0.0, 0.4), (-0.25, 0.4),
                  (-0.25, -0.2)), dim)  # fmt: skip
    else:
        low.rect(0, 0, (0.5, 0.35), DARK)
        pen.rect(0, 0, (0.5, 0.35), colour)
        pen.rect(0, 0.175, (0.5, 0.175), dim)
    if marked:
        pen.rect(-0.3, -0.2, (0.05, 0.05), shade(colour, 0.5))


def _stadium(pen: Pen, thing: Thing, colour: Colour, marked: bool) -> None:
    """Stands around a track and a pitch."""
    low, turf = pen.shadow(0.12), (86, 138, 66)
    if thing.shape == "oval":
        low.oval(0.5, 0.38, DARK)
        pen.oval(0.5, 0.38, colour)
        pen.oval(0.39, 0.26, (170, 96, 72))
    else:
        low.rect(0, 0, (0.5, 0.38), DARK)
        pen.rect(0, 0, (0.5, 0.38), colour)
        pen.rect(0, 0, (0.4, 0.27), shade(colour, 0.55))
    pen.rect(0, 0, (0.26, 0.17), turf)
    if marked:
        for k in (-2, 0, 2):
            pen.rect(0.06 * k, 0, (0.03, 0.17), shade(turf, 1.12))
        pen.rect(0, 0, (0.008, 0.17), LINE)


_THINGS = {
    "ship": _ship,
    "airplane": _airplane,
    "storage tank": _tank,
    "bridge": _bridge,
    "tennis court": _court,
    "car": _car,
    "swimming pool": _pool,
    "house": _house,
    "stadium": _stadium,
}
