"""Levels that no file holds as they are: an array, and a window of another level."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Size
from uhrqa.raster.blocks import BlockLevel, StoredLevel, Window

Array = NDArray[np.uint8]


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
        if isinstance(self._level, BlockLevel):
            self._level.expect([self._moved(window) for window in windows])

    def stored_bytes(self, windows: Iterable[Window]) -> int | None:
        """See `BlockLevel.stored_bytes`."""
        weigh = getattr(self._level, "stored_bytes", None)
        weight: int | None = None if weigh is None else weigh(map(self._moved, windows))
        return weight

    def _moved(self, window: Window) -> Window:
        y, x = self._window.y0, self._window.x0
        return Window(window.y0 + y, window.y1 + y, window.x0 + x, window.x1 + x)
