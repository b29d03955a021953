"""An uncompressed TIFF image in strips as a level: rows are read without what lies beside them.

From a server such a read would take a request for each row. Where they are not too long, whole
rows come instead, in a few requests, and serve all windows side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.raster.blocks import BlockLevel, Window
from uhrqa.raster.files import MAX_REQUEST, Range
from uhrqa.raster.painter import Mask, Painter, Values
from uhrqa.raster.tiff_tiles import TiffTiles

Array = NDArray[np.uint8]
WHOLE_ROWS = 2**24  # bytes of a window's rows; more would take longer than a request for each
SHARED = 3  # such rows that are held: threads that read tiles are in two rows of these, or three


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
        self._row = self.size.w * self._pixel
        self._is_remote = tiles.source.file.is_remote
        self._shared: dict[Window, tuple[Values, Mask | None]] = {}
        self._lock = threading.Lock()

    def window(self, window: Window) -> Array:
        """The pixels of a window."""
        return self._painter.paint(*self.samples(window))

    def samples(self, window: Window) -> tuple[Values, Mask | None]:
        """The samples of a window, and where they are image.

        From a server whole rows may come, once for all windows side by side.
        """
        if not self._takes_rows(window):
            return self._found(window)
        rows = Window(window.y0, window.y1, 0, self.size.w)
        with self._lock:  # others side by side wait for them
            if rows not in self._shared:
                self._shared[rows] = self._found(rows)
                if len(self._shared) > SHARED:
                    del self._shared[next(iter(self._shared))]
            values, valid = self._shared[rows]
        cols = slice(window.x0, window.x1)
        return values[:, cols], None if valid is None else valid[:, cols]

    def _takes_rows(self, window: Window) -> bool:
        """Whether all of the rows of a window come: on a server they would be a request each."""
        h, w = window.size
        return self._is_remote and w < self.size.w and h * self._row <= WHOLE_ROWS

    def expect(self, _: Sequence[Window]) -> None:
        """Nothing to say: each window is asked for with all its rows."""

    def _found(self, window: Window) -> tuple[Values, Mask | None]:
        tiles = self._tiles
        values: Values = np.zeros((*window.size, self._samples), tiles.dtype)
        valid = masked(self._masks, window)
        pieces = list(self._pieces(window))
        if self._is_remote:
            ranges = [self._ranges(piece) for piece in pieces if self._is_stored(piece)]
            tiles.source.file.expect(list(chain.from_iterable(ranges)))
        for piece in pieces:
            place = slice(piece.y0 - window.y0, piece.y1 - window.y0)
            try:
                values[place] = self._piece(piece)
            except RasterError as error:
                if not tiles.source.bad.forgives(error, tiles.index, piece.y0 // self._rows, 0):
                    raise
                valid = np.ones(window.size, bool) if valid is None else valid
                valid[place] = False
        every = tiles.indices == list(range(self._samples))
        return values if every else values[..., tiles.indices], valid

    def _pieces(self, window: Window) -> Iterator[Window]:
        """A window as parts of one strip each."""
        row = window.y0
        while row < window.y1:
            stop = min(window.y1, (row // self._rows + 1) * self._rows)
            yield Window(row, stop, window.x0, window.x1)
            row = stop

    def _piece(self, piece: Window) -> Values:
        """A part of one strip, `[h, w, samples]`."""
        tiles, strip = self._tiles, piece.y0 // self._rows
        h, w = piece.size
        if tiles.counts[strip] == 0:
            return tiles.sparse((h, w, self._samples))
        if not self._is_stored(piece):
            raise RasterError(
                f"{tiles.source.path}: {tiles.label}, strip {strip} has "
                f"{tiles.counts[strip]} bytes, row {piece.y1 - 1} lies beyond; export it again"
            )
        read = tiles.source.file.read
        parts = [read(offset, count) for offset, count in self._ranges(piece)]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if not self._is_wide(piece):
            return self._values(data, h, w)
        return self._values(data, h, self.size.w)[:, piece.x0 : piece.x1]

    def _is_stored(self, piece: Window) -> bool:
        """Whether a strip has as many rows as a part of it needs."""
        strip, first = divmod(piece.y0, self._rows)
        return bool((first + piece.size.h) * self._row <= self._tiles.counts[strip])

    def _ranges(self, piece: Window) -> list[Range]:
        """Where a part of one strip lies in the file; from a server no range is very long."""
        strip, first = divmod(piece.y0, self._rows)
        start = int(self._tiles.offsets[strip]) + first * self._row
        stop = start + piece.size.h * self._row
        if not self._is_wide(piece):
            left, count = piece.x0 * self._pixel, piece.size.w * self._pixel
            return [(row + left, count) for row in range(start, stop, self._row)]
        step = MAX_REQUEST if self._is_remote else stop - start
        return [(at, min(step, stop - at)) for at in range(start, stop, step)]

    def stored_bytes(self, windows: Iterable[Window]) -> int:
        """Bytes that windows take from storage; what two of them share is read twice.

        But for rows that come whole from a server.
        """
        total, whole = 0, set()
        for window in windows:
            if self._takes_rows(window):
                whole.add((window.y0, window.y1))
            elif self._is_wide(window):
                total += window.size.h * self._row
            else:
                total += window.size.area * self._pixel
        return total + sum(stop - start for start, stop in whole) * self._row

    def _is_wide(self, window: Window) -> bool:
        """Nearly all of each row: one read is cheaper than many."""
        return 2 * window.size.w >= self.size.w

    def _values(self, data: bytes, h: int, w: int) -> Values:
        stored: NDArray[Any] = np.frombuffer(data, self._stored)
        return stored.reshape(h, w, self._samples)


def masked(masks: BlockLevel | None, window: Window) -> Mask | None:
    """Where a window is image, by the masks of a level."""
    return None if masks is None else masks.window(window)[..., 0] > 0
