"""Region-merge: views at several scales, each compressed region by region to its own budget.

Source: Dang et al. 2026 (UHR-BAT), Eq. 2-15 and Algorithm 1. Differences are listed in
docs/deviations.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from uhrqa.strategies.needed import needed_tokens
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
from uhrqa.strategies.views import FEWER_VIEWS, check_scales, shares_of, sides_of, views_of

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

ITERATIONS, RELEASED_ITERATIONS = 100, 10
WAYS = ("auto", "kmeans", "lloyd", "birch", "slic", "grid", "labels")


@dataclass(frozen=True)
class RegionMerge:
    """Keeps what matters in every region of several views and merges the rest (UHR-BAT)."""

    scales: tuple[int, ...] | str | None = option(
        None, "longer sides of the views in pixels; by default those the model learned (UHR-BAT), "
        "else 2, 4, 8 and 12 tiles; 'native': the image's own resolution, halved down to about 2 "
        "tiles"
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
        "auto", "how a view is cut into regions: kmeans, lloyd (the same, plain: whole features in "
        "every iteration, slower), birch, slic, grid, or labels; by default labels where a file is "
        "given, lloyd with compat=released, else kmeans; birch and slic need uhrqa[regions]"
    )  # fmt: skip
    labels: str | None = option(
        None, "a segmenter's result: GeoTIFF, PNG or Zarr of integers over the image's extent",
        file=True,
    )  # fmt: skip
    coord_weight: float = option(0.05, "weight of coordinates beside features in kmeans and birch")
    iterations: int | None = option(
        None, f"k-means iterations at most; {ITERATIONS} by default, {RELEASED_ITERATIONS} with "
        "compat=released"
    )  # fmt: skip
    coverage: str = option(
        "paper", "'paper' cuts the ordered list (Algorithm 1), so that regions at its end may "
        "vanish; 'all' sets a token aside for every region"
    )  # fmt: skip
    encode: str = option(
        "all", "'needed': tiles of regions behind the cut are not encoded; kmeans and birch then "
        "take the anchor's features. With coverage=paper"
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
        check_choice("encode", self.encode, ("all", "needed"))
        check_choice("rows", self.rows, ("auto", "text", "last"))
        check_choice("order", self.order, ("priority", "raster"))
        check_choice("relevance", self.relevance, RELEVANCE)
        check_choice("compat", self.compat, ("paper", "released"))
        check_count("regions", self.regions)
        check_count("iterations", self.iterations)
        check_scales(self.scales, self.shares)
        if not math.isfinite(self.coord_weight):
            raise ValueError(f"coord_weight={self.coord_weight}: give a finite number")
        if self.compat == "released" and self.scales == "native":
            raise ValueError("scales=native: compat=released pads to squares; give pixels")
        if self.encode == "needed" and self.coverage == "all":
            raise ValueError("encode=needed: coverage=all needs every region; use coverage=paper")
        if self.encode == "needed" and self.compat == "released":
            raise ValueError("encode=needed: compat=released encodes every view; leave one out")
        if (self.labels is not None) != (self._kind == "labels"):
            raise ValueError(
                f"partition={self.partition}: give labels=FILE with it"
                if self.labels is None
                else f"partition={self.partition} does not use labels={self.labels}; leave one out"
            )

    def costliest(self) -> RegionMerge:
        """The variant a plan is made with: where scores decide which tiles are needed, all are.

        BIRCH and SLIC, which need features or pixels, become a grid.
        """
        whole = replace(self, encode="all")
        return replace(whole, partition="grid") if self._kind in ("birch", "slic") else whole

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.regions import dense
        from uhrqa.selection import require
        from uhrqa.tokens import as_grid

        if self.compat == "released":
            return self._as_released(scene, budget)
        views = self._views(scene)
        require(len(views), budget, f"{len(views)} views, one token each,")
        scene.require_tiles(views, FEWER_VIEWS)
        source = scene.reader.source(self.relevance)
        shown = self._shown(scene, views)
        counts = [int(cells.sum()) for cells in shown]
        shares = shares_of(self.shares, len(views))
        rooms = allot(budget.tokens, counts, shares)
        given = self._cut.given(scene, views, rooms)
        if given:  # B_s >= R_s
            given = [dense(own[cells]) for own, cells in zip(given, shown, strict=True)]
            rooms = allot(budget.tokens, counts, shares, [len(own.bincount()) for own in given])
        anchor = scene.tokens(views[0])
        rows = self.rows if self.rows != "auto" else "last" if source == "rfm" else "text"
        scores = scene.relevance(anchor, source=source, layer=self.layer, rows=rows)
        align = partial(
            transfer, as_grid(scores, anchor), anchor=views[0], cell=float(scene.cell(views[0]))
        )
        parts, cover = [], self.coverage == "all"
        for index, (view, room) in enumerate(zip(views, rooms, strict=True)):
            cut = partial(self._regions, scene, room, given[index] if given else None)
            if self.encode == "needed" and index:
                like = None if self._cut.by_place else anchor
                tokens, labels = needed_tokens(scene, view, room, align, cut, like)
            else:
                tokens = scene.tokens(view) if index else anchor
                labels = cut(tokens, align(tokens)) if len(tokens) > room else None
            part = tokens, align(tokens)
            parts.append(part if labels is None else compress(*part, labels, room, cover=cover))
            del tokens, part  # before the next view's are made
        return replace(joined(parts, views, self.order), notes=self._notes(rooms))

    def _as_released(self, scene: Scene, budget: Budget) -> Selection:
        from uhrqa.strategies.region_merge_released import Released, select_as_released

        regions = self.regions is None and self._kind != "grid"
        cut = replace(self._cut, regions=budget.tokens) if regions else self._cut
        sides = sides_of(scene, self.scales, self.shares)
        shares = shares_of(self.shares, len(sides))
        told = Released(sides, shares, cut, self.layer, self.scale_residual)
        rooms = allot(budget.tokens, [budget.tokens] * len(sides), shares)
        return replace(select_as_released(scene, budget, told), notes=self._notes(rooms))

    def _notes(self, rooms: Sequence[int]) -> tuple[str, ...]:
        """That views have fewer regions than asked for, where they do."""
        few = [room for room in rooms if self.regions and room < self.regions]
        if not few or self._kind == "labels":
            return ()
        told = ", ".join(map(str, few))
        note = (
            f"regions={self.regions}: {len(few)} of {len(rooms)} views have room for fewer tokens"
        )
        return (f"{note} ({told}), and so for fewer regions; raise the budget",)

    @property
    def _kind(self) -> str:
        if self.partition == "auto":
            if self.labels is not None:
                return "labels"
            return "lloyd" if self.compat == "released" else "kmeans"
        return self.partition

    @property
    def _cut(self) -> Partition:
        return Partition(
            self._kind,
            self.labels,
            self.regions,
            self.iterations or (RELEASED_ITERATIONS if self.compat == "released" else ITERATIONS),
            self.coord_weight,
        )

    def _views(self, scene: Scene) -> tuple[Level, ...]:
        return views_of(scene, self.scales, self.shares)

    def _shown(self, scene: Scene, views: Sequence[Level]) -> list[Tensor]:
        """`[N]` bool of each view, tokens that show image; all where only needed tiles are read."""
        import torch

        late = views[1:] if self.encode == "needed" else ()
        return [
            torch.ones(scene.token_count(view), dtype=torch.bool)
            if view in late
            else scene.shown_cells(view).flatten()
            for view in views
        ]

    def _regions(
        self,
        scene: Scene,
        room: int,
        given: Tensor | None,
        tokens: VisualTokens,
        importance: Tensor,
    ) -> Tensor:
        """`[N]` regions of a view's tokens, no more than it has room for."""
        import torch

        if given is None:
            whole = torch.tensor([scene.size.w, scene.size.h])
            places = (tokens.centres() / whole).clamp(0, 1)
            given = self._cut.of(scene, tokens, places, room)
        return join_least(given, importance, room)
