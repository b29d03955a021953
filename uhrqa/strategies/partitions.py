"""How region-merge cuts a view into regions: by its tokens, by its pixels, or as a file says.

Source: Dang et al. 2026 (UHR-BAT), Eq. 13-15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uhrqa.geometry import Size

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.tokens import VisualTokens

REGIONS = 600  # granularity of the paper's Table 7, where results are flat


@dataclass(frozen=True)
class Partition:
    """A way to cut views into regions.

    Attributes:
        kind: kmeans, lloyd, birch, slic, grid or labels.
        labels: file of `labels`.
        regions: wanted in a view; a quarter of its budget, at most `REGIONS`, when None.
        iterations: of k-means, plain or not.
        coord_weight: of places beside features.
    """

    kind: str
    labels: str | None
    regions: int | None
    iterations: int
    coord_weight: float

    @property
    def by_place(self) -> bool:
        """Whether regions are known without tokens' features."""
        return self.kind in ("grid", "slic", "labels")

    def count(self, room: int) -> int:
        """Regions wanted in a view whose budget is `room`, no more than that."""
        return min(self.regions or min(REGIONS, max(1, room // 4)), room)

    def given(
        self, scene: Scene, views: Sequence[Level], rooms: Sequence[int], *, padding: bool = False
    ) -> list[Tensor] | None:
        """Regions that need no token, before anything is encoded; None where tokens decide.

        Args:
            scene: the scene.
            views: V levels.
            rooms: their budgets.
            padding: label 0 is what lies beyond the image and what the segmenter left out; each
                token there is a region of its own, as in the released code.

        Returns:
            Of each view `[N]` labels in raster order, dense from 0; or None.

        Raises:
            RasterError: the file is missing, no raster of integers, or of another extent or place.
            ConfigError: a package is not installed.
        """
        from uhrqa.raster import whole_of
        from uhrqa.raster.ground import ground_of
        from uhrqa.raster.labels import read_labels
        from uhrqa.regions import load_clusters
        from uhrqa.view_regions import label_regions, pixel_regions

        if self.kind == "birch":
            load_clusters()  # told before anything is encoded
        if self.kind == "slic":
            return [
                pixel_regions(scene, view, self.count(room))
                for view, room in zip(views, rooms, strict=True)
            ]
        if self.labels is None:
            return None
        extent = scene.extent
        ground = ground_of(whole_of(scene.raster))
        raster = read_labels(self.labels, Size(round(extent.h), round(extent.w)), ground)
        return [label_regions(scene, view, raster, extent, singles=padding) for view in views]

    def of(self, scene: Scene, tokens: VisualTokens, places: Tensor, room: int) -> Tensor:
        """Regions of tokens.

        Args:
            scene: the scene.
            tokens: N tokens of one view.
            places: `[N, 2]` (x, y) in [0, 1].
            room: the view's budget.

        Returns:
            `[N]` labels, dense from 0, at most `room` of them.

        Raises:
            ConfigError: a package is not installed.
        """
        from uhrqa.clustering import KMeans
        from uhrqa.regions import birch_regions, grid_regions

        count = self.count(room)
        if self.kind == "grid":
            return grid_regions(places, count)
        if self.kind == "birch":
            features = scene.features_of(tokens)
            return birch_regions(
                features, places, count, seed=scene.seed, coord_weight=self.coord_weight
            )
        how = KMeans(count, self.iterations, self.coord_weight, plain=self.kind == "lloyd")
        return scene.kmeans(tokens, places, how)
