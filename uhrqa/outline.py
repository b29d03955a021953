"""Where the visual tokens of tiles lie, before anything is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from uhrqa.pyramid import Level, Tile
from uhrqa.tokens import VisualTokens


def outline(
    level: Level, tiles: Sequence[Tile], cell: Fraction, side: int
) -> tuple[VisualTokens, Tensor]:
    """Tokens without embeddings in the raster order of the level's whole token grid.

    Tokens that show only padding are left out.

    Args:
        level: the level.
        tiles: T of its tiles.
        cell: level pixels along one side of a token.
        side: n, tokens along a tile's side.

    Returns:
        N tokens whose embeddings have no width, and `[N]` which of the `T * n * n` cells, tile by
        tile, each one is.
    """
    corner = torch.tensor([(tile.row * side, tile.col * side) for tile in tiles])
    offset = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    place = (corner[:, None] + offset).flatten(0, 1)  # [T * n * n, 2] row, col
    rows, cols = level.cells(cell)
    shown = (place[:, 0] < rows) & (place[:, 1] < cols)
    order = (place[:, 0] * (cols + side) + place[:, 1]).argsort()
    order = order[shown[order]]
    place, (sy, sx), (x, y) = place[order], level.scale, level.origin
    high, wide = float(cell) / sy, float(cell) / sx
    x0, y0 = x + place[:, 1] * wide, y + place[:, 0] * high
    count = len(place)
    tokens = VisualTokens(
        torch.empty(count, 0),
        torch.stack([x0, y0, x0 + wide, y0 + high], 1).float(),
        torch.full((count,), level.index, dtype=torch.int64),
        place[:, 0],
        place[:, 1],
        torch.tensor([[rows, cols]]).expand(count, -1),
        torch.ones(count, dtype=torch.int64),
    )
    return tokens, order


def in_order(features: list[Tensor], order: Tensor) -> Tensor:
    """`[N, D]` cells of tiles `[n, n, D]` in the order of `[N]`; the tiles are copied once."""
    cells = features[0].shape[0] * features[0].shape[1]
    embed = features[0].new_empty(len(order), features[0].shape[2])
    place = torch.full((len(features) * cells,), -1)
    place[order] = torch.arange(len(order))
    for tile, own in zip(features, place.reshape(-1, cells), strict=True):
        shown = own >= 0
        embed[own[shown].to(embed.device)] = tile.flatten(0, 1)[shown.to(embed.device)]
    return embed
