"""Levels that no file holds as they are: an array, a window of another level, the half of one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Size
from uhrqa.raster.blocks import BlockLevel, StoredLevel, Window
from uhrqa.raster.reduce import half, halved, source_window

Array = NDArray[np.uint8]
HALVED_PIXELS = 2**22  # of the finer level, read at once


class ArrayLevel:
    """A level in memory, `[h, w, C]` uint8."""

    band = 512

    def __init__(self, array: Array) -> None:
        self._array = array
        self.size = Size(*array.shape[:2])
        self.channels = array.shape[2]

    def window(self, window: Window) -> Array:
        """A view of the window."""
        return self._array[window.y0 : window.y1, window.x0 : window.x1]

    def stored_bytes(self, _windows: Iterable[Window]) -> int:
        """Nothing is read."""
        return 0


class CroppedLevel:
    """A window of another level."""

    def __init__(self, level: StoredLevel, window: Window) -> None:
        self.size = window.size
        self.channels = level.channels
        self.band = level.band
        self.is_far = bool(getattr(level, "is_far", False))
        self.decoded_bytes: int = getattr(level, "decoded_bytes", 0)
        self._level = level
        self._window = window

    def window(self, window: Window) -> Array:
        """The pixels of a window of this one."""
        return self._level.window(self._moved(window))

    def expect(self, windows: Iterable[Window]) -> None:
        """See `BlockLevel.expect`."""
        expect_of(self._level, map(self._moved, windows))

    def stored_bytes(self, windows: Iterable[Window]) -> int | None:
        """See `BlockLevel.stored_bytes`."""
        return stored_bytes_of(self._level, map(self._moved, windows))

    def _moved(self, window: Window) -> Window:
        y, x = self._window.y0, self._window.x0
        return Window(window.y0 + y, window.y1 + y, window.x0 + x, window.x1 + x)


class HalvedLevel:
    """The half of a finer level, made where it is read."""

    def __init__(self, finer: StoredLevel) -> None:
        self.size = half(finer.size)
        self.channels = finer.channels
        self.band = max(1, finer.band // 2)
        self._finer = finer

    def window(self, window: Window) -> Array:
        """The pixels of a window: those that halving all of the finer level would give."""
        (h, w), finer = window.size, self._finer
        step = max(1, HALVED_PIXELS // (4 * w))
        if h <= step:
            return halved(finer.window, finer.size, window)
        parts = [
            window._replace(y0=top, y1=min(window.y1, top + step))
            for top in range(window.y0, window.y1, step)
        ]
        return np.concatenate([halved(finer.window, finer.size, part) for part in parts])

    def expect(self, windows: Iterable[Window]) -> None:
        """See `BlockLevel.expect`."""
        expect_of(self._finer, (source_window(self._finer.size, window) for window in windows))

    def stored_bytes(self, windows: Iterable[Window]) -> int | None:
        """See `BlockLevel.stored_bytes`."""
        sources = (source_window(self._finer.size, window) for window in windows)
        return stored_bytes_of(self._finer, sources)


def expect_of(level: StoredLevel, windows: Iterable[Window]) -> None:
    """Tell a level what will be read next, where it wants to know."""
    if isinstance(level, BlockLevel | CroppedLevel | HalvedLevel):
        level.expect(list(windows))


Touched = tuple[dict[StoredLevel, list[Window]], StoredLevel | None]
"""Windows of levels that reads take, and the level that is gone through to make coarser ones."""


def stored_bytes_of(level: StoredLevel, windows: Iterable[Window]) -> int | None:
    """Bytes in storage that windows of a level touch; None: not known."""
    weigh = getattr(level, "stored_bytes", None)
    weight: int | None = None if weigh is None else weigh(windows)
    return weight
