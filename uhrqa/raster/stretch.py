"""Contrast: sample values to 0...255, one line for each band, fixed once for an image.

The limits come from the same pixels whatever the container: all of a small image, else windows of a
fixed grid that a fixed seed picks. So they depend on the image alone, not on its tiles or on what
was read before.

64 windows of random places find percentiles 2 and 98 to about 1 of 255 grey levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Size
from uhrqa.raster.blocks import Window

Array = NDArray[np.uint8]
Values = NDArray[Any]
SAMPLED_SIDE = 256
ALL_PIXELS = 2**20  # images up to this many are looked at whole
ROUND = 64  # windows that are looked at together
MOST_ROUNDS = 8  # where there is hardly any image in the windows before
ENOUGH = 2**16  # pixels with a value
STEP = 2  # every other row and column of a window


def sample(
    size: Size,
    read: Callable[[Window], tuple[Values, NDArray[np.bool_] | None] | None],
    expect: Callable[[Sequence[Window]], None] | None = None,
) -> Values:
    """Some pixels of an image that have a value, `[n, bands]`.

    Args:
        size: of the image.
        read: the samples `[h, w, bands]` of a window and where they are valid (None: everywhere);
            None where they cannot be read.
        expect: told which windows are read next.
    """
    found: list[Values] = []
    step = 1 if size.area <= ALL_PIXELS else STEP
    for windows in _rounds(size):
        if expect is not None:
            expect(windows)
        reads = map(read, windows)
        found.extend(_valid(*got, step=step) for got in reads if got is not None)
        if sum(map(len, found)) >= ENOUGH:
            break
    return np.concatenate(found) if found else np.empty((0, 1), np.uint8)


def _rounds(size: Size) -> Iterator[list[Window]]:
    """Windows in random order, each round from top to bottom so that strips are decoded once."""
    rows, cols = (-(-side // SAMPLED_SIDE) for side in size)
    if size.area <= ALL_PIXELS:
        yield [_window(size, place, cols) for place in range(rows * cols)]
        return
    rng = np.random.default_rng(0)
    count = min(rows * cols, ROUND * MOST_ROUNDS)
    places = rng.choice(rows * cols, count, replace=False, shuffle=True)
    for first in range(0, count, ROUND):
        yield [_window(size, int(place), cols) for place in np.sort(places[first : first + ROUND])]


def _window(size: Size, place: int, cols: int) -> Window:
    row, col = divmod(place, cols)
    y0, x0 = row * SAMPLED_SIDE, col * SAMPLED_SIDE
    return Window(y0, min(size.h, y0 + SAMPLED_SIDE), x0, min(size.w, x0 + SAMPLED_SIDE))


def _valid(values: Values, valid: NDArray[np.bool_] | None, *, step: int) -> Values:
    values = values[::step, ::step]
    if valid is None:
        return values.reshape(-1, values.shape[2])
    return values[valid[::step, ::step]]


def limits_of(values: Values, percentiles: tuple[float, float]) -> list[tuple[float, float]]:
    """What becomes black and white in each band.

    Args:
        values: `[n, bands]`.
        percentiles: within 0...100.
    """
    if not len(values):
        return [(0.0, 1.0)] * values.shape[1]
    # Between two bytes numpy would interpolate in bytes, and overflow.
    low, high = np.percentile(values.astype(np.float64), percentiles, axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


class Tones:
    """Sample values as grey levels.

    Values of up to 16 bits go through a table, which is cheaper than any decoder; others are
    scaled. A band whose limits are one value is shown as middle grey at that value.

    Args:
        dtype: of the samples.
        limits: what becomes 0 and 255, for each band.
        inverted: whether 0 is white.
    """

    def __init__(
        self, dtype: np.dtype[np.generic], limits: Sequence[tuple[float, float]], *, inverted: bool
    ) -> None:
        self._lines = [_line(low, high) for low, high in limits]
        self._inverted = inverted
        self._unsigned = np.dtype(f"u{dtype.itemsize}")
        self._tables = None
        if dtype.kind in "iu" and dtype.itemsize <= 2:
            every = np.arange(2 ** (8 * dtype.itemsize)).astype(self._unsigned).view(dtype)
            self._tables = [self._scaled(every, line) for line in self._lines]

    def __call__(self, values: Values) -> Array:
        """`[..., bands]` as uint8."""
        out = np.empty(values.shape, np.uint8)
        for band, line in enumerate(self._lines):
            one = values[..., band]
            if self._tables is None:
                out[..., band] = self._scaled(one, line)
            else:
                table = self._tables[band]  # as long as the type: nothing is ever clipped
                table.take(one.view(self._unsigned), out=out[..., band], mode="clip")
        return out

    def _scaled(self, values: Values, line: tuple[float, float]) -> Array:
        low, factor = line
        kind = np.float32 if values.dtype in (np.float16, np.float32) else np.float64
        scaled: NDArray[np.floating] = values.astype(kind)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled -= kind(low)
            scaled *= kind(factor)
            np.fmax(scaled, kind(0), out=scaled)  # what is no number becomes 0
        np.minimum(scaled, kind(255), out=scaled)
        scaled += kind(0.5)
        grey = scaled.astype(np.uint8)
        return 255 - grey if self._inverted else grey


def _line(low: float, high: float) -> tuple[float, float]:
    """Offset and factor."""
    if not high > low:
        low, high = low - 0.5, low + 0.5
    return low, 255.0 / (high - low)
