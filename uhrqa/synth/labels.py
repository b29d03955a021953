"""What each patch of a tile shows, as class indices: the targets the vision tower is trained on.

Index 0 means "nothing" for kinds, colours, traits, sites and surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uhrqa.geometry import Box
from uhrqa.synth.kinds import COLOURS, KINDS, SHAPES, STATES, SURFACES, ZONES
from uhrqa.synth.land import zone_map
from uhrqa.synth.scene import SceneTruth

KIND_NAMES = ("", *(kind.name for kind in KINDS))
COLOUR_NAMES = ("", *COLOURS)
TRAIT_NAMES = ("", *STATES, *SHAPES)
SURFACE_NAMES = ("", *SURFACES)
ZONE_NAMES = ZONES
SMALLEST = 1.2  # px: a shorter object is not asked for
SIZES = 8  # classes of apparent length, half an octave each, from 2 px on
LEAST_PART = 0.02  # share of an object's area from which a patch shows a part of it

HEADS: dict[str, int] = {
    "kind": len(KIND_NAMES),
    "colour": len(COLOUR_NAMES),
    "trait": len(TRAIT_NAMES),
    "size": SIZES + 1,
    "site": len(KIND_NAMES),
    "surface": len(SURFACE_NAMES),
    "zone": len(ZONE_NAMES),
}
"""Classes of each label."""
OF_THINGS = ("colour", "trait", "size")
"""Labels that only a patch with an object has."""

_STEPS = np.stack(np.meshgrid(np.linspace(-0.45, 0.45, 9), np.linspace(-0.45, 0.45, 7)), -1)


@dataclass(frozen=True, slots=True)
class Footprints:
    """Sample points on every object of a scene.

    Attributes:
        points: `[T, S, 2]` (x, y) source pixels.
        area: `[T]` source pixels.
        length: `[T]` source pixels.
    """

    points: np.ndarray
    area: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, scene: SceneTruth) -> Footprints:
        """The footprints of a scene's objects."""
        rows = [(t.x, t.y, t.length, t.width, t.angle) for t in scene.things]
        x, y, length, width, angle = np.array(rows, dtype=np.float64).reshape(-1, 5).T
        grid = _STEPS.reshape(1, -1, 2)
        u, v = grid[..., 0] * length[:, None], grid[..., 1] * width[:, None]
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        points = np.stack([x[:, None] + u * c - v * s, y[:, None] + u * s + v * c], -1)
        return cls(points, length * width, length)


def coverage(prints: Footprints, box: Box, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """How much of each object lies in each cell of a `grid` x `grid` raster over a box.

    Returns:
        `[T, grid * grid]` share of the object's area in the cell, and `[T]` the cell of its centre
        (-1 when outside the box).
    """
    count = len(prints.area)
    scale = np.array([grid / box.w, grid / box.h])
    cell = np.floor((prints.points - (box.x0, box.y0)) * scale).astype(np.int64)
    inside = ((cell >= 0) & (cell < grid)).all(-1)
    flat = cell[..., 1] * grid + cell[..., 0]
    shares = np.zeros((count, grid * grid))
    who, which = np.nonzero(inside)
    np.add.at(shares, (who, flat[who, which]), 1.0 / prints.points.shape[1])
    middle = prints.points.shape[1] // 2
    centre = np.where(inside[:, middle], flat[:, middle], -1)
    return shares, centre


def hits(prints: Footprints, shares: np.ndarray, cell_area: float) -> np.ndarray:
    """Which cells show an object: a fair part of it, or it fills a fair part of them.

    Args:
        prints: T objects.
        shares: `[T, C]` from `coverage`.
        cell_area: of one cell, source pixels.

    Returns:
        `[T, C]` bool.
    """
    fills = shares * prints.area[:, None] / cell_area
    return np.asarray((shares >= 0.15) | (fills >= 0.25))


def label_tile(
    scene: SceneTruth, prints: Footprints, box: Box, grid: int
) -> tuple[np.ndarray, np.ndarray]:
    """What a tile's patches show.

    Returns:
        `[len(HEADS), grid * grid]` classes in the order of `HEADS`, and `[grid * grid]` float32
        objects to the patch: each object's share in it, so that a tile's sum is its number of
        objects.
    """
    labels = {name: np.zeros(grid * grid, np.int64) for name in HEADS}
    density = np.zeros(grid * grid, np.float32)
    cell = box.w / grid
    xs = box.x0 + (np.arange(grid) + 0.5) * cell
    ys = box.y0 + (np.arange(grid) + 0.5) * cell
    zones = np.array([ZONE_NAMES.index(name) for name in scene.zones])
    labels["zone"] = zones[zone_map(scene, xs, ys)].ravel()
    gx, gy = (axis.ravel() for axis in np.meshgrid(xs, ys))
    for site in scene.sites:
        near = (gx - site.x) ** 2 + (gy - site.y) ** 2 < (site.radius + 0.25 * cell) ** 2
        labels["site"][near] = KIND_NAMES.index(site.kind)
        labels["surface"][near] = SURFACE_NAMES.index(site.surface)
    if scene.things:
        density = _label_things(scene, prints, box, labels)
    return np.stack(list(labels.values())), density


def _label_things(
    scene: SceneTruth, prints: Footprints, box: Box, labels: dict[str, np.ndarray]
) -> np.ndarray:
    """Classes of the patches with objects; gives the density."""
    grid = round(len(labels["kind"]) ** 0.5)
    shares, _ = coverage(prints, box, grid)
    apparent = prints.length * (grid * 14 / box.w)
    shares = shares * (apparent >= SMALLEST)[:, None]
    shown = hits(prints, shares, box.w * box.h / grid**2)
    amount = np.where(shown, shares * prints.area[:, None], 0.0)
    owner = amount.argmax(0)
    sizes = 1 + np.clip(np.floor(2 * np.log2(apparent / 2.0)), 0, SIZES - 1).astype(np.int64)
    for patch in np.nonzero(amount.max(0) > 0)[0].tolist():
        thing = scene.things[owner[patch]]
        labels["kind"][patch] = KIND_NAMES.index(thing.kind)
        labels["colour"][patch] = COLOUR_NAMES.index(thing.colour)
        labels["trait"][patch] = TRAIT_NAMES.index(thing.state or thing.shape)
        labels["size"][patch] = sizes[owner[patch]]
    return np.asarray(np.where(shares >= LEAST_PART, shares, 0.0).sum(0), dtype=np.float32)
