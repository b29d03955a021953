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
    _SITES[site.kind](pen, SURFACES[site.surface])


def _harbour(pen: Pen, ground: Colour) -> None:
    """A basin with a pale quay on two sides and a pier."""
    pen.poly(((-1.1, -1.0), (1.1, -1.0), (1.1, 1.0), (-1.1, 1.0)), (176, 170, 158))
    pen.poly(((-0.95, -0.85), (1.2, -0.85), (1.2, 1.1), (-0.95, 1.1)), ground)
    pen.rect(-0.78, 0.1, (0.06, 0.8), (150, 120, 84))


def _airfield(pen: Pen, ground: Colour) -> None:
    """An apron with a runway beside it."""
    pen.poly(((-0.8, -1), (0.8, -1), (1, -0.8), (1, 0.8), (-1, 0.8), (-1, -0.8)), ground)
    pen.rect(0, 1.05, (1.9, 0.22), (60, 62, 66))
    for k in range(-3, 4):
        pen.rect(0.5 * k, 1.05, (0.14, 0.04), LINE)


def _depot(pen: Pen, ground: Colour) -> None:
    """A square behind a pale dike."""
    pen.rect(0, 0, (1.05, 1.05), (226, 216, 176))
    pen.rect(0, 0, (0.92, 0.92), ground)


def _river(pen: Pen, ground: Colour) -> None:
    """A reach of river with sandy banks."""
    top = [(-2.2 + 0.4 * k, -0.3 + 0.1 * math.sin(1.9 * k)) for k in range(12)]
    low = [(u, v + 0.6) for u, v in reversed(top)]
    bank = [(u, v - 0.14) for u, v in top] + [(u, v + 0.14) for u, v in low]
    pen.poly(bank, (190, 172, 128))
    pen.poly(top + low, ground)


def _park(pen: Pen, ground: Colour) -> None:
    """A pad in a ring of lawn with corner trees."""
    pen.disc(0, 0, 1.2, (92, 158, 70))
    pen.rect(0, 0, (0.82, 0.82), ground)
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        pen.disc(0.93 * u, 0.93 * v, 0.15, (30, 84, 36))


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
        pen.rect(1.02 * u, 1.02 * v, half, (246, 240, 226))
        pen.rect(1.08 * u, 1.08 * v, (half[0] * 0.6, half[1] * 0.9), (222, 160, 110))


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
}
