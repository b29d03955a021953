"""Regions of a view that pixels decide: a segmenter's raster, or superpixels. Encodes nothing."""

from __future__ import annotations

from torch import Tensor

from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Level
from uhrqa.raster.labels import Labels
from uhrqa.scene import Scene
from uhrqa.segments import as_regions, superpixels, vote

PIXELS_A_TOKEN = 4  # along a side, where superpixels are made


def label_regions(
    scene: Scene, level: Level, labels: Labels, extent: Box, *, singles: bool = False
) -> Tensor:
    """Regions of all tokens of a level as a raster of labels says.

    Args:
        scene: the scene.
        level: the level.
        labels: `[h, w]` over `extent`.
        extent: pixels of the scene, or beyond it, that have labels.
        singles: tokens of label 0, and those beyond the image, are each a region of their own.

    Returns:
        `[N]` int64 in raster order, dense from 0.

    Source: Dang et al. 2026, Eq. 15.
    """
    cells = max(1, round(scene.cell(level)))
    voted = vote(labels, scene.places(level).box, scene.size, cells, extent)
    return as_regions(voted, singles=singles)


def pixel_regions(scene: Scene, level: Level, count: int) -> Tensor:
    """Regions of all tokens of a level from superpixels of the image, read a bit finer.

    Args:
        scene: the scene; the read is noted in its ledger.
        level: the level.
        count: superpixels wanted.

    Returns:
        `[N]` int64 in raster order, dense from 0.

    Raises:
        ConfigError: scikit-image is not installed.
        RasterError: the image cannot be read.
    """
    finer = PIXELS_A_TOKEN * max(scene.token_grid(level)) / max(scene.size)
    h, w = (max(1, round(side * finer)) for side in scene.size)
    pixels = scene.overview(Size(h, w))
    return label_regions(scene, level, superpixels(pixels.array, count), Box.whole(scene.size))
