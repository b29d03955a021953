"""Scenes from seeds: `draw_scene` gives the same scene for the same arguments."""

from __future__ import annotations

import math

import numpy as np

from uhrqa.geometry import Size
from uhrqa.synth.kinds import BY_NAME, KINDS, PLACES, ZONES, Kind
from uhrqa.synth.scene import FIELD, Clutter, SceneTruth, Site, Thing

SITE_SHARE = 0.021  # a site's radius / the scene's longer side: some 40 px wide at level 1
EMPTY_SHARE = 0.16  # sites that hold nothing
TWIN_SHARE = 0.12  # sites that repeat a kind


def draw_scene(seed: int, side: int, aspect: float = 1.0, unit: float | None = None) -> SceneTruth:
    """A scene.

    Args:
        seed: any whole number of at least 0.
        side: longer side in pixels.
        aspect: height / width, at most 1.
        unit: object size in pixels; drawn when None.
    """
    rng = np.random.default_rng([seed, side, round(aspect * 1000)])
    size = Size(max(1, round(side * aspect)), side)
    if unit is None:
        unit = math.exp(rng.uniform(math.log(11.0), math.log(24.0)))
    unit = min(unit, side / 60)
    zones, fields, shares = _draw_zones(rng)
    sites, things = _draw_sites(rng, size, unit)
    clutter = _draw_clutter(rng, size, unit, sites)
    return SceneTruth(
        seed, size, unit, zones, fields, shares, sites, things, clutter, _draw_roads(rng, size)
    )


def _draw_zones(
    rng: np.random.Generator,
) -> tuple[tuple[str, ...], np.ndarray, dict[str, float]]:
    """One land cover that leads and up to two others, as smooth fields."""
    count = int(rng.integers(1, 4))
    zones = tuple(rng.permutation(list(ZONES))[:count].tolist())
    if zones[0] == "sea":  # land leads, or roads and car parks would swim
        zones = (*zones[1:], "sea") if count > 1 else ("farm",)
    grid = np.stack(np.meshgrid(np.linspace(0, 1, FIELD), np.linspace(0, 1, FIELD)), -1)
    fields = np.empty((count, FIELD, FIELD), np.float32)
    for index in range(count):
        centre = rng.uniform(0, 1, 2)
        reach = -np.linalg.norm(grid - centre, axis=-1) * 1.4 + 0.25 * (index == 0)
        fields[index] = reach + rng.normal(0, 0.16, (FIELD, FIELD))
    covered = np.bincount(fields.argmax(0).ravel(), minlength=count) / FIELD**2
    return zones, fields, dict(zip(zones, covered.tolist(), strict=True))


def _draw_sites(
    rng: np.random.Generator, size: Size, unit: float
) -> tuple[tuple[Site, ...], tuple[Thing, ...]]:
    """One to five sites, each in a cell of its own so that "top left" names one."""
    cells = rng.permutation(9)[: int(rng.integers(1, 6))]
    kinds = rng.permutation(len(KINDS)).tolist()
    sites: list[Site] = []
    things: list[Thing] = []
    for cell in cells.tolist():
        if sites and rng.random() < TWIN_SHARE:
            kind = BY_NAME[sites[0].kind]
        else:
            kind = KINDS[kinds[len(sites)]]
        site, own = _draw_site(rng, size, unit, kind, cell)
        own = [Thing(*_fields_of(t), site=len(sites)) for t in own]
        first = len(things)
        things += own
        indices = tuple(range(first, len(things)))
        sites.append(
            Site(
                kind.name,
                site.place,
                site.surface,
                site.x,
                site.y,
                site.radius,
                site.angle,
                indices,
            )
        )
    return tuple(sites), tuple(things)


def _fields_of(thing: Thing) -> tuple[str, str, str, str, float, float, float, float]:
    t = thing
    return t.kind, t.colour, t.state, t.shape, t.x, t.y, t.length, t.angle


def _draw_site(
    rng: np.random.Generator, size: Size, unit: float, kind: Kind, cell: int
) -> tuple[Site, list[Thing]]:
    row, col = divmod(cell, 3)
    radius = max(5.0 * unit, SITE_SHARE * max(size) * rng.uniform(0.85, 1.35))
    radius = min(radius, 0.13 * min(size))
    # A margin keeps the site off its cell's edges, where "top left" could be argued.
    margin_x, margin_y = (min(1.25 * radius, 0.16 * side) for side in (size.w, size.h))
    x = rng.uniform(col * size.w / 3 + margin_x, (col + 1) * size.w / 3 - margin_x)
    y = rng.uniform(row * size.h / 3 + margin_y, (row + 1) * size.h / 3 - margin_y)
    surface = str(rng.choice(kind.surfaces))
    angle = rng.uniform(0, math.pi)
    site = Site(kind.name, PLACES[cell], surface, x, y, radius, angle, ())
    if rng.random() < EMPTY_SHARE:
        return site, []
    return site, _draw_things(rng, unit, kind, site)


def _draw_things(rng: np.random.Generator, unit: float, kind: Kind, site: Site) -> list[Thing]:
    """Objects of one kind, colour, state and shape, well apart."""
    odds = np.array([0.30, 0.21, 0.18, 0.14, 0.10, 0.07][: kind.most])
    count = 1 + int(rng.choice(len(odds), p=odds / odds.sum()))
    colour = str(rng.choice(kind.colours))
    state = str(rng.choice(kind.states)) if kind.states else ""
    shape = str(rng.choice(kind.shapes)) if kind.shapes else ""
    length = unit * kind.length
    apart = max(1.55 * length, 30.0 if site.radius > 70 else 1.55 * length)
    reach = min(0.72 * site.radius, max(2.2 * apart, 7.0 * unit))
    spots = _spread(rng, count, reach, apart, kind.name == "bridge")
    heading = rng.uniform(0, 2 * math.pi)
    things = []
    for u, v in spots:
        c, s = math.cos(site.angle), math.sin(site.angle)
        if kind.name == "bridge":  # it crosses the river, which runs along the site
            turn = site.angle + math.pi / 2
        elif kind.name in ("airplane", "ship"):
            turn = heading + rng.normal(0, 0.5)
        else:
            turn = site.angle + (math.pi / 2) * int(rng.integers(0, 2)) + rng.normal(0, 0.06)
        size = length * rng.uniform(0.92, 1.08)
        x, y = site.x + u * c - v * s, site.y + u * s + v * c
        things.append(Thing(kind.name, colour, state, shape, x, y, size, turn, -1))
    return things


def _spread(
    rng: np.random.Generator, count: int, reach: float, apart: float, on_line: bool
) -> list[tuple[float, float]]:
    """Points in the site's own axes, no two nearer than `apart`; fewer when they do not fit."""
    spots: list[tuple[float, float]] = []
    for _ in range(40 * count):
        u, v = rng.uniform(-reach, reach, 2).tolist()
        spot = (u * 1.3, 0.0) if on_line else (u, v)
        if all(math.dist(spot, other) >= apart for other in spots):
            spots.append(spot)
        if len(spots) == count:
            break
    return spots


def _draw_clutter(
    rng: np.random.Generator, size: Size, unit: float, sites: tuple[Site, ...]
) -> tuple[Clutter, ...]:
    """Trees and rocks, off the sites; more of them near sites, where they can mislead."""
    found = []
    for index in range(int(rng.integers(20, 70))):
        if sites and index % 3 == 0:
            near = sites[int(rng.integers(len(sites)))]
            turn, far = rng.uniform(0, 2 * math.pi), near.radius * rng.uniform(1.5, 3.0)
            x, y = near.x + far * math.cos(turn), near.y + far * math.sin(turn)
        else:
            x, y = rng.uniform(0, size.w), rng.uniform(0, size.h)
        radius = unit * rng.uniform(0.25, 0.9)
        if all(math.dist((x, y), (s.x, s.y)) > 1.45 * s.radius + radius for s in sites):
            found.append(Clutter(x, y, radius, int(rng.integers(0, 3))))
    return tuple(found)


def _draw_roads(
    rng: np.random.Generator, size: Size
) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Up to three gently bent roads from edge to edge."""
    roads = []
    for _ in range(int(rng.integers(0, 4))):
        along = np.linspace(-0.02, 1.02, 9)
        across = rng.uniform(0.1, 0.9) + rng.uniform(-0.5, 0.5) * (along - 0.5)
        across = across + np.cumsum(rng.normal(0, 0.02, 9))
        pair = (along, across) if rng.random() < 0.5 else (across, along)
        points = zip((pair[0] * size.w).tolist(), (pair[1] * size.h).tolist(), strict=True)
        roads.append(tuple(points))
    return tuple(roads)
