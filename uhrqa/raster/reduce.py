"""Halving an image, exactly 2:1, in one pass from top to bottom or window by window.

Both give the pixels of halving all of it at once: whatever is halved is read with a margin as wide
as the filter reaches. An odd last row or column is repeated. A pass holds only rows that the filter
still needs, so memory follows the width of the image, not its area.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Size
from uhrqa.raster.blocks import StoredLevel, Window, flat, read_once

Array = NDArray[np.uint8]
Values = NDArray[Any]
Shrink = Callable[[Values], Values]
MARGIN = 4  # bicubic at 2:1 takes row r of the result from rows 2r - 3 ... 2r + 4; even
BAND_PIXELS = 2**22
PIECE_PIXELS = 2**22  # halved at once, so that what lies between stays small


def half(size: Size) -> Size:
    """The size after one halving, rounded up."""
    return Size((size.h + 1) // 2, (size.w + 1) // 2)


def shrink(values: Array) -> Array:
    """`[2h, 2w, C]` uint8 as `[h, w, C]`: bicubic, antialiased, rounded.

    By torch, five times as fast as Pillow on one core; the two differ by 1 in few pixels.
    """
    import torch
    from torch.nn.functional import interpolate

    h, w = values.shape[:2]
    if not values.flags.writeable or not values.flags.c_contiguous:
        values = values.copy(order="C")
    # In this order torch sees samples of a pixel side by side, and gives them so.
    planes = torch.from_numpy(values)[None].permute(0, 3, 1, 2)
    made = interpolate(planes, size=(h // 2, w // 2), mode="bicubic", antialias=True)
    array: Array = made[0].permute(1, 2, 0).numpy()
    return array


class Halving:
    """Halves an image that arrives in bands.

    Args:
        size: (h, w) of what will arrive.
        shrink: what halves `[2h, 2w, C]`.
    """

    def __init__(self, size: Size, shrink: Shrink = shrink) -> None:
        self._size = size
        self._shrink = shrink
        self._held: Values | None = None  # rows that may still be needed
        self._top = 0  # row number of the first of them
        self._done = 0  # rows given so far

    def push(self, rows: Values) -> Values:
        """Take the next rows `[n, w, C]`; give the rows of the result that are now complete."""
        if not len(rows):
            return rows[:, : half(self._size).w]
        held = rows[:0] if self._held is None else self._held
        new = self._top + len(held)  # row number of the first new one
        end = new + len(rows)
        ready = half(self._size).h if end == self._size.h else (end - MARGIN) // 2
        ready = max(self._done, ready)
        if _is_flat(rows) and (not len(held) or (_is_flat(held) and (held[0] == rows[0, 0]).all())):
            return self._flat(rows[0, 0], ready, end)
        # What rests on new rows alone is made of them where they are: joining all would copy all.
        alone = self._done if not len(held) else min(ready, max(self._done, new // 2 + MARGIN))
        out = np.empty((ready - self._done, half(self._size).w, rows.shape[2]), rows.dtype)
        if alone > self._done:
            seam = np.concatenate([held, rows[: max(0, 2 * alone + MARGIN - new)]])
            out[: alone - self._done] = self._made(seam, self._top, self._done, alone)
        if ready > alone:
            out[alone - self._done :] = self._made(rows, new, alone, ready)
        self._done = ready
        keep_from = max(0, 2 * ready - MARGIN)
        kept = rows if keep_from >= new else np.concatenate([held, rows])
        kept = kept[keep_from - (end - len(kept)) :]
        self._held = kept if _is_flat(kept) else kept.copy()
        self._top = keep_from
        return out

    def _flat(self, pixel: Values, ready: int, end: int) -> Values:
        """The same where all rows that matter are one colour, whose half is one colour."""
        few = self._shrink(np.tile(pixel, (4 * MARGIN, 4 * MARGIN, 1)))[0, 0]
        out = flat(few, Size(ready - self._done, half(self._size).w))
        self._done, self._top = ready, max(0, 2 * ready - MARGIN)
        self._held = flat(pixel, Size(end - self._top, self._size.w))
        return out

    def _made(self, rows: Values, top: int, first: int, last: int) -> Values:
        """Rows `[first, last)` of the result, of rows from number `top` on."""
        start = max(0, 2 * first - MARGIN)
        made = self._shrink(_even(rows[start - top : 2 * last + MARGIN - top]))
        return made[first - start // 2 : last - start // 2]


def halved(read: Callable[[Window], Array], size: Size, window: Window) -> Array:
    """A window of the half of an image.

    Args:
        read: gives the pixels of a window of the image.
        size: of the image.
        window: of its half.
    """
    wanted = source_window(size, window)
    made = shrink(_even(read(wanted)))
    y, x = window.y0 - wanted.y0 // 2, window.x0 - wanted.x0 // 2
    return made[y : y + window.size.h, x : x + window.size.w]


def source_window(size: Size, window: Window) -> Window:
    """What a window of the half of an image is made from, margin included."""
    return Window(
        max(0, 2 * window.y0 - MARGIN),
        min(size.h, 2 * window.y1 + MARGIN),
        max(0, 2 * window.x0 - MARGIN),
        min(size.w, 2 * window.x1 + MARGIN),
    )


def halvings(
    bands: Iterable[Values], sizes: Sequence[Size], shrink: Shrink = shrink
) -> Iterator[tuple[int, Values]]:
    """Halve an image again and again while it is read once.

    Args:
        bands: all its rows from top to bottom, `[n, w, C]`.
        sizes: of the image, and after 1, 2, ... halvings.
        shrink: what halves `[2h, 2w, C]`.

    Returns:
        Number of halvings, 0 for the image itself, and the next rows of that level.
    """
    levels = [Halving(size, shrink) for size in sizes[:-1]]
    for band in bands:
        step = len(band) if _is_flat(band) else max(1, PIECE_PIXELS // band.shape[1])
        for top in range(0, len(band), step):
            rows = band[top : top + step]
            yield 0, rows
            for number, level in enumerate(levels, 1):
                rows = level.push(rows)
                yield number, rows


def bands(level: StoredLevel) -> Iterator[Array]:
    """All rows of a level, in bands of whole blocks."""
    h, w = level.size
    rows = level.band * max(1, math.floor(BAND_PIXELS / (w * level.band)))
    for top in range(0, h, rows):
        yield read_once(level, Window(top, min(h, top + rows), 0, w))


def _is_flat(values: Values) -> bool:
    """Whether all pixels are the same memory."""
    return values.strides[:2] == (0, 0) and values.size > 0


def _even(values: Values) -> Values:
    """An odd last row or column repeated."""
    h, w = values.shape[:2]
    if h % 2 or w % 2:
        return np.pad(values, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return values
