"""Region-merge: views at several scales, each compressed region by region to its own budget.

Source: Dang et al. 2026 (UHR-BAT), Eq. 2-12 and Algorithm 1. Differences are listed in
docs/deviations.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from uhrqa.errors import ConfigError
from uhrqa.strategies.options import (
    LAYER_DOC,
    RELEVANCE,
    RELEVANCE_DOC,
    check_choice,
    check_count,
    option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

SIDE_TILES = (2, 4, 8, 12)  # 672, 1344, 2688, 4032 px for 336 px tiles
REGIONS = 600  # granularity of the paper's Table 7, where results are flat
MOST_PIXELS = 100_000  # of a view's longer side: all its tiles are encoded


@dataclass(frozen=True)
class RegionMerge:
    """Keeps what matters in every region of several views and merges the rest (UHR-BAT)."""

    scales: tuple[int, ...] | None = option(
        None,
        "longer sides of the views in pixels; by default those the model learned (UHR-BAT), else "
        "2, 4, 8 and 12 tiles",
    )
    shares: tuple[int, ...] = option(
        (80, 320, 600, 2000), "how the budget is shared among the views, coarsest first"
    )
    regions: int | None = option(
        None, f"k-means regions a view; a quarter of its budget, at most {REGIONS}, by default"
    )
    partition: str = option("kmeans", "how a view is cut into regions: kmeans or grid")
    coord_weight: float = option(0.05, "weight of coordinates beside features in k-means")
    iterations: int = option(10, "k-means iterations")
    coverage: bool = option(
        True, "every region keeps a token (the paper's promise); false cuts the list (Algorithm 1)"
    )
    encode: str = option(
        "all", "'needed': tiles of regions behind the cut are not encoded; k-means then takes the "
        "anchor's features. With coverage=false"
    )  # fmt: skip
    rows: str = option(
        "auto", "query rows: 'text' (mean, as in the paper), 'last' (what an RFM is distilled on), "
        "or 'auto': last for an RFM, text for the model's own attention"
    )  # fmt: skip
    order: str = option("priority", "order in the prompt: 'priority' as in the paper, or 'raster'")
    relevance: str = option("auto", RELEVANCE_DOC)
    layer: int | None = option(None, LAYER_DOC)

    def __post_init__(self) -> None:
        check_choice("partition", self.partition, ("kmeans", "grid"))
        check_choice("encode", self.encode, ("all", "needed"))
        if self.encode == "needed" and self.coverage:
            raise ValueError("encode=needed: every region is needed with coverage; coverage=false")
        check_choice("rows", self.rows, ("auto", "text", "last"))
        check_choice("order", self.order, ("priority", "raster"))
        check_choice("relevance", self.relevance, RELEVANCE)
        check_count("regions", self.regions)
        check_count("iterations", self.iterations)
        if not self.shares or min(self.shares) < 1:
            raise ValueError(f"shares={self.shares}: give whole numbers above 0")
        if self.scales is not None and not all(1 <= side <= MOST_PIXELS for side in self.scales):
            raise ValueError(f"scales={self.scales}: give pixels from 1 to {MOST_PIXELS}")
        if self.scales == ():
            raise ValueError("scales: give at least one")
        if self.scales is not None and len(self.scales) > len(self.shares):
            raise ValueError(
                f"scales={self.scales}: {len(self.scales)} views but {len(self.shares)} shares; "
                "give a share for each"
            )
        if not math.isfinite(self.coord_weight):
            raise ValueError(f"coord_weight={self.coord_weight}: give a finite number")

    def costliest(self) -> RegionMerge:
        """The variant a plan is made with; pixels only decide how full the budget gets."""
        return self

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`. Line numbers are those of Algorithm 1."""
        from uhrqa.selection import require
        from uhrqa.strategies.needed import needed_tokens
        from uhrqa.tokens import as_grid

        views = self._views(scene)
        require(len(views), budget, f"{len(views)} views, one token each,")
        scene.require_tiles(views)
        anchor = scene.tokens(views[0])
        source = scene.relevance_source(self.relevance)
        rows = self.rows if self.rows != "auto" else "last" if source == "rfm" else "text"
        scores = scene.relevance(anchor, source=source, layer=self.layer, rows=rows)
        importance = as_grid(scores, anchor)
        late = self.encode == "needed"
        seen = [anchor, *(scene.places(v) if late else scene.tokens(v) for v in views[1:])]
        allotted = allot(budget.tokens, [len(tokens) for tokens in seen], self.shares[: len(views)])
        cell = float(scene.cell(views[0]))
        parts = []
        for view, tokens, room in zip(views, seen, allotted, strict=True):
            labels = None
            if late and view is not views[0]:
                tokens, labels = needed_tokens(
                    scene,
                    view,
                    anchor,
                    room,
                    partial(transfer, importance, anchor=views[0], cell=cell),
                    partial(self._partition, scene, room=room),
                )
            aligned = transfer(importance, tokens, views[0], cell)
            parts.append(self._compress(scene, tokens, aligned, room, labels))
        return _joined(parts, views, self.order)

    def _views(self, scene: Scene) -> tuple[Level, ...]:
        from uhrqa.pyramid import Pyramid

        sides = self.scales or scene.views or tuple(tiles * scene.tile for tiles in SIDE_TILES)
        if scene.views and (odd := [side for side in sides if side not in scene.views]):
            raise ConfigError(
                f"scales={_listed(sides)}: the model has no map for views of {_listed(odd)} px; "
                f"give some of {_listed(scene.views)}"
            )
        return Pyramid.views(scene.size, scene.tile, sides[: len(self.shares)]).levels[1:]

    def _compress(
        self,
        scene: Scene,
        tokens: VisualTokens,
        importance: Tensor,
        room: int,
        labels: Tensor | None = None,
    ) -> tuple[VisualTokens, Tensor]:
        """One view within its budget: lines 1-28; its regions are `labels` where they are known."""
        import torch

        from uhrqa.tokens import VisualTokens

        if labels is None and len(tokens) <= room:
            return tokens, importance
        regions = self._partition(scene, tokens, room) if labels is None else labels
        groups, order = group_by_region(regions, importance)
        kept: list[VisualTokens] = []
        scores: list[Tensor] = []
        left = room
        for rank, index in enumerate(order):  # lines 18-27
            room_here = left - (len(order) - rank - 1) if self.coverage else len(tokens)
            preserved, merged = preserve_and_merge(groups[index], importance, room_here)
            kept.append(tokens.take(preserved))
            scores.append(importance[preserved])
            if len(merged):
                kept.append(tokens.take(merged).merge())
                scores.append(importance[merged].mean()[None])
            left -= len(preserved) + bool(len(merged))
            if left <= 0:
                break
        first = torch.arange(min(room, sum(map(len, kept))))
        return VisualTokens.cat(kept).take(first), torch.cat(scores)[first]

    def _partition(self, scene: Scene, tokens: VisualTokens, room: int) -> Tensor:
        import torch

        from uhrqa.regions import grid_regions, kmeans_regions

        count = min(self.regions or min(REGIONS, max(1, room // 4)), room)
        whole = torch.tensor([scene.size.w, scene.size.h])
        centres = (tokens.centres() / whole).clamp(0, 1)
        if self.partition == "grid":
            return grid_regions(centres, count)
        return kmeans_regions(
            scene.features_of(tokens).float(),
            centres.to(tokens.embed.device),
            count,
            seed=scene.seed,
            iterations=self.iterations,
            coord_weight=self.coord_weight,
        ).cpu()


def _listed(sides: Sequence[int]) -> str:
    return ",".join(map(str, sides))


def allot(budget: int, counts: Sequence[int], shares: Sequence[int]) -> list[int]:
    """Share a budget among views: in proportion, at least one each, none more than it has tokens.

    What a small view cannot use goes to the others, so no budget lies idle while tokens are left.

    Source: Dang et al. 2026, Sec. 3.3, sum of B_s <= B.
    """
    allotted = [1] * len(counts)
    left = budget - len(counts)
    while left > 0:
        open_views = [i for i, count in enumerate(counts) if allotted[i] < count]
        if not open_views:
            break
        total = sum(shares[i] for i in open_views)
        gains = [min(left * shares[i] // total, counts[i] - allotted[i]) for i in open_views]
        if not any(gains):  # fewer tokens left than views: the finest takes them
            gains[-1] = min(left, counts[open_views[-1]] - allotted[open_views[-1]])
        for i, gain in zip(open_views, gains, strict=True):
            allotted[i] += gain
        left = budget - sum(allotted)
    return allotted


def transfer(importance: Tensor, tokens: VisualTokens, anchor: Level, cell: float) -> Tensor:
    """The anchor's importance at other tokens' centres, bilinearly.

    Args:
        importance: `[rows, cols]` on the anchor's token grid.
        tokens: N tokens of any view.
        anchor: the anchor view.
        cell: level pixels along one side of an anchor token.

    Returns:
        `[N]` float32.

    Source: Dang et al. 2026, Eq. 6-7; coordinates are source pixels, so views of any shape align.
    """
    import torch
    from torch.nn import functional

    sy, sx = anchor.scale
    rows, cols = importance.shape
    grid = tokens.centres() * torch.tensor([sx, sy]) / cell  # in anchor cells
    grid = grid / torch.tensor([cols, rows]) * 2 - 1
    sampled = functional.grid_sample(
        importance[None, None].float(),
        grid[None, None],
        padding_mode="border",
        align_corners=False,
    )
    return sampled.flatten()


def group_by_region(labels: Tensor, importance: Tensor) -> tuple[list[Tensor], list[int]]:
    """Members of each region, and the regions from the most important on; ties by label.

    Source: Dang et al. 2026, Eq. 8 and Algorithm 1, line 18.
    """
    import torch

    order = labels.argsort(stable=True)
    groups = list(torch.split(order, torch.bincount(labels).tolist()))
    means = torch.stack([importance[members].double().mean() for members in groups])
    return groups, means.argsort(descending=True, stable=True).tolist()


def preserve_and_merge(members: Tensor, importance: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Members at or above their region's mean, most important first, and those to merge.

    Args:
        members: `[K]` token indices of one region.
        importance: `[N]` of all tokens.
        room: tokens the region may become, at least 1; what does not fit is merged with the rest.

    Source: Dang et al. 2026, Eq. 9 and 11. The mean is taken in float64 and compared with a
    tolerance, so that equal scores are all preserved, as the equation says.
    """
    values = importance[members].double()
    order = values.argsort(descending=True, stable=True)
    count = int((values >= values.mean() * (1 - 1e-9)).sum())
    if count + (count < len(members)) > room:
        count = room - 1
    return members[order[:count]], members[order[count:]]


def _joined(
    parts: list[tuple[VisualTokens, Tensor]], views: tuple[Level, ...], order: str
) -> Selection:
    import torch

    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

    tokens = VisualTokens.cat([part for part, _ in parts])
    scores = torch.cat([part for _, part in parts])
    if order == "raster":
        centres = tokens.centres()
        keys = (centres[:, 0], centres[:, 1], tokens.level)
        index = torch.arange(len(tokens))
        for key in keys:  # stable sorts, the last key counts most
            index = index[key[index].argsort(stable=True)]
        tokens, scores = tokens.take(index), scores[index]
    steps = tuple(
        f"view {view.size}: {len(part)} tokens, {int((part.weight > 1).sum())} of them merged"
        for view, (part, _) in zip(views, parts, strict=True)
    )
    return Selection(tokens, scores, steps)
