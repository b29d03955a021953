"""Region-merge as the published UHR-BAT code does it, to check its weights against it.

The image is padded to a centred square and shown at all sides, whatever its size; padding competes
for the budget. Tokens stand tile by tile. Importance is read in the decoder's last layer, from the
last text token, over the whole sequence. Pixels are our own: antialiased in the same way, but read
from the nearest stored level.

Source: the code of Dang et al. 2026 (UHR-BAT), as described in docs/deviations.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from uhrqa.budget import Budget
from uhrqa.pyramid import Level, Pyramid
from uhrqa.regions import dense
from uhrqa.scene import Scene
from uhrqa.selection import Selection, require
from uhrqa.strategies.partitions import Partition
from uhrqa.strategies.preserving import allot, compress
from uhrqa.strategies.views import FEWER_VIEWS
from uhrqa.tokens import VisualTokens

LAST_LAYER = -1


@dataclass(frozen=True)
class Released:
    """What the code is told.

    Attributes:
        sides: of the views in pixels.
        shares: of each view; with a budget of their sum these are the views' budgets.
        partition: cuts a view into regions.
        layer: of the decoder, where attention is read; the last one by default.
        residual: the kept tokens have the checkpoint's map of their view added, twice.
    """

    sides: Sequence[int]
    shares: Sequence[int]
    partition: Partition
    layer: int | None = None
    residual: bool = False


def select_as_released(scene: Scene, budget: Budget, told: Released) -> Selection:
    """The tokens the published code would keep, under a budget shared as its own.

    Raises:
        BudgetError: less than a token for each view, or more tiles than the cap allows.
    """
    views = Pyramid.squares(scene.size, scene.tile, told.sides).levels[1:]
    require(len(views), budget, f"{len(views)} views, one token each,")
    scene.require_tiles(views, FEWER_VIEWS)
    # None gets what another cannot use.
    rooms = allot(budget.tokens, [budget.tokens] * len(views), told.shares)
    given = told.partition.given(scene, views, rooms, padding=True)
    anchor = scene.tokens(views[0], masked=True, placed=0)
    mapped = scene.placed(anchor)  # always in the relevance pass
    scores = scene.reader.read_whole(mapped, LAST_LAYER if told.layer is None else told.layer)
    importance = scores.reshape(scene.token_grid(views[0]))
    parts, kept, steps = [], [], []
    for index, (view, room) in enumerate(zip(views, rooms, strict=True)):
        tokens = anchor if view is views[0] else scene.tokens(view, masked=True, placed=0)
        tokens = scene.placed(tokens, 2 if told.residual else 0)
        aligned = _resized(importance, scene.token_grid(view)).flatten()
        order, places = by_tiles(tokens, tokens_a_side(scene, view))
        tokens, aligned = tokens.take(order), aligned[order]
        if given:
            labels = dense(given[index][order])
        else:
            labels = told.partition.of(scene, tokens, places, room)
        part, own = compress(tokens, aligned, labels, room, strict=True)
        parts.append(part)
        kept.append(own)
        merged = int((part.weight > 1).sum())
        steps.append(f"view {view.size}: {len(part)} tokens, {merged} of them merged")
    return Selection(VisualTokens.cat(parts), torch.cat(kept), tuple(steps))


def tokens_a_side(scene: Scene, view: Level) -> int:
    """Tokens along a tile's side."""
    return int(view.tile / scene.cell(view))


def _resized(importance: Tensor, grid: tuple[int, int]) -> Tensor:
    """`[rows, cols]` the anchor's map on another view's token grid."""
    resized = functional.interpolate(
        importance[None, None].float(), grid, mode="bilinear", align_corners=False
    )
    return resized[0, 0]


def by_tiles(tokens: VisualTokens, side: int) -> tuple[Tensor, Tensor]:
    """Tokens tile by tile, and their places within a tile.

    Args:
        tokens: N tokens in raster order.
        side: n, tokens along a tile's side.

    Returns:
        `[N]` which token comes next, and `[N, 2]` (x, y) of these, 0 at the tile's first and 1 at
        its last row and column.
    """
    order = torch.arange(len(tokens))
    for key in (tokens.col, tokens.row, tokens.col // side, tokens.row // side):
        order = order[key[order].argsort(stable=True)]  # the last key counts most
    inside = torch.stack([tokens.col[order] % side, tokens.row[order] % side], 1)
    return order, inside / max(1, side - 1)
