"""Region-merge: views at several scales, each compressed region by region to its own budget.

Source: Dang et al. 2026 (UHR-BAT), Eq. 2-15 and Algorithm 1. Differences are listed in
docs/deviations.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.strategies.options import (
    LAYER_DOC,
    RELEVANCE,
    RELEVANCE_DOC,
    check_choice,
    check_count,
    option,
)
from uhrqa.strategies.partitions import REGIONS, Partition
from uhrqa.strategies.preserving import allot, compress, join_least, joined, transfer

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

SIDE_TILES = (2, 4, 8, 12)  # 672, 1344, 2688, 4032 px for 336 px tiles
SHARES = {
    "default": (80, 320, 600, 2000),
    "xlrs": (180, 1320, 1600, 8000),
    "mme": (80, 320, 1600, 4000),
    "rshr": (80, 320, 1600, 4000),
}  # budgets of the paper's appendix A, of 3000, 11100, 6000 and 6000 tokens
ITERATIONS, RELEASED_ITERATIONS = 4, 10  # of 100, 4 leave 98 % of the kept tokens the same
MOST_PIXELS = 100_000  # of a view's longer side: all its tiles are encoded
WAYS = ("auto", "kmeans", "birch", "slic", "grid", "labels")


@dataclass(frozen=True)
class RegionMerge:
    """Keeps what matters in every region of several views and merges the rest (UHR-BAT)."""

    scales: tuple[int, ...] | str | None = option(
        None, "longer sides of the views in pixels; 2, 4, 8 and 12 tiles by default; 'native': the "
        "image's own resolution, halved down to about 2 tiles"
    )  # fmt: skip
    shares: tuple[int, ...] | str = option(
        "default", "how the budget is shared among the views, coarsest first: whole numbers, or "
        "the paper's: default (80,320,600,2000 of 3000), xlrs (180,1320,1600,8000 of 11100), mme "
        "or rshr (80,320,1600,4000 of 6000)"
    )  # fmt: skip
    regions: int | None = option(
        None, f"regions a view; a quarter of its budget, at most {REGIONS}, by default"
    )
    partition: str = option(
        "auto", "how a view is cut into regions: kmeans, birch, slic, grid, or labels, which is "
        "the default where a file is given"
    )  # fmt: skip
    labels: str | None = option(
        None, "a segmenter's result: GeoTIFF, PNG or Zarr of integers over the image's extent"
    )
    coord_weight: float = option(0.05, "weight of coordinates beside features in kmeans and birch")
    iterations: int | None = option(
        None, f"k-means iterations; {ITERATIONS} by default, {RELEASED_ITERATIONS} with "
        "compat=released"
    )  # fmt: skip
    projection: int | None = option(
        None, "k-means sees so many directions of the features, those of greatest spread, which is "
        "quicker and cuts differently; all by default"
    )  # fmt: skip
    coverage: str = option(
        "paper", "'paper' cuts the ordered list (Algorithm 1), so that regions at its end may "
        "vanish; 'all' sets a token aside for every region"
    )  # fmt: skip
    rows: str = option(
        "auto", "query rows: 'text' (mean, as in the paper), 'last' (what an RFM is distilled on), "
        "or 'auto': last for an RFM, text for the model's own attention"
    )  # fmt: skip
    order: str = option("priority", "order in the prompt: 'priority' as in the paper, or 'raster'")
    relevance: str = option("auto", RELEVANCE_DOC)
    layer: int | None = option(None, LAYER_DOC)
    compat: str = option(
        "paper", "'released' follows the published UHR-BAT code step by step; coverage, rows, "
        "order and relevance do nothing then"
    )  # fmt: skip
    scale_residual: bool = option(
        False, "with compat=released: the kept tokens have their view's map added, as its "
        "enable_scale_pos_residual says"
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_choice("partition", self.partition, WAYS)
        check_choice("coverage", self.coverage, ("paper", "all"))
        check_choice("rows", self.rows, ("auto", "text", "last"))
        check_choice("order", self.order, ("priority", "raster"))
        check_choice("relevance", self.relevance, RELEVANCE)
        check_choice("compat", self.compat, ("paper", "released"))
        check_count("regions", self.regions)
        check_count("iterations", self.iterations)
        check_count("projection", self.projection)
        _check_scales(self.scales, self.shares)
        if not math.isfinite(self.coord_weight):
            raise ValueError(f"coord_weight={self.coord_weight}: give a finite number")
        if self.compat == "released" and self.scales == "native":
            raise ValueError("scales=native: compat=released pads to squares; give pixels")
        if (self.labels is not None) != (self._kind == "labels"):
            raise ValueError(
                f"partition={self.partition}: give labels=FILE with it"
                if self.labels is None
                else f"partition={self.partition} does not use labels={self.labels}; leave one out"
            )

    def costliest(self) -> RegionMerge:
        """The variant a plan is made with; pixels only decide how full the budget gets."""
        return self if self._kind == "labels" else replace(self, partition="grid")

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.selection import require

        if self.compat == "released":
            return self._as_released(scene, budget)
        views = self._views(scene)
        require(len(views), budget, f"{len(views)} views, one token each,")
        scene.require_tiles(views)
        counts = [scene.token_count(view) for view in views]
        shares = self._shares(len(views))
        rooms = allot(budget.tokens, counts, shares)
        given = self._cut.given(scene, views, rooms)
        if given:  # B_s >= R_s
            rooms = allot(budget.tokens, counts, shares, [int(own.max()) + 1 for own in given])
        anchor = scene.tokens(views[0])
        source = scene.relevance_source(self.relevance)
        rows = self.rows if self.rows != "auto" else "last" if source == "rfm" else "text"
        scores = scene.relevance(anchor, source=source, layer=self.layer, rows=rows)
        importance = scores.reshape(scene.token_grid(views[0]))
        parts = []
        for index, (view, room) in enumerate(zip(views, rooms, strict=True)):
            tokens = anchor if view is views[0] else scene.tokens(view)
            aligned = transfer(importance, tokens, views[0], float(scene.cell(views[0])))
            labels = given[index] if given else None
            parts.append(self._compressed(scene, tokens, aligned, room, labels))
            del tokens  # before the next view's are made
        return joined(parts, views, self.order)

    def _as_released(self, scene: Scene, budget: Budget) -> Selection:
        from uhrqa.strategies.region_merge_released import Released, select_as_released

        regions = self.regions is None and self._kind != "grid"
        cut = replace(self._cut, regions=budget.tokens) if regions else self._cut
        sides, shares = self._sides(scene), self._shares(len(self._sides(scene)))
        told = Released(sides, shares, cut, self.layer, self.scale_residual)
        return select_as_released(scene, budget, told)

    @property
    def _kind(self) -> str:
        if self.partition == "auto":
            return "kmeans" if self.labels is None else "labels"
        return self.partition

    @property
    def _cut(self) -> Partition:
        return Partition(
            self._kind,
            self.labels,
            self.regions,
            self.iterations or (RELEASED_ITERATIONS if self.compat == "released" else ITERATIONS),
            self.coord_weight,
            self.projection,
        )

    def _shares(self, views: int) -> tuple[int, ...]:
        """A share for each view; where there are more views, each has twice the one before it."""
        shares = SHARES[self.shares] if isinstance(self.shares, str) else self.shares
        while len(shares) < views:
            shares = (*shares, 2 * shares[-1])
        return shares[:views]

    def _sides(self, scene: Scene) -> tuple[int, ...]:
        if isinstance(self.scales, tuple):
            return tuple(sorted(self.scales))
        shares = SHARES[self.shares] if isinstance(self.shares, str) else self.shares
        return tuple(tiles * scene.tile for tiles in SIDE_TILES)[: len(shares)]

    def _views(self, scene: Scene) -> tuple[Level, ...]:
        from uhrqa.pyramid import Pyramid

        if self.scales == "native":
            first = SIDE_TILES[0] * scene.tile
            return Pyramid.native_views(scene.size, scene.tile, first).levels[1:]
        return Pyramid.views(scene.size, scene.tile, self._sides(scene)).levels[1:]

    def _compressed(
        self,
        scene: Scene,
        tokens: VisualTokens,
        importance: Tensor,
        room: int,
        labels: Tensor | None,
    ) -> tuple[VisualTokens, Tensor]:
        """One view within its budget; as it is where it fits."""
        import torch

        if len(tokens) <= room:
            return tokens, importance
        if labels is None:
            whole = torch.tensor([scene.size.w, scene.size.h])
            places = (tokens.centres() / whole).clamp(0, 1)
            labels = self._cut.of(scene, tokens, places, room)
        labels = join_least(labels, importance, room)
        return compress(tokens, importance, labels, room, cover=self.coverage == "all")


def _check_scales(scales: tuple[int, ...] | str | None, shares: tuple[int, ...] | str) -> None:
    """Refuse views or shares that cannot be.

    Raises:
        ValueError: another word, no number, one out of range, or fewer shares than views.
    """
    if isinstance(shares, str):
        if shares not in SHARES:
            words = ", ".join(SHARES)
            raise ValueError(f"shares={shares}: give {words}, or whole numbers with commas")
        shares = SHARES[shares]
    if not shares or min(shares) < 1:
        raise ValueError(f"shares={shares}: give whole numbers above 0")
    if isinstance(scales, str) and scales != "native":
        raise ValueError(f"scales={scales}: give native, or whole numbers with commas")
    if scales is None or isinstance(scales, str):
        return
    if not scales or not all(1 <= side <= MOST_PIXELS for side in scales):
        raise ValueError(f"scales={scales}: give pixels from 1 to {MOST_PIXELS}, at least one")
    if len(scales) > len(shares):
        raise ValueError(
            f"scales={scales}: {len(scales)} views but {len(shares)} shares; give a share for each"
        )
