"""Scenes from seeds: `draw_scene` gives the same scene for the same arguments."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from uhrqa.geometry import Size
from uhrqa.synth.clutter import AT_SEA, ON_LAND
from uhrqa.synth.kinds import BY_NAME, KINDS, PLACES, SEASONS, ZONES, Kind
from uhrqa.synth.land import zone_map
from uhrqa.synth.scene import FIELD, Clutter, Light, SceneTruth, Site, Thing
from uhrqa.synth.stock import draw_things

SITE_SHARE = 0.021  # a site's radius / the scene's longer side: some 40 px wide at level 1
TWIN_SHARE = 0.14  # sites that repeat a kind
EMPTY_SHARE = 0.16  # sites that hold nothing
TRIES = 10  # places tried for a site before its cell is given to ships, or left alone
MAP = 64  # points along a side of the map that tells land from sea
CAR_METRES = 4.6  # what a car's length tells about the ground sample distance


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
        unit = math.exp(rng.uniform(math.log(8.0), math.log(24.0)))
    unit = min(unit, side / 60)
    zones, fields, shares = _draw_zones(rng)
    light = _draw_light(rng, unit)
    bare = SceneTruth(seed, size, unit, light, zones, fields, shares, (), (), (), ())
    water = _is_sea(bare)
    placed = _draw_sites(rng, bare, water)
    return replace(
        placed,
        clutter=_draw_clutter(rng, placed, water),
        roads=_draw_roads(rng, size, water),
    )


def _draw_light(rng: np.random.Generator, unit: float) -> Light:
    return Light(
        season=str(rng.choice(list(SEASONS))),
        sun=rng.uniform(0, 2 * math.pi),
        reach=math.exp(rng.uniform(math.log(0.4), math.log(1.5))),
        haze=float(rng.choice([0.0, rng.uniform(0, 0.2)])),
        tint=(rng.uniform(0.95, 1.05), rng.uniform(0.97, 1.03), rng.uniform(0.94, 1.06)),
        gsd=round(CAR_METRES / (BY_NAME["car"].length * unit), 3),
    )


def _draw_zones(
    rng: np.random.Generator,
) -> tuple[tuple[str, ...], np.ndarray, dict[str, float]]:
    """One land cover that leads and up to two others, as smooth fields."""
    count = int(rng.integers(1, 4))
    zones = tuple(rng.permutation(list(ZONES))[:count].tolist())
    if zones[0] == "sea":  # land leads
        zones = (*zones[1:], "sea") if count > 1 else ("farm",)
    grid = np.stack(np.meshgrid(np.linspace(0, 1, FIELD), np.linspace(0, 1, FIELD)), -1)
    fields = np.empty((count, FIELD, FIELD), np.float32)
    for index in range(count):
        centre = rng.uniform(0, 1, 2)
        reach = -np.linalg.norm(grid - centre, axis=-1) * 1.4 + 0.25 * (index == 0)
        fields[index] = reach + rng.normal(0, 0.12, (FIELD, FIELD))
    covered = np.bincount(fields.argmax(0).ravel(), minlength=count) / FIELD**2
    return zones, fields, dict(zip(zones, covered.tolist(), strict=True))


def _is_sea(scene: SceneTruth) -> np.ndarray:
    """Which points of a coarse map are water: `[MAP, MAP]` bool."""
    if "sea" not in scene.zones:
        return np.zeros((MAP, MAP), bool)
    across, down = ((np.arange(MAP) + 0.5) / MAP * side for side in (scene.size.w, scene.size.h))
    return np.asarray(zone_map(scene, across, down) == scene.zones.index("sea"))


def _water_share(water: np.ndarray, size: Size, x: float, y: float, reach: float) -> float:
    """Share of the map's points within a square that is water."""
    spans = []
    for at, side in ((y, size.h), (x, size.w)):
        low, high = (math.floor((at + sign * reach) / side * MAP) for sign in (-1, 1))
        spans.append(slice(max(0, low), max(0, low, min(MAP - 1, high)) + 1))
    part = water[spans[0], spans[1]]
    return float(part.mean()) if part.size else 0.0


def _draw_sites(rng: np.random.Generator, scene: SceneTruth, water: np.ndarray) -> SceneTruth:
    """One to five sites, each in a cell of its own so that "top left" names one."""
    cells = rng.permutation(9)[: int(rng.integers(1, 6))]
    kinds = [KINDS[index] for index in rng.permutation(len(KINDS)).tolist()]
    for cell in cells.tolist():
        twin = scene.sites and rng.random() < TWIN_SHARE
        kind = BY_NAME[scene.sites[0].kind] if twin else kinds[len(scene.sites)]
        site = _draw_site(rng, scene, kind, cell, water)
        if site is None:
            continue
        first, here = len(scene.things), BY_NAME[site.kind]
        things: list[Thing] = []
        if rng.random() >= EMPTY_SHARE:
            room = _room(scene, site, cell, water)
            site, things = draw_things(rng, scene.unit, here, site, len(scene.sites), room)
        site = replace(site, things=tuple(range(first, first + len(things))))
        scene = replace(scene, sites=(*scene.sites, site), things=(*scene.things, *things))
    return scene


def _draw_site(
    rng: np.random.Generator, scene: SceneTruth, kind: Kind, cell: int, water: np.ndarray
) -> Site | None:
    """A site in a cell: on land, or at sea for ships; None where neither has room."""
    size, ship = scene.size, BY_NAME["ship"]
    row, col = divmod(cell, 3)
    radius = max(5.0 * scene.unit, SITE_SHARE * max(size) * rng.uniform(0.85, 1.35))
    radius = min(radius, 0.13 * min(size))
    # A margin keeps the site off its cell's edges, where "top left" could be argued.
    margin_x, margin_y = (min(1.25 * radius, 0.16 * side) for side in (size.w, size.h))
    angle, x, y, wet = rng.uniform(0, math.pi), 0.0, 0.0, 0.0
    for _ in range(TRIES):
        x = rng.uniform(col * size.w / 3 + margin_x, (col + 1) * size.w / 3 - margin_x)
        y = rng.uniform(row * size.h / 3 + margin_y, (row + 1) * size.h / 3 - margin_y)
        wet = _water_share(water, size, x, y, 1.2 * radius)
        if wet == 0.0 or (kind is ship and wet == 1.0):
            break
    if wet == 1.0 and not any(site.kind == "ship" for site in scene.sites):
        kind = ship
    elif wet > 0.0 and not (kind is ship and wet == 1.0):
        return None
    surface = str(rng.choice(kind.surfaces))
    return Site(kind.name, PLACES[cell], surface, x, y, radius, angle, (), at_sea=wet == 1.0)


def _room(scene: SceneTruth, site: Site, cell: int, water: np.ndarray) -> float:
    """The largest radius a site may grow to within its cell, and on its side of the coast."""
    row, col = divmod(cell, 3)
    gaps = [
        abs(at - (index + step) * side / 3)
        for at, index, side in ((site.x, col, scene.size.w), (site.y, row, scene.size.h))
        for step in (0, 1)
    ]
    room = min(0.13 * min(scene.size), *gaps)
    while room > site.radius:
        if _water_share(water, scene.size, site.x, site.y, room) == float(site.at_sea):
            return room
        room *= 0.8
    return site.radius


def _draw_clutter(
    rng: np.random.Generator, scene: SceneTruth, water: np.ndarray
) -> tuple[Clutter, ...]:
    """Trees, rocks and look-alikes off the sites' pads; more of them near, where they mislead."""
    found = []
    size, sites = scene.size, scene.sites
    for index in range(int(rng.integers(30, 110))):
        if sites and index % 3 > 0:
            near = sites[int(rng.integers(len(sites)))]
            turn, far = rng.uniform(0, 2 * math.pi), near.radius * rng.uniform(1.4, 3.0)
            x, y = near.x + far * math.cos(turn), near.y + far * math.sin(turn)
        else:
            x, y = rng.uniform(0, size.w), rng.uniform(0, size.h)
        length = scene.unit * rng.uniform(0.7, 2.0)
        if any(math.dist((x, y), (s.x, s.y)) < 1.3 * s.radius + length for s in sites):
            continue
        wet = _water_share(water, size, x, y, 0.0) > 0
        kind = str(rng.choice(AT_SEA if wet else ON_LAND))
        angle = rng.uniform(0, math.pi)
        found.append(Clutter(kind, x, y, length, angle, int(rng.integers(0, 4))))
    return tuple(found)


def _draw_roads(
    rng: np.random.Generator, size: Size, water: np.ndarray
) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Up to three gently bent roads from edge to edge; those that would cross the sea are left."""
    roads = []
    for _ in range(int(rng.integers(0, 4))):
        along = np.linspace(-0.02, 1.02, 33)
        bend = np.cumsum(np.convolve(rng.normal(0, 0.012, 33), np.ones(5) / 3, "same"))
        across = rng.uniform(0.1, 0.9) + rng.uniform(-0.5, 0.5) * (along - 0.5) + bend
        x, y = (along, across) if rng.random() < 0.5 else (across, along)
        dense = np.linspace(0, len(along) - 1, 4 * MAP)
        cells = [
            np.clip((np.interp(dense, np.arange(len(along)), part) * MAP).astype(int), 0, MAP - 1)
            for part in (y, x)
        ]
        if not water[cells[0], cells[1]].any():
            points = zip((x * size.w).tolist(), (y * size.h).tolist(), strict=True)
            roads.append(tuple(points))
    return tuple(roads)
