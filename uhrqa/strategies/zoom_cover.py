"""Zoom at any budget: what RFM-DIP finds, a pooled thumbnail, and a budget that is filled.

RFM-DIP keeps a share of the last level, leaves part of the budget unused, and refuses budgets below
the thumbnail. This one zooms in the same way, pools the thumbnail where the budget is small, and
fills what is left: with more of the last level and, if asked to, with the most relevant tokens of
coarser levels where it did not zoom in. `docs/comparison.md` has what that is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.strategies.options import (
    LAYER_DOC,
    NEWLINES_DOC,
    RELEVANCE,
    RELEVANCE_DOC,
    check_choice,
    check_count,
    check_share,
    option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.strategies.rfm_dip import Trail
    from uhrqa.tokens import VisualTokens

THUMBNAIL_SHARE = 4  # the thumbnail takes at most one part in so many of the budget


@dataclass(frozen=True)
class ZoomCover:
    """Zooms like rfm-dip, fits the thumbnail to small budgets and fills large ones (ours)."""

    keep_ratio: float = option(0.25, "share of the finest level's tokens that comes first")
    cover: float = option(
        0.0, "share of the budget, at least, for coarser levels; at 0 the finest alone fills it"
    )
    zoom_ratio: float = option(0.25, "share of a level's tokens that point to finer tiles")
    max_tiles: int = option(40, "tiles encoded at each level from 2 on")
    relevance: str = option("auto", RELEVANCE_DOC)
    layer: int | None = option(None, LAYER_DOC)
    newlines: bool = option(True, NEWLINES_DOC)

    def __post_init__(self) -> None:
        for name in ("keep_ratio", "zoom_ratio"):
            check_share(name, getattr(self, name))
        if not 0 <= self.cover < 1:
            raise ValueError(f"cover={self.cover}: give a share from 0 to below 1")
        check_count("max_tiles", self.max_tiles)
        check_choice("relevance", self.relevance, RELEVANCE)

    def costliest(self) -> ZoomCover:
        """The variant a plan is made with: it never stops early."""
        return self

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        import torch

        from uhrqa.selection import behind_thumbnail, require
        from uhrqa.strategies.rfm_dip import RfmDip, score_ended
        from uhrqa.tokens import VisualTokens, end_rows, fit_rows

        newline = scene.newline if self.newlines else None
        require(2 + (newline is not None), budget, "a pooled thumbnail and one token")
        scene.require_tiles(scene.pyramid.levels[:2])
        thumbnail = scene.tokens(scene.pyramid.thumbnail)
        zoom = RfmDip(
            zoom_ratio=self.zoom_ratio,
            max_tiles=self.max_tiles,
            relevance=self.relevance,
            layer=self.layer,
        )
        trail = zoom.zoom_in(scene, thumbnail)
        whole = fit_thumbnail(thumbnail, budget.tokens // THUMBNAIL_SHARE)
        room = budget.tokens - len(whole)
        tokens = VisualTokens.cat([part for part, _ in trail.sights])
        scores = torch.cat([part for _, part in trail.sights])
        kept = fit_rows(tokens, self._order(trail, scene, room), room, newline)
        ended = end_rows(tokens.take(kept), newline)
        return replace(
            behind_thumbnail(whole, ended, score_ended(ended, scores[kept])), steps=trail.steps
        )

    def _order(self, trail: Trail, scene: Scene, room: int) -> Tensor:
        """All tokens of a trail, most wanted first; those that finer ones replace are left out."""
        import torch

        from uhrqa.strategies.rfm_dip import most_relevant

        start = sum(len(tokens) for tokens, _ in trail.sights[:-1])
        finest = start + trail.sights[-1][1].argsort(descending=True, stable=True)
        if not self.cover:
            return finest
        first = most_relevant(trail.sights[-1][1], self.keep_ratio, 1.0)
        count = min(len(first), max(1, int(room * (1 - self.cover))))
        return torch.cat([finest[:count], left_behind(trail, scene), finest[count:]])


def left_behind(trail: Trail, scene: Scene) -> Tensor:
    """Tokens of coarser levels where nothing finer was looked at, the most relevant first.

    The relevance of a level that was looked at in part counts by the share of the level above that
    pointed there, so that levels can be compared.

    Returns:
        `[K]` indices into all tokens of the trail.
    """
    import torch

    chosen, worth = [], []
    start, mass = 0, 1.0
    for (tokens, scores), (finer, _) in zip(trail.sights, trail.sights[1:], strict=False):
        level = scene.pyramid[int(finer.level[0])]
        seen = _inside(tokens, finer, level.tile / level.scale[1], level.tile / level.scale[0])
        index = (~seen).nonzero().flatten()
        chosen.append(start + index)
        worth.append(scores[index] * mass)
        mass *= float(scores[seen].sum())
        start += len(tokens)
    if not chosen:
        return torch.zeros(0, dtype=torch.int64)
    order = torch.cat(worth).argsort(descending=True, stable=True)
    return torch.cat(chosen)[order]


def _inside(tokens: VisualTokens, finer: VisualTokens, wide: float, high: float) -> Tensor:
    """`[N]` bool: the token's centre lies in a tile of which finer tokens were seen."""
    import torch

    side = torch.tensor([wide, high])
    cells = (finer.centres() / side).long()
    span = int(cells[:, 0].max()) + 2
    mine = (tokens.centres() / side).long()
    key = mine[:, 1] * span + mine[:, 0].clamp_max(span - 1)
    return torch.isin(key, cells[:, 1] * span + cells[:, 0])


def fit_thumbnail(thumbnail: VisualTokens, room: int) -> VisualTokens:
    """The thumbnail, its neighbouring tokens averaged until it has `room` tokens or one."""
    from uhrqa.tokens import pool

    factor, pooled = 1, thumbnail
    while len(pooled) > max(1, room):
        factor += 1
        pooled, _ = pool(thumbnail, factor)
    return pooled
