"""One resolution of an image that GDAL reads, in blocks, from one thread at a time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BadTiles, BlockLevel, Meter, Window
from uhrqa.raster.gdal_env import gdal_env
from uhrqa.raster.gdal_kinds import Dataset, has_mask_band
from uhrqa.raster.guard import guarded
from uhrqa.raster.painter import Mask, Painter

Values = NDArray[Any]
READ_SIDE = 512  # blocks of GDAL are read together up to this, and wider ones in such parts
LARGEST_SIDE = 1024


@dataclass(frozen=True, slots=True)
class GdalSource:
    """What all levels of an image share."""

    path: str
    rasterio: Any
    meter: Meter
    painter: Painter
    bad: BadTiles
    share: float  # bytes of the files for each pixel of all levels
    lock: threading.Lock = field(default_factory=threading.Lock)  # handles are for one thread


def size_of(dataset: Dataset) -> Size:
    """(h, w)."""
    return Size(dataset.height, dataset.width)


class GdalBlocks:
    """One resolution of an image, read in blocks.

    Args:
        source: what it shares with the others.
        dataset: of rasterio.
        index: 0 for the full resolution; that one tells the painter where samples are.
    """

    def __init__(self, source: GdalSource, dataset: Dataset, index: int) -> None:
        self._source = source
        self._dataset = dataset
        self._index = index
        self._size = size_of(dataset)
        self._bands = [band + 1 for band in source.painter.samples.indices]
        self._masked = has_mask_band(dataset)
        self._block = Size(*map(_side, dataset.block_shapes[0]))

    def level(self, cache: BlockCache) -> BlockLevel:
        """As a level."""
        painter = self._source.painter
        self._level = BlockLevel(
            self._size,
            painter.channels,
            block=self._block,
            fetch=self._painted,
            cache=cache,
            index=self._index,
            weigh=lambda row, col: self._weight(self._level.part(row, col)),
        )
        if self._index == 0:
            painter.source(self._size, self._samples)
        return self._level

    def _weight(self, window: Window) -> int:
        return round(window.size.area * self._source.share)

    def _samples(self, window: Window) -> tuple[Values, Mask | None] | None:
        try:
            return self._read(window)
        except RasterError as error:
            if not self._source.bad.may_forgive(error):
                raise
            return None

    def _painted(self, row: int, col: int) -> NDArray[np.uint8]:
        source, window = self._source, self._level.part(row, col)
        try:
            return source.painter.paint(*self._read(window))
        except RasterError as error:
            if not source.bad.forgives(error, self._index, row, col):
                raise
            return source.painter.blank(window.size)

    def _read(self, window: Window) -> tuple[Values, Mask | None]:
        """The samples of a window `[h, w, S]`, and where they are image.

        Raises:
            RasterError: they cannot be decoded.
        """
        source, (h, w) = self._source, window.size
        place = source.rasterio.windows.Window(window.x0, window.y0, w, h)
        where = (
            f"level {self._index}, rows {window.y0}-{window.y1}, columns {window.x0}-{window.x1}"
        )
        dtype = source.painter.samples.dtype
        with (
            source.lock,
            guarded(f"{source.path}: {where}: cannot be decoded"),
            gdal_env(source.rasterio),
        ):
            bands = self._dataset.read(self._bands, window=place, out_dtype=dtype.name)
            valid = self._dataset.read_masks(1, window=place) > 0 if self._masked else None
        source.meter.add(self._weight(window))
        return np.ascontiguousarray(np.moveaxis(bands, 0, 2)), valid


def _side(stored: int) -> int:
    """Of the blocks that are read, for those that GDAL has: whole ones, or parts of wide ones."""
    return READ_SIDE if stored > LARGEST_SIDE else stored * max(1, READ_SIDE // stored)
