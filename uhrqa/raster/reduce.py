"""Reduced levels of an image that stores none, built in one pass from top to bottom.

Each level is half the one before, exactly 2:1; an odd last row or column is repeated. Only the rows
a filter still needs are held, so memory follows the width of the image, not its area.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Size
from uhrqa.raster.blocks import StoredLevel, Window
from uhrqa.raster.resample import to_array, to_image, two_passes, vertical_first

Array = NDArray[np.uint8]
REACH = 3  # bicubic at 2:1 takes row r of the result from rows 2r - 3 ... 2r + 4
BAND_PIXELS = 2**22


def half(size: Size) -> Size:
    """The size after one halving, rounded up."""
    return Size((size.h + 1) // 2, (size.w + 1) // 2)


class Halving:
    """Halves an image that arrives in bands.

    Args:
        size: (h, w) of what will arrive.
    """

    def __init__(self, size: Size) -> None:
        self._size = size
        self._held: Array | None = None  # rows that may still be needed
        self._top = 0  # row number of the first of them
        self._done = 0  # rows given so far

    def push(self, rows: Array) -> Array:
        """Take the next rows `[n, w, C]`; give the rows of the result that are now complete."""
        held = rows if self._held is None else np.concatenate([self._held, rows])
        end = self._top + len(held)
        last = end == self._size.h
        ready = half(self._size).h if last else max(self._done, (end - REACH - 1) // 2)
        out = self._halved(held, ready, pad_bottom=last and end % 2)
        self._done = ready
        keep_from = max(0, 2 * ready - REACH - 1)
        self._held = held[keep_from - self._top :].copy()
        self._top = keep_from
        return out

    def _halved(self, held: Array, ready: int, *, pad_bottom: int) -> Array:
        w, out_w = self._size.w, half(self._size).w
        if ready == self._done:
            return np.empty((0, out_w, held.shape[2]), np.uint8)
        if pad_bottom or w % 2:
            held = np.pad(held, ((0, pad_bottom), (0, w % 2), (0, 0)), mode="edge")
        top, bottom = 2 * self._done - self._top, 2 * ready - self._top
        out, whole = Size(ready - self._done, out_w), half(self._size)
        columns = vertical_first(2 * whole.h, whole.h, 2 * whole.w, whole.w)
        box = (0, top, 2 * out_w, bottom)
        return to_array(two_passes(to_image(held), out, box, vertical=columns))


def reduced_levels(level: StoredLevel, sizes: Sequence[Size], keep: int) -> list[Array]:
    """Halve a level again and again, reading it once.

    Args:
        level: the level to read.
        sizes: the sizes after 1, 2, ... halvings.
        keep: how many of the last ones to give.

    Returns:
        The last `keep` levels, each `[h, w, C]`.
    """
    halvings = [Halving(size) for size in (level.size, *sizes[:-1])]
    kept = [np.empty((*size, level.channels), np.uint8) for size in sizes[-keep:]]
    filled = [0] * keep
    for band in _bands(level):
        rows = band
        for index, halving in enumerate(halvings, start=keep - len(sizes)):
            rows = halving.push(rows)
            if index >= 0:
                kept[index][filled[index] : filled[index] + len(rows)] = rows
                filled[index] += len(rows)
    return kept


def _bands(level: StoredLevel) -> Iterator[Array]:
    """All rows of a level, in bands of whole blocks."""
    h, w = level.size
    rows = level.band * max(1, math.floor(BAND_PIXELS / (w * level.band)))
    for top in range(0, h, rows):
        yield level.window(Window(top, min(h, top + rows), 0, w))
