"""Region-merge that encodes only tiles of regions that come before the cut.

Importance and place of finer tokens are known before they are encoded (Dang et al. 2026, Eq. 6-7);
only the partition may need features. By place it needs none; k-means takes the anchor's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.tokens import VisualTokens


def needed_tokens(
    scene: Scene,
    view: Level,
    room: int,
    align: Callable[[VisualTokens], Tensor],
    cut: Callable[[VisualTokens, Tensor], Tensor],
    like: VisualTokens | None,
) -> tuple[VisualTokens, Tensor | None]:
    """Tokens of all regions that Algorithm 1 reaches before its budget is spent; no others.

    Args:
        scene: what is seen.
        view: a finer view.
        room: B_s, budget of the view.
        align: importance of tokens, by their place.
        cut: regions of tokens with that importance, dense from 0.
        like: tokens of the coarsest view, the nearest of which lends its features to be cut by;
            None where regions are known without.

    Returns:
        N tokens in raster order, and `[N]` their regions; None where all of them fit. The regions
        are whole, and in the order they have among all: what is made of them is what would be made
        of all tokens. What shows no-data alone is missing; it is known too late to choose others.
    """
    import torch

    from uhrqa.regions import dense

    places = scene.places(view)
    if len(places) <= room:
        return scene.tokens(view), None
    importance = align(places)
    if like is not None:
        places = replace(places, embed=like.embed[nearest(places, like).to(like.embed.device)])
    labels = cut(places, importance)
    wanted = before_cut(labels, importance, room)[labels]
    side = int(scene.tile // scene.cell(view))
    wide = view.grid[1]
    numbers = torch.unique((places.row // side * wide + places.col // side)[wanted]).tolist()
    tiles = list(view.tiles())
    tokens = scene.tokens(view, [tiles[number] for number in numbers])
    own = labels.where(wanted, -1)  # places are all cells of the view, row by row
    found = own[tokens.row * int(places.grid[0, 1]) + tokens.col]
    tokens, found = tokens.take(found >= 0), found[found >= 0]
    return tokens, dense(found) if len(tokens) >= room else None


def before_cut(labels: Tensor, importance: Tensor, room: int) -> Tensor:
    """`[R]` bool: regions that Algorithm 1 comes to before `room` tokens are kept."""
    import torch

    from uhrqa.strategies.preserving import group_by_region, preserve_and_merge

    groups, order = group_by_region(labels, importance)
    reached = torch.zeros(len(groups), dtype=torch.bool)
    left = room
    for index in order:
        preserved, merged = preserve_and_merge(groups[index], importance, len(labels))
        reached[index] = True
        left -= len(preserved) + bool(len(merged))
        if left <= 0:
            break
    return reached


def nearest(tokens: VisualTokens, others: VisualTokens) -> Tensor:
    """`[N]` which of the others lies nearest to each token, by their boxes' centres."""
    import torch

    centres = others.centres()
    parts = torch.split(tokens.centres(), 4096)
    return torch.cat([torch.cdist(part, centres).argmin(1) for part in parts])
