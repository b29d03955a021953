"""Pixels of tiles: those of a step read together, by several threads, each block decoded once."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event

from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Tile
from uhrqa.raster import Pixels, Raster, expect

HELD_BYTES = 2**27  # of tiles that were looked at for their masks and are encoded next
MAX_THREADS = 8


class TilePixels:
    """Reads tiles of one image.

    Args:
        raster: the image.
    """

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self._held: dict[Hashable, Pixels] = {}

    def read(
        self,
        tiles: Sequence[tuple[Hashable, Box]],
        out: Size,
        *,
        hold: bool = False,
        stopped: Event | None = None,
    ) -> list[Pixels]:
        """What the boxes of tiles show.

        Args:
            tiles: their keys and boxes.
            out: size of each.
            hold: keep them until they are read again, within `HELD_BYTES`.
            stopped: once it is set, no further tile is begun.

        Raises:
            CancelledError: it was stopped.
        """
        found = [self._held.pop(key, None) for key, _ in tiles]
        boxes = [box for (_, box), held in zip(tiles, found, strict=True) if held is None]
        expect(self._raster, [(box, out) for box in boxes])
        rest = self._read(boxes, out, stopped or Event())
        pixels = [next(rest) if held is None else held for held in found]
        if hold:
            for (key, _), one in zip(tiles, pixels, strict=True):
                size = one.array.nbytes + one.mask.nbytes
                if size * (1 + len(self._held)) <= HELD_BYTES:
                    self._held[key] = one
        return pixels

    def _read(self, boxes: Sequence[Box], out: Size, stopped: Event) -> Iterator[Pixels]:
        """The first in this thread: it may go through all of the image, and Ctrl-C ends that."""

        def one(box: Box) -> Pixels:
            if stopped.is_set():
                raise CancelledError
            return self._raster.read(box, out)

        yield from map(one, boxes[:1])
        threads = min(MAX_THREADS, os.cpu_count() or 1, len(boxes) - 1)
        if threads > 0:
            with ThreadPoolExecutor(threads, "uhrqa-tiles") as pool:
                yield from pool.map(one, boxes[1:])


def z_order(tile: Tile) -> int:
    """Place along a Z-order curve: tiles that share blocks of the file are read soon after."""
    return sum(
        (tile.row >> bit & 1) << 2 * bit + 1 | (tile.col >> bit & 1) << 2 * bit
        for bit in range(max(tile.row, tile.col).bit_length())
    )
