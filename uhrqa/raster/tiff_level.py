"""One image of a TIFF file as a level: its samples by window, and painted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BlockLevel, StoredLevel, Window, flat
from uhrqa.raster.files import MAX_REQUEST
from uhrqa.raster.guard import check_plausible, check_size
from uhrqa.raster.painter import Mask, Painter, Values
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
            return self._raw.window(window), _masked(self._masks, window)
        except RasterError as error:
            if not self._tiles.source.bad.may_forgive(error):
                raise
            return None

    def _block(self, row: int, col: int) -> Array:
        part, tiles = self._raw.part(row, col), self._tiles
        self._painter.settle()
        try:
            values, valid = self._raw.taken(row, col), _masked(self._masks, part)
        except RasterError as error:
            if not tiles.source.bad.forgives(error, tiles.index, row, col):
                raise
            return self._painter.blank(part.size)
        if valid is None and tiles.is_sparse(row, col):
            return flat(self._painter.paint(values[:1, :1])[0, 0], part.size)
        return self._painter.paint(values, valid)


class RawStrips:
    """An uncompressed image in strips: only the rows and columns asked for are read."""

    band = 256

    def __init__(self, tiles: TiffTiles, painter: Painter, masks: BlockLevel | None) -> None:
        self.size = tiles.size
        self.channels = painter.channels
        self._tiles = tiles
        self._painter = painter
        self._masks = masks
        self._rows = tiles.block_size.h
        self._samples = tiles.page.samplesperpixel
        self._stored = tiles.dtype.newbyteorder(tiles.page.parent.byteorder)
        self._pixel = self._samples * tiles.dtype.itemsize
        self._sampled: tuple[Window, tuple[Values, Mask | None]] | None = None

    def window(self, window: Window) -> Array:
        """The pixels of a window."""
        found = self._found(window)
        return self._painter.paint(*found)

    def samples(self, window: Window) -> tuple[Values, Mask | None] | None:
        """The samples of a window, and where they are image; for one thread.

        From a server whole rows come where that is one request, for all windows side by side: each
        of them alone would ask for every row apart, or for whole rows anyway.
        """
        rows = Window(window.y0, window.y1, 0, self.size.w)
        is_remote = self._tiles.source.file.is_remote
        if not is_remote or rows.size.area * self._pixel > MAX_REQUEST:
            return self._found(window)
        if self._sampled is None or self._sampled[0] != rows:
            self._sampled = rows, self._found(rows)
        values, valid = self._sampled[1]
        cols = slice(window.x0, window.x1)
        return values[:, cols], None if valid is None else valid[:, cols]

    def expect(self, _: Sequence[Window]) -> None:
        """Nothing to say: each window is asked for with all its rows."""

    def _found(self, window: Window) -> tuple[Values, Mask | None]:
        tiles = self._tiles
        values: Values = np.zeros((*window.size, self._samples), tiles.dtype)
        valid = _masked(self._masks, window)
        row = window.y0
        while row < window.y1:
            stop = min(window.y1, (row // self._rows + 1) * self._rows)
            place = slice(row - window.y0, stop - window.y0)
            try:
                values[place] = self._piece(Window(row, stop, window.x0, window.x1))
            except RasterError as error:
                if not tiles.source.bad.forgives(error, tiles.index, row // self._rows, 0):
                    raise
                valid = np.ones(window.size, bool) if valid is None else valid
                valid[place] = False
            row = stop
        every = tiles.indices == list(range(self._samples))
        return values if every else values[..., tiles.indices], valid

    def _piece(self, piece: Window) -> Values:
        """A part of one strip, `[h, w, samples]`."""
        tiles, pixel, width = self._tiles, self._pixel, self.size.w
        strip, first = divmod(piece.y0, self._rows)
        h, w = piece.size
        if tiles.counts[strip] == 0:
            return tiles.sparse((h, w, self._samples))
        start = int(tiles.offsets[strip]) + first * width * pixel
        if (first + h) * width * pixel > tiles.counts[strip]:
            raise RasterError(
                f"{tiles.source.path}: {tiles.label}, strip {strip} has "
                f"{tiles.counts[strip]} bytes, row {piece.y1 - 1} lies beyond; export it again"
            )
        read = tiles.source.file.read
        if self._is_wide(piece):
            rows = self._values(read(start, h * width * pixel), h, width)
            return rows[:, piece.x0 : piece.x1]
        starts = range(start + piece.x0 * pixel, start + h * width * pixel, width * pixel)
        tiles.source.file.expect([(offset, w * pixel) for offset in starts])
        return self._values(b"".join(read(offset, w * pixel) for offset in starts), h, w)

    def stored_bytes(self, windows: Iterable[Window]) -> int:
        """Bytes that windows take from storage; what two of them share is read twice."""
        return sum(
            window.size.h * self._pixel * (self.size.w if self._is_wide(window) else window.size.w)
            for window in windows
        )

    def _is_wide(self, window: Window) -> bool:
        """Nearly all of each row: one read is cheaper than many."""
        return 2 * window.size.w >= self.size.w

    def _values(self, data: bytes, h: int, w: int) -> Values:
        stored: NDArray[Any] = np.frombuffer(data, self._stored)
        return stored.reshape(h, w, self._samples)


def _masked(masks: BlockLevel | None, window: Window) -> Mask | None:
    return None if masks is None else masks.window(window)[..., 0] > 0
