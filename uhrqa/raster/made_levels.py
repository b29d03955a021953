"""The levels below the coarsest stored one, where that is large.

From a quarter of its side on there are all halvings, each exactly 2:1 of the one before. Those that
fit are made in memory by one pass, at the first read that needs one; a larger one is made where it
is read. Kept on disk, all of them come from there: the same pixels, whichever way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from uhrqa.geometry import Size
from uhrqa.raster.blocks import StoredLevel
from uhrqa.raster.derived_levels import Array, ArrayLevel, HalvedLevel
from uhrqa.raster.kept_levels import KeptLevels
from uhrqa.raster.reduce import bands, half, halvings

LEAST_SIDE = 256  # levels are not reduced below this
FIRST = 2  # halvings: one alone is half as far from the stored pixels, and 4 times as large


class MadeLevels:
    """See the module.

    Args:
        level: the coarsest stored one.
        limit: pixels of a level that is held in memory.
        part: which part of the image it shows, where levels of several are kept.

    Attributes:
        factors: of each, source pixels along a side for one of its own.
        sizes: theirs, finest first; none where the stored one is not larger than `limit`.
        kept: where they outlive the process; None: nowhere.
    """

    def __init__(self, level: StoredLevel, limit: int, part: str = "") -> None:
        self._level = level
        self._limit = limit
        self._part = part
        self._every = [level.size, *_halvings(level.size, limit)]
        fitting = [number for number, size in enumerate(self._every) if size.area <= limit]
        self._first = min([FIRST, *fitting]) if fitting[0] else 1  # where none is made, none left
        self.sizes = self._every[self._first :]
        self.factors = [2.0**number for number in range(self._first, len(self._every))]
        self.kept: KeptLevels | None = None
        self._found: dict[int, StoredLevel] = {}
        self._where_read: dict[int, HalvedLevel] = {}
        self._kept_level: Callable[[int], Array | None] | None = None
        self._asked = False
        self._making = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Of those that are made in memory."""
        return sum(size.area for size in self.sizes if size.area <= self._limit) * (
            self._level.channels
        )

    def get(self, index: int, warn: Callable[[], None] = lambda: None) -> StoredLevel:
        """A level.

        Args:
            index: 0 is the finest of `sizes`.
            warn: called before all of the stored level is read.
        """
        with self._making:
            if (found := self._at_hand(index)) is None:
                warn()
                self._make()
                found = self._found[index]
            return found

    def needs_pass(self, index: int) -> bool:
        """Whether a read from a level reads all of the stored one first."""
        with self._making:
            return self._at_hand(index) is None

    def _at_hand(self, index: int) -> StoredLevel | None:
        """A level that was made or kept, or that is made where it is read."""
        if not self._asked:
            self._look()
        if index not in self._found and self._kept_level is not None:
            array = self._kept_level(index)
            if array is None:  # all are made anew
                self._kept_level = None
            else:
                self._found[index] = ArrayLevel(array)
        if index not in self._found and self.sizes[index].area > self._limit:
            return self._halved(index)
        return self._found.get(index)

    def _look(self) -> None:
        """Take the levels that are kept."""
        self._asked = True
        if self.kept is not None:
            self._kept_level = self.kept.load(self._part, self.sizes, self._level.channels)

    def _halved(self, index: int) -> HalvedLevel:
        """A level that is made where it is read."""
        if index not in self._where_read:
            finer = self._level
            for _ in range(self._first + index):
                level = finer = HalvedLevel(finer)
            self._where_read[index] = level
        return self._where_read[index]

    def _make(self) -> None:
        """Read the stored level once: what fits goes into memory, all to disk where it is kept."""
        channels = self._level.channels
        arrays = {
            index: np.empty((*size, channels), np.uint8)
            for index, size in enumerate(self.sizes)
            if size.area <= self._limit
        }
        filled = [0] * len(self.sizes)
        with ExitStack() as stack:
            writer = None
            if self.kept is not None:
                writer = stack.enter_context(self.kept.writer(self._part, self.sizes, channels))
            for number, rows in halvings(bands(self._level), self._every):
                if (index := number - self._first) < 0:
                    continue
                if index in arrays:
                    arrays[index][filled[index] : filled[index] + len(rows)] = rows
                    filled[index] += len(rows)
                if writer is not None:
                    writer.write(index, rows)
        self._found.update((index, ArrayLevel(array)) for index, array in arrays.items())
        if len(arrays) < len(self.sizes):
            self._look()


def _halvings(size: Size, limit: int) -> list[Size]:
    """Sizes after 1, 2, ... halvings, for a level of more than `limit` pixels; else none."""
    sizes: list[Size] = []
    if size.area > limit:
        while size.area > limit or max(size) > LEAST_SIDE:
            size = half(size)
            sizes.append(size)
    return sizes
