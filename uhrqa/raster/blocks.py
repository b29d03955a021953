"""Storage units (tiles, strips, chunks) as levels that are read by window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from uhrqa.errors import RasterError, StorageError
from uhrqa.geometry import Size
from uhrqa.raster.block_cache import BlockCache

Array = NDArray[np.uint8]
LONE_BAND = 512


class Window(NamedTuple):
    """Whole pixels `[y0, y1) x [x0, x1)` of one level, inside it."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def size(self) -> Size:
        """(h, w) of the window."""
        return Size(self.y1 - self.y0, self.x1 - self.x0)


class StoredLevel(Protocol):
    """One resolution of an image, read by window."""

    @property
    def size(self) -> Size:
        """(h, w) in pixels."""
        ...

    @property
    def channels(self) -> int:
        """1 grey, 3 RGB, 4 RGB and a plane that is 0 where there is no image, else 255."""
        ...

    @property
    def band(self) -> int:
        """Rows that are cheap to read together, from a multiple of this number on."""
        ...

    def window(self, window: Window) -> Array:
        """The pixels `[h, w, channels]` of a window that lies inside the level."""
        ...


class Meter:
    """Counts encoded bytes taken from storage, and requests to servers; for several threads."""

    def __init__(self) -> None:
        self.total = 0
        self.requests = 0
        self._lock = threading.Lock()

    def add(self, count: int, requests: int = 0) -> None:
        """Count some more bytes, and the requests that brought them."""
        with self._lock:
            self.total += count
            self.requests += requests


class BadTiles:
    """Counts tiles that could not be decoded and are masked instead, where that was asked for."""

    def __init__(self, *, masked: bool) -> None:
        self.masked = masked
        self._seen: set[tuple[int, int, int]] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Different tiles so far."""
        return len(self._seen)

    def may_forgive(self, error: RasterError) -> bool:
        """Whether damage may become a hole; a disk or a server that fails may not."""
        return self.masked and not isinstance(error, StorageError)

    def forgives(self, error: RasterError, level: int, row: int, col: int) -> bool:
        """Note a bad tile; False where it must be an error."""
        if forgiven := self.may_forgive(error):
            with self._lock:
                self._seen.add((level, row, col))
        return forgiven


class BlockLevel:
    """A level stored in a grid of blocks.

    Args:
        size: (h, w) of the level.
        channels: 1, 3 or 4; of samples that are not painted yet, any number.
        block: (h, w) of a block; the last row and column of blocks may be smaller.
        fetch: gives block (row, col), at least as large as its part of the level.
        cache: shared by the levels of a raster.
        index: number of this level, part of the key in the cache.
        gather: told which blocks (row, col) will be fetched next, where that is of use: they may
            lie on a server, and come faster together.
        dtype: of a sample.
        weigh: tells how many bytes block (row, col) takes in storage, without reading it; None
            where that is not known.
        is_flat: whether block (row, col) was never stored, so that it is one colour, the same for
            all such blocks; None where that is not known.
    """

    def __init__(  # noqa: PLR0913 - values that describe one grid, all but the first two by name
        self,
        size: Size,
        channels: int,
        *,
        block: Size,
        fetch: Callable[[int, int], NDArray[Any]],
        cache: BlockCache,
        index: int,
        gather: Callable[[Sequence[tuple[int, int]]], None] | None = None,
        dtype: DTypeLike = np.uint8,
        weigh: Callable[[int, int], int] | None = None,
        is_flat: Callable[[int, int], bool] | None = None,
    ) -> None:
        self.size = size
        self.channels = channels
        # Of blocks as wide as the level, the newest is kept, so any few rows are cheap.
        self.band = block.h if block.w < size.w else min(block.h, LONE_BAND)
        self._block = block
        self._fetch = fetch
        self._cache = cache
        self._index = index
        self._gather = gather
        self._dtype = dtype
        self._weigh = weigh
        self._is_flat = is_flat

    @property
    def is_far(self) -> bool:
        """Whether blocks come faster when several are asked for at once."""
        return self._gather is not None

    def expect(self, windows: Iterable[Window]) -> None:
        """Say which windows will be read next, so that they are fetched together where it helps."""
        if self._gather is None:
            return
        places = sorted({place for window in windows for place in self._under(window)})
        if missing := self.lacking(places):
            self._gather(missing)

    def stored_bytes(self, windows: Iterable[Window]) -> int | None:
        """Bytes in storage of the blocks that windows touch, each once; None: not known."""
        if self._weigh is None:
            return None
        places = {place for window in windows for place in self._under(window)}
        return sum(self._weigh(*place) for place in places)

    def _under(self, window: Window) -> Iterator[tuple[int, int]]:
        """Places of the blocks that a window touches, in raster order."""
        bh, bw = self._block
        for row in range(window.y0 // bh, -(-window.y1 // bh)):
            for col in range(window.x0 // bw, -(-window.x1 // bw)):
                yield row, col

    def window(self, window: Window, *, once: bool = False) -> NDArray[Any]:
        """The pixels of a window, put together from its blocks.

        Args:
            window: inside the level.
            once: none of it is read again soon, so blocks that lie wholly in it are not kept, and
                where none is stored, all of it is one pixel's memory.
        """
        if once and self._is_flat and all(self._is_flat(*place) for place in self._under(window)):
            return flat(self._fetch(*next(self._under(window)))[0, 0], window.size)
        self.expect([window])
        out = np.empty((*window.size, self.channels), self._dtype)
        bh, bw = self._block
        for row, col in self._under(window):
            top, left = row * bh, col * bw
            y0, y1 = max(window.y0, top), min(window.y1, top + bh)
            x0, x1 = max(window.x0, left), min(window.x1, left + bw)
            passing = once and Window(y0, y1, x0, x1) == self.part(row, col)
            block = self._get(row, col, keep=not passing)
            out[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0] = block[
                y0 - top : y1 - top, x0 - left : x1 - left
            ]
        return out

    def taken(self, row: int, col: int) -> NDArray[Any]:
        """A block that is not read again soon, so that it is kept no longer."""
        return self._cache.take((self._index, row, col), lambda: self._fetch(row, col))

    def lacking(self, places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of some blocks (row, col) that are not at hand."""
        missing = self._cache.lacks((self._index, *place) for place in places)
        return [(row, col) for _, row, col in missing]

    def parts(self, window: Window) -> Iterator[Window]:
        """A window cut along the edges of blocks."""
        for row, col in self._under(window):
            whole = self.part(row, col)
            yield Window(
                max(window.y0, whole.y0),
                min(window.y1, whole.y1),
                max(window.x0, whole.x0),
                min(window.x1, whole.x1),
            )

    def part(self, row: int, col: int) -> Window:
        """The window that a block shows."""
        top, left = row * self._block.h, col * self._block.w
        return Window(
            top,
            min(self.size.h, top + self._block.h),
            left,
            min(self.size.w, left + self._block.w),
        )

    def _get(self, row: int, col: int, *, keep: bool) -> NDArray[Any]:
        key = self._index, row, col
        return self._cache.get(key, lambda: self._fetch(row, col), keep=keep)


def flat(pixel: NDArray[Any], size: Size) -> NDArray[Any]:
    """One pixel `[C]` as `[h, w, C]`, read-only, in no more memory than that pixel."""
    return np.broadcast_to(pixel, (*size, len(pixel)))


def read_once(level: StoredLevel, window: Window) -> Array:
    """The pixels of a window of which nothing is read again soon."""
    if isinstance(level, BlockLevel):
        return level.window(window, once=True)
    return level.window(window)


def with_alpha(rgb: Array, alpha: NDArray[Any]) -> Array:
    """Colour and transparency as `[h, w, 4]`: black and 0 where fully transparent, else 255.

    Args:
        rgb: `[h, w, 1]` or `[h, w, 3]`.
        alpha: `[h, w]`.
    """
    out = np.empty((*alpha.shape, 4), np.uint8)
    out[..., :3] = rgb
    out[..., 3] = 255
    out.view(np.uint32)[alpha == 0] = 0  # all four at once
    return out
