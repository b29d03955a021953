"""RFM-DIP as the published LRS-VQA code does it, so that its weights can be checked against it.

Two levels, whatever the image's size; one share for pointing and for keeping; row ends take part in
everything, and as they lie right of the grid they select the last column of tiles. The second pass
runs over the whole grid of level 2, in which unselected cells are empty. Pixels are our own: the
code resizes without antialiasing.

Source: the code of Luo et al. 2025 (LRS-VQA), as described in docs/deviations.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from uhrqa.budget import Budget
from uhrqa.errors import ConfigError
from uhrqa.geometry import Size
from uhrqa.pyramid import Level, Tile
from uhrqa.scene import Scene
from uhrqa.selection import Selection, behind_thumbnail, require
from uhrqa.tokens import VisualTokens

PAPER = "use --option compat=paper"


def select_as_released(scene: Scene, budget: Budget, ratio: float) -> Selection:
    """The tokens the published code would keep, cut to the budget by relevance.

    Raises:
        ConfigError: the model has no Region Focus Module or no newline token.
        BudgetError: less than the thumbnail and a row end for each row.
    """
    newline, name = scene.newline, scene.model.card.name
    if newline is None:
        raise ConfigError(f"compat=released: {name} has no newline token; {PAPER}")
    if not scene.model.rfm_layers:
        raise ConfigError(f"compat=released: {name} has no Region Focus Module; {PAPER}")
    first, second = released_levels(scene.size, scene.tile, scene.model.card.level_one_side)
    (ends, _) = last = released_grid(second, second.size, _cells(scene, second))
    least = scene.token_count(scene.pyramid.thumbnail) + ends
    require(least, budget, f"the thumbnail ({least - ends}) and {ends} row ends")
    thumbnail = scene.tokens(scene.pyramid.thumbnail, masked=True)
    grid = released_grid(first, scene.size, _cells(scene, first))
    coarse, _ = whole_grid(scene.tokens(first, masked=True), first, grid, newline)
    scores = scene.reader.read_grid(coarse, thumbnail, torch.zeros(len(coarse), dtype=torch.bool))
    key = _best(scores, int(ratio * len(coarse))) | coarse.is_separator
    tiles = released_tiles(key, grid, second)
    steps = [f"level 1: {len(coarse)} cells, {len(tiles)} tiles hit"]

    fine, blank = whole_grid(scene.tokens(second, tiles, masked=True), second, last, newline)
    scores = scene.reader.read_grid(fine, thumbnail, blank).masked_fill(blank, -1)
    held = int((~blank).sum())
    count = min(int(ratio * held), budget.tokens - least)
    kept = (_best(scores, count) | fine.is_separator).nonzero().flatten()
    steps.append(f"level 2: {held} cells of {len(fine)}, {len(kept)} kept with {ends} row ends")
    found = behind_thumbnail(thumbnail, fine.take(kept), scores[kept])
    return replace(found, steps=tuple(steps))


def released_levels(source: Size, tile: int, least: int) -> tuple[Level, Level]:
    """The two levels the code looks at; the same one twice where an image has just one.

    Args:
        source: size of the image.
        tile: side B of a tile in pixels.
        least: longer side in pixels that no level goes below.
    """
    shrink = min(least / max(source), 1.0)
    scales = [1.0]
    while scales[-1] / 2 >= shrink:
        scales.append(scales[-1] / 2)
    if scales[-1] != shrink:
        scales.append(shrink)
    coarse, fine = scales[-1], scales[max(-2, -len(scales))]
    return _level(1, source, coarse, tile), _level(2, source, fine, tile)


def _level(index: int, source: Size, scale: float, tile: int) -> Level:
    h, w = (max(1, round(side * scale)) for side in source)
    rows, cols = math.ceil(h / tile), math.ceil(w / tile)
    factor = min(rows * tile / h, cols * tile / w)
    return Level(index, source, Size(round(h * factor), round(w * factor)), tile)


def _cells(scene: Scene, level: Level) -> int:
    """Tokens along a tile's side."""
    return int(level.tile / scene.cell(level))


def released_grid(level: Level, content: Size, cells: int) -> tuple[int, int]:
    """Rows and columns that are left when the padding is cropped.

    Args:
        level: whose tiles are padded at the bottom and on the right.
        content: what the crop takes for the image's size: the source at level 1, the level's own
            size at level 2.
        cells: tokens along a tile's side.
    """
    rows, cols = (side * cells for side in level.grid)
    if content.w / content.h > cols / rows:
        return max(1, int(content.h * (cols / content.w))), cols
    return rows, max(1, int(content.w * (rows / content.h)))


def whole_grid(
    tokens: VisualTokens, level: Level, grid: tuple[int, int], newline: Tensor
) -> tuple[VisualTokens, Tensor]:
    """All cells of a level with a row end behind each row, empty where there is no token.

    Args:
        tokens: some of the level's tokens.
        level: the level.
        grid: its rows R and columns C.
        newline: `[D]`.

    Returns:
        `R (C + 1)` tokens, and which of them are empty.
    """
    rows, cols = grid
    size = (tokens.box[0, 2:] - tokens.box[0, :2])[None]  # of a cell, source pixels
    tokens = tokens.take((tokens.row < rows) & (tokens.col < cols))
    place = tokens.row * (cols + 1) + tokens.col
    count, ends = rows * (cols + 1), torch.arange(cols, rows * (cols + 1), cols + 1)
    number = torch.arange(count)
    row, col = number // (cols + 1), number % (cols + 1)
    embed = tokens.embed.new_zeros(count, tokens.embed.shape[1])
    embed[ends.to(embed.device)] = newline.to(embed)
    embed[place.to(embed.device)] = tokens.embed
    corner = torch.stack([col, row], 1) * size
    box = torch.cat([corner, corner + size], 1)
    blank = torch.ones(count, dtype=torch.bool)
    blank[ends] = blank[place] = False
    weight = torch.ones(count, dtype=torch.int64)
    weight[ends] = 0
    index = torch.full((count,), level.index)
    sides = torch.tensor([[rows, cols]]).expand(count, -1)
    return VisualTokens(embed, box, index, row, col, sides, weight), blank


def released_tiles(key: Tensor, grid: tuple[int, int], level: Level) -> list[Tile]:
    """Tiles of the next level that cells point to, row ends as if they were a column of the image.

    Args:
        key: `[R (C + 1)]` bool.
        grid: R and C.
        level: the next one.
    """
    rows, cols = grid[0], grid[1] + 1
    cells = key.nonzero().flatten()
    down, right = level.grid
    row = ((cells // cols).float() * (down / rows)).floor().long()
    col = ((cells % cols).float() * (right / cols)).floor().long()
    places = {(int(r), int(c)) for r, c in zip(row, col, strict=True)}
    return [Tile(r, c) for r, c in sorted(places)]


def _best(scores: Tensor, count: int) -> Tensor:
    """`[N]` bool: the `count` highest, ties by index."""
    found = torch.zeros(len(scores), dtype=torch.bool)
    found[scores.argsort(descending=True, stable=True)[:count]] = True
    return found
