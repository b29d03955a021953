"""What stands on a site: how many objects, how they look and where they lie."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from uhrqa.synth.kinds import CROWD, Kind
from uhrqa.synth.scene import Site, Thing

CROWD_SHARE = 0.16  # sites of a kind that crowds which hold more than `Kind.most`
MIXED_SHARE = 0.3  # sites whose objects differ in colour, or in status
OUTSIZE_SHARE = 0.35  # sites with one object larger than the rest
OUTSIZE = 1.45  # length of that one, against the others' at most 1.1
APART = 26.0  # px between centres, so that a token holds one; crowds stand closer
HEADED = ("ship", "airplane")  # they lie as they move; the others lie along their site


def draw_things(
    rng: np.random.Generator, unit: float, kind: Kind, site: Site, index: int, room: float
) -> tuple[Site, list[Thing]]:
    """Objects of one kind, apart from each other, on a site that grows for a crowd.

    Args:
        rng: of every choice.
        unit: object size in source pixels.
        kind: of all of them.
        site: where.
        index: its number.
        room: the largest radius it may have, source pixels.

    Returns:
        The site, and its objects.
    """
    length = unit * kind.length
    crowd = kind.crowds and rng.random() < CROWD_SHARE
    count = int(rng.integers(kind.most + 1, CROWD + 1) if crowd else rng.integers(kind.most) + 1)
    apart = 1.45 * length if crowd else max(1.55 * length, APART)
    needed = 1.05 * apart * math.sqrt(count)
    if crowd:
        site = replace(site, radius=min(room, max(site.radius, needed)))
    reach = min(0.74 * site.radius, max(2.4 * apart, 7.0 * unit, 0.7 * needed))
    if kind.name == "stadium":
        length = min(length, 1.1 * site.radius / count)
        apart, reach = 1.1 * length, 0.62 * length * (count - 1)
    spots = _spread(rng, count, reach, apart, kind.name in ("bridge", "stadium"))
    looks = _Looks(rng, kind, len(spots))
    things = []
    heading, c, s = rng.uniform(0, 2 * math.pi), math.cos(site.angle), math.sin(site.angle)
    for number, (u, v) in enumerate(spots):
        turn = _turn(rng, kind, site, heading)
        colour, state, shape, scale = looks.of(number)
        x, y = site.x + u * c - v * s, site.y + u * s + v * c
        things.append(Thing(kind.name, colour, state, shape, x, y, length * scale, turn, index))
    return site, things


def _turn(rng: np.random.Generator, kind: Kind, site: Site, heading: float) -> float:
    if kind.name == "bridge":  # it crosses the river, which runs along the site
        return site.angle + math.pi / 2
    if kind.name in HEADED:
        return heading + rng.normal(0, 0.5)
    return site.angle + (math.pi / 2) * int(rng.integers(0, 2)) + rng.normal(0, 0.06)


class _Looks:
    """Colour, state, shape and size of a site's objects: mostly alike, sometimes mixed."""

    def __init__(self, rng: np.random.Generator, kind: Kind, count: int) -> None:
        self.rng = rng
        self.colours = _few(rng, kind.colours)
        self.states = _few(rng, kind.states)
        self.shapes = _few(rng, kind.shapes)
        outsize = count > 1 and kind.name != "stadium" and rng.random() < OUTSIZE_SHARE
        self.outsize = int(rng.integers(count)) if outsize else -1

    def of(self, number: int) -> tuple[str, str, str, float]:
        colour, state, shape = (
            str(self.rng.choice(words)) if words else ""
            for words in (self.colours, self.states, self.shapes)
        )
        scale = OUTSIZE if number == self.outsize else self.rng.uniform(0.9, 1.1)
        return colour, state, shape, scale


def _few(rng: np.random.Generator, words: tuple[str, ...]) -> tuple[str, ...]:
    """One word, or two of them, the first more often."""
    if not words:
        return ()
    first, *rest = rng.permutation(list(words)).tolist()
    if rest and rng.random() < MIXED_SHARE:
        return (first, first, rest[0])
    return (first,)


def _spread(
    rng: np.random.Generator, count: int, reach: float, apart: float, on_line: bool
) -> list[tuple[float, float]]:
    """Points in the site's own axes, no two nearer than `apart`; fewer when they do not fit."""
    spots: list[tuple[float, float]] = []
    for _ in range(30 * count):
        u, v = rng.uniform(-reach, reach, 2).tolist()
        spot = (u * 1.3, 0.0) if on_line else (u, v)
        if all(math.dist(spot, other) >= apart for other in spots):
            spots.append(spot)
        if len(spots) == count:
            break
    return spots
