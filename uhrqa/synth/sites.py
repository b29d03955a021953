"""How sites are drawn: a pad of the site's ground and a structure around it.

The structures can be told apart when the objects on them are one pixel long.
"""

from __future__ import annotations

import math

from uhrqa.synth.kinds import SURFACES, Colour
from uhrqa.synth.scene import Site
from uhrqa.synth.shapes import LINE, Brush, Pen, shade


def draw_site(brush: Brush, site: Site) -> None:
    """A site's pad and structure, without its objects."""
    pen = brush.at(site.x, site.y, site.angle, site.radius)
    draw = _roadstead if site.at_sea else _SITES[site.kind]
    draw(pen, SURFACES[site.surface])


def _harbour(pen: Pen, ground: Colour) -> None:
    """A basin with a pale quay on two sides and a pier."""
    pen.poly(((-1.1, -1.0), (1.1, -1.0), (1.1, 1.0), (-1.1, 1.0)), (168, 164, 154))
    pen.poly(((-0.95, -0.85), (1.2, -0.85), (1.2, 1.1), (-0.95, 1.1)), ground)
    pen.rect(-0.78, 0.1, (0.06, 0.8), (150, 120, 84))


def _roadstead(pen: Pen, ground: Colour) -> None:
    """Turbid water off the coast, between buoys."""
    murk = shade(ground, 1.22)
    pen.poly([(r * math.cos(t), 0.85 * r * math.sin(t)) for t, r in _blob(14, 1.05)], murk)
    pen.poly([(r * math.cos(t), 0.85 * r * math.sin(t)) for t, r in _blob(14, 0.8)], ground)
    for u, v in ((-1.0, 0.1), (1.0, -0.1), (0.1, 0.9), (-0.1, -0.9)):
        pen.disc(u, v, 0.035, (226, 190, 60))


def _blob(count: int, radius: float) -> list[tuple[float, float]]:
    """(direction, distance) around an uneven outline."""
    uneven = [0.06 * math.sin(1.7 * k) + 0.04 * math.cos(2.9 * k) for k in range(count)]
    return [(2 * math.pi * k / count, radius * (1 + uneven[k])) for k in range(count)]


def _arena(pen: Pen, ground: Colour) -> None:
    """A forecourt with a ring of parked space and trees at its corners."""
    pen.poly([(r * math.cos(t), r * math.sin(t)) for t, r in _blob(18, 1.1)], shade(ground, 0.8))
    pen.poly([(r * math.cos(t), r * math.sin(t)) for t, r in _blob(18, 0.95)], ground)
    for k in range(8):
        pen.rect(1.02 * math.cos(k * 0.785), 1.02 * math.sin(k * 0.785), (0.05, 0.05), LINE)


def _airfield(pen: Pen, ground: Colour) -> None:
    """An apron with a runway beside it."""
    pen.poly(((-0.8, -1), (0.8, -1), (1, -0.8), (1, 0.8), (-1, 0.8), (-1, -0.8)), ground)
    pen.rect(0, 1.05, (1.9, 0.22), (60, 62, 66))
    for k in range(-3, 4):
        pen.rect(0.5 * k, 1.05, (0.14, 0.04), LINE)


def _depot(pen: Pen, ground: Colour) -> None:
    """A square behind a pale dike."""
    pen.rect(0, 0, (1.05, 1.05), (204, 194, 160))
    pen.rect(0, 0, (0.92, 0.92), ground)


def _river(pen: Pen, ground: Colour) -> None:
    """A reach of river with sandy banks."""
    top = [(-2.2 + 0.4 * k, -0.3 + 0.1 * math.sin(1.9 * k)) for k in range(12)]
    low = [(u, v + 0.6) for u, v in reversed(top)]
    bank = [(u, v - 0.14) for u, v in top] + [(u, v + 0.14) for u, v in low]
    pen.poly(bank, (178, 162, 124))
    pen.poly(top + low, ground)


def _park(pen: Pen, ground: Colour) -> None:
    """A pad in a ring of lawn with corner trees."""
    pen.disc(0, 0, 1.2, (96, 132, 74))
    pen.rect(0, 0, (0.82, 0.82), ground)
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        pen.disc(0.93 * u, 0.93 * v, 0.15, (44, 78, 42))


def _car_park(pen: Pen, ground: Colour) -> None:
    """A lot with rows of stall marks on two sides and a way in."""
    pen.rect(0, 1.3, (0.16, 0.4), (70, 72, 76))
    pen.rect(0, 0, (1.0, 1.0), shade(ground, 0.72))
    pen.rect(0, 0, (0.95, 0.95), ground)
    for k in range(-4, 5):
        for sign in (-1, 1):
            pen.rect(0.21 * k, 0.86 * sign, (0.025, 0.13), LINE)


def _resort(pen: Pen, ground: Colour) -> None:
    """A garden between white roofs."""
    pen.rect(0, 0, (0.95, 0.95), ground)
    for u, v in ((-1, 0), (1, 0), (0, 1), (0, -1)):
        half = (0.12, 0.5) if u else (0.5, 0.12)
        pen.rect(1.02 * u, 1.02 * v, half, (222, 214, 200))
        pen.rect(1.08 * u, 1.08 * v, (half[0] * 0.6, half[1] * 0.9), (196, 142, 104))


def _estate(pen: Pen, ground: Colour) -> None:
    """A plot in a loop of street that leaves on both sides."""
    pen.rect(0, 0, (1.7, 0.1), (66, 66, 70))
    pen.disc(0, 0, 1.12, (66, 66, 70))
    pen.disc(0, 0, 0.96, ground)


_SITES = {
    "ship": _harbour,
    "airplane": _airfield,
    "storage tank": _depot,
    "bridge": _river,
    "tennis court": _park,
    "car": _car_park,
    "swimming pool": _resort,
    "house": _estate,
    "stadium": _arena,
}
