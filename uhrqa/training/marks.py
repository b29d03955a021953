"""What each token of a scene's tiles shows, where it lies, and which tokens training keeps."""

from __future__ import annotations

import math

import numpy as np

from uhrqa.pyramid import Level, Tile
from uhrqa.synth.labels import Footprints, coverage, hits
from uhrqa.synth.scene import SceneTruth

MOST_TOKENS = 300
LEAST_PART = 0.04  # share of an object's area from which a token shows a part of it
Pairs = list[tuple[int, int]]


def mark(
    scene: SceneTruth, prints: Footprints, chosen: list[tuple[Level, list[Tile]]], grid: int
) -> tuple[np.ndarray, Pairs, Pairs, dict[tuple[int, int], float]]:
    """Where the tokens of all tiles lie, and what they show.

    Args:
        scene: the scene.
        prints: of its objects.
        chosen: levels, and tiles of each.
        grid: tokens along a side of a tile.

    Returns:
        `[N, 7]` as `_places` gives them; pairs of object and token that shows it; of object and
        token with its centre; and of each object and token with a part of it, that part.
    """
    columns: list[np.ndarray] = []
    hit: Pairs = []
    middle: Pairs = []
    parts: dict[tuple[int, int], float] = {}
    start = 0
    for level, tiles in chosen:
        for tile in tiles:
            box = level.box(tile)
            columns.append(_places(level, tile, grid))
            if scene.things:
                shares, own = coverage(prints, box, grid)
                seen = hits(prints, shares, box.w * box.h / grid**2)
                hit += [(t, start + c) for t, c in np.argwhere(seen).tolist()]
                parts |= {
                    (t, start + c): float(shares[t, c])
                    for t, c in np.argwhere(shares >= LEAST_PART).tolist()
                }
                middle += [(t, start + c) for t, c in enumerate(own.tolist()) if c >= 0]
            start += len(columns[-1])
    return np.concatenate(columns), hit, middle, parts


def _places(level: Level, tile: Tile, grid: int) -> np.ndarray:
    """Level, row, column, centre (x, y) in [0, 1], depth, 1 inside the image: of each token."""
    cell = level.tile / grid
    rows, cols = (
        axis.ravel() for axis in np.meshgrid(np.arange(grid), np.arange(grid), indexing="ij")
    )
    rows, cols = rows + tile.row * grid, cols + tile.col * grid
    x = np.clip((cols + 0.5) * cell / level.size.w, 0, 1)
    y = np.clip((rows + 0.5) * cell / level.size.h, 0, 1)
    depth = math.log2(max(max(level.size) / cell, 1.0))
    inside = (cols * cell < level.size.w) & (rows * cell < level.size.h)
    constant = np.ones(grid * grid)
    return np.stack([constant * level.index, rows, cols, x, y, constant * depth, inside], -1)


def thin(
    rng: np.random.Generator,
    tempting: np.ndarray,
    table: np.ndarray,
    hit: Pairs,
    middle: Pairs,
) -> tuple[np.ndarray, Pairs, Pairs]:
    """Drop padding, and other tokens down to `MOST_TOKENS`; what may mislead stays longest.

    Args:
        rng: of the choice.
        tempting: `[N]` in [0, 1].
        table: `[N, 7]`, as `mark` gives it.
        hit: (object, token) pairs; these tokens stay.
        middle: likewise, of objects' centres.

    Returns:
        Indices of the tokens that stay, and the pairs in terms of these.
    """
    inside = table[:, 6] > 0
    needed = np.zeros(len(table), bool)
    needed[[token for _, token in hit + middle]] = True
    needed |= table[:, 0] == 0
    wish = rng.random(len(table)) * (1.0 - 0.9 * tempting)
    order = np.argsort(wish + ~inside * 10 - needed * 10)
    count = min(len(table), MOST_TOKENS, int(inside.sum()))
    kept = np.sort(order[: max(count, int((needed & inside).sum()))])
    new = {int(old): index for index, old in enumerate(kept)}
    hit = [(t, new[token]) for t, token in hit if token in new]
    return kept, hit, [(t, new[token]) for t, token in middle if token in new]


def site_hits(scene: SceneTruth, table: np.ndarray) -> np.ndarray:
    """`[M, 2]` (site, token) pairs of the tokens on each pad; `table` as `mark` gives it."""
    pairs = []
    cell = max(scene.size) / 2 ** table[:, 5]
    x, y = table[:, 3] * scene.size.w, table[:, 4] * scene.size.h
    for index, site in enumerate(scene.sites):
        near = np.hypot(x - site.x, y - site.y) < np.maximum(0.6 * site.radius, 0.6 * cell)
        pairs += [(index, int(token)) for token in np.nonzero(near & (table[:, 0] > 0))[0]]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
