"""Tiles with dense labels, drawn without end: what the vision tower is taught on."""

from __future__ import annotations

import math

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.labels import Footprints, label_tile
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.splits import SEEDS, scene_seed
from uhrqa.synth.window import render
from uhrqa.training.shape import Shape

TILES = 32
FRESH = 16  # of them new; the others were shown before, turned otherwise
POOL = 4000  # tiles that may be shown again
TILES_A_SCENE = 4
LONGEST = 28_000  # px: longer side of the largest scenes
SHAPELESS_SKIPPED = 0.6  # scenes without anything that has a shape: outlines are the hardest label
Tiles = tuple[np.ndarray, np.ndarray, np.ndarray]
"""`[T, H, W, 3]` uint8 pixels, `[T, len(HEADS), n]` classes and `[T, n]` objects to the patch."""


def draw_tiles(seed: int, shape: Shape, count: int) -> Tiles:
    """Random tiles at the scales a pyramid has, most of them near something."""
    rng = np.random.default_rng([1, seed])
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while len(found) < count:
        side = round(math.exp(rng.uniform(math.log(1000), math.log(LONGEST))))
        seed = scene_seed("train", int(rng.integers(SEEDS)))
        scene = draw_scene(seed, side, float(rng.choice([1.0, 1.0, 0.75])))
        if not scene.sites:
            continue
        if not any(thing.shape for thing in scene.things) and rng.random() < SHAPELESS_SKIPPED:
            continue
        prints = Footprints.of(scene)
        for _ in range(TILES_A_SCENE):
            box = _draw_box(rng, scene, shape.tile)
            pixels = render(scene, box, Size(shape.tile, shape.tile))
            found.append((disturb(rng, pixels), *label_tile(scene, prints, box, shape.grid)))
    pixels, labels, density = (np.stack(parts) for parts in zip(*found[:count], strict=True))
    return pixels, labels, density


def turned(rng: np.random.Generator, tiles: Tiles) -> Tiles:
    """The same tiles in one of eight orientations, in other light."""
    turn, mirror = int(rng.integers(4)), bool(rng.integers(2))
    grid = round(tiles[1].shape[-1] ** 0.5)

    def move(part: np.ndarray, axis: int) -> np.ndarray:
        part = np.rot90(part, turn, (axis, axis + 1))
        return np.flip(part, axis) if mirror else part

    pixels, labels, density = tiles
    labels = move(labels.reshape(*labels.shape[:-1], grid, grid), 2).reshape(labels.shape)
    density = move(density.reshape(-1, grid, grid), 1).reshape(density.shape)
    return disturb(rng, np.ascontiguousarray(move(pixels, 1))), labels, density


class TileMaker:
    """Makes the batch of a step out of new tiles and earlier ones."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape = shape
        self.seed = seed
        self.pool: list[Tiles] = []

    def __call__(self, step: int) -> Tiles:
        """The tiles of a step."""
        seed = self.seed * 10**6 + step
        rng = np.random.default_rng([5, seed])
        fresh = draw_tiles(seed, self.shape, FRESH)
        shown = self.pool or [fresh]
        again = [shown[int(rng.integers(len(shown)))] for _ in range(2)]
        parts = [fresh, *[turned(rng, _some(tiles, rng)) for tiles in again]]
        self.pool = [*self.pool, fresh][-(POOL // FRESH) :]
        pixels, labels, density = (np.concatenate(part) for part in zip(*parts, strict=True))
        return pixels, labels, density


def _some(tiles: Tiles, rng: np.random.Generator) -> Tiles:
    """Half as many tiles as a batch wants again."""
    kept = rng.permutation(len(tiles[0]))[: (TILES - FRESH) // 2]
    return tiles[0][kept], tiles[1][kept], tiles[2][kept]


def _draw_box(rng: np.random.Generator, scene: SceneTruth, tile: int) -> Box:
    side = max(scene.size)
    coarse = min(1.0, 1000 / side)
    pick = rng.random()
    if pick < 0.62:
        scale = rng.uniform(0.7, 1.15)
    elif pick < 0.82:
        scale = coarse * rng.uniform(0.75, 1.45)
    elif pick < 0.96:
        scale = math.exp(rng.uniform(math.log(coarse * 0.7), 0.1))
    else:
        scale = rng.uniform(112, 700) / side
    span = tile / scale
    if rng.random() < 0.85:
        site = scene.sites[int(rng.integers(len(scene.sites)))]
        shaped = [s for s in scene.sites if s.things and scene.things[s.things[0]].shape]
        if shaped and rng.random() < 0.4:
            site = shaped[int(rng.integers(len(shaped)))]
        if site.things and rng.random() < 0.85:
            thing = scene.things[site.things[int(rng.integers(len(site.things)))]]
            x, y = thing.x, thing.y
        else:
            x, y = (c + rng.uniform(-1, 1) * site.radius for c in (site.x, site.y))
        x, y = (c + rng.uniform(-0.45, 0.45) * span for c in (x, y))
    else:
        x, y = rng.uniform(0, scene.size.w), rng.uniform(0, scene.size.h)
    return Box(x - span / 2, y - span / 2, x + span / 2, y + span / 2)


def disturb(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """A little sensor noise, blur and exposure, so that files and resampling do not matter.

    Args:
        rng: of every choice.
        pixels: `[..., h, w, 3]` uint8.
    """
    gain, shift = rng.uniform(0.95, 1.05), rng.uniform(-5, 5)
    noise = rng.integers(-4, 5, pixels.shape, dtype=np.int8)
    changed = pixels.astype(np.float32)
    if rng.random() < 0.3:  # as a lossy codec or an overview leaves it
        changed = 0.7 * changed + 0.15 * (np.roll(changed, 1, -2) + np.roll(changed, 1, -3))
    changed = changed * np.float32(gain) + np.float32(shift) + noise
    return np.asarray(np.clip(changed, 0, 255), dtype=np.uint8)
