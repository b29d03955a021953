"""One image of a TIFF file as a level: its samples by window, and painted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BlockLevel, StoredLevel, Window, flat
from uhrqa.raster.guard import check_plausible, check_size
from uhrqa.raster.painter import Mask, Painter, Values
from uhrqa.raster.raw_strips import RawStrips, masked
from uhrqa.raster.tiff_tiles import TiffSource, TiffTiles, is_raw

Array = NDArray[np.uint8]
MASKS = 1000  # added to a level's number for its mask


def tiff_level(
    source: TiffSource, page: TiffPage, painter: Painter, index: int, *, masks: BlockLevel | None
) -> StoredLevel:
    """A level over one image of a file.

    Args:
        source: the file.
        page: the image.
        painter: of the raster; the first level tells it where samples are.
        index: 0 for the full resolution.
        masks: of the same size, 0 where there is no image.

    Raises:
        RasterError: what the header promises is not in the file, or cannot be decoded.
    """
    size = Size(page.imagelength, page.imagewidth)
    check_size(source.path, *size, limit=max(size.area, 1))
    tiles = TiffTiles(source, page, painter.samples.indices, index)
    check_plausible(source.path, size.area, source.length)
    raw = not page.is_tiled and is_raw(page)
    level = RawStrips(tiles, painter, masks) if raw else TiffBlocks(tiles, painter, masks)
    if index == 0:
        painter.source(size, level.samples, level.expect)
    return level if isinstance(level, RawStrips) else level.painted()


def mask_level(source: TiffSource, page: TiffPage, index: int) -> BlockLevel:
    """The mask of a level: an image that is 0 where that one has none; errors as `tiff_level`."""
    tiles = TiffTiles(source, page, (0,), MASKS + index)
    return BlockLevel(
        tiles.size,
        1,
        block=tiles.block_size,
        fetch=lambda row, col: (tiles.block(row, col) != 0).astype(np.uint8),
        cache=source.cache,
        index=MASKS + index,
        gather=tiles.expect if source.file.is_remote else None,
    )


class TiffBlocks:
    """An image in tiles or packed strips.

    Args:
        tiles: how they are decoded.
        painter: makes colours of samples.
        masks: 0 where there is no image; None: image everywhere.
    """

    def __init__(self, tiles: TiffTiles, painter: Painter, masks: BlockLevel | None) -> None:
        self._tiles = tiles
        self._painter = painter
        self._masks = masks
        self._raw = BlockLevel(
            tiles.size,
            len(tiles.indices),
            block=tiles.block_size,
            fetch=tiles.block,
            cache=BlockCache(),
            index=tiles.index,
            gather=self._expect_blocks if tiles.source.file.is_remote else None,
            dtype=tiles.dtype,
        )

    def painted(self) -> BlockLevel:
        """As a level."""
        tiles = self._tiles
        return BlockLevel(
            tiles.size,
            self._painter.channels,
            block=tiles.block_size,
            fetch=self._block,
            cache=tiles.source.cache,
            index=tiles.index,
            gather=self._expect_painted if tiles.source.file.is_remote else None,
            weigh=tiles.weigh,
            is_flat=tiles.is_sparse if self._masks is None else None,
        )

    def expect(self, windows: Sequence[Window]) -> None:
        """Say of which windows the samples will be read next."""
        self._raw.expect(windows)

    def _expect_blocks(self, places: Sequence[tuple[int, int]]) -> None:
        self._tiles.expect(places)
        if self._masks is not None:
            self._masks.expect([self._raw.part(*place) for place in places])

    def _expect_painted(self, places: Sequence[tuple[int, int]]) -> None:
        self._expect_blocks(self._raw.lacking(places))

    def samples(self, window: Window) -> tuple[Values, Mask | None] | None:
        """The samples of a window, and where they are image; None where damage is masked."""
        try:
            return self._raw.window(window), masked(self._masks, window)
        except RasterError as error:
            if not self._tiles.source.bad.may_forgive(error):
                raise
            return None

    def _block(self, row: int, col: int) -> Array:
        part, tiles = self._raw.part(row, col), self._tiles
        self._painter.settle()
        try:
            values, valid = self._raw.taken(row, col), masked(self._masks, part)
        except RasterError as error:
            if not tiles.source.bad.forgives(error, tiles.index, row, col):
                raise
            return self._painter.blank(part.size)
        if valid is None and tiles.is_sparse(row, col):
            return flat(self._painter.paint(values[:1, :1])[0, 0], part.size)
        return self._painter.paint(values, valid)
