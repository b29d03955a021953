"""Storage units (tiles, strips, chunks), decoded once and kept within a bound of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import NDArray

CACHE_BYTES = 96 * 2**20  # fresh memory for more costs what it saves, where little is read twice


class BlockCache:
    """Least recently used blocks, bounded by their bytes.

    The newest block is kept whatever its size: an image in one huge strip must not be decoded
    again for each window.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._blocks: OrderedDict[tuple[int, int, int], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[tuple[int, int, int], threading.Lock] = {}

    def get(
        self, key: tuple[int, int, int], make: Callable[[], NDArray[Any]], *, keep: bool = True
    ) -> NDArray[Any]:
        """The block of `key`, made if it is not at hand, by one thread while others wait for it.

        Where it is not kept, nobody waits, and whoever needs it makes it.
        """
        if (block := self._found(key)) is not None:
            return block
        if not keep:
            return make()
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            if (block := self._found(key)) is not None:
                return block
            try:
                block = make()
                self._keep(key, block)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return block

    def take(self, key: tuple[int, int, int], make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The block of `key`, which is kept no longer; made if it is not at hand."""
        with self._lock:
            if (block := self._blocks.pop(key, None)) is not None:
                self._bytes -= block.nbytes
        return make() if block is None else block

    def _found(self, key: tuple[int, int, int]) -> NDArray[Any] | None:
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
            return self._blocks.get(key)

    def _keep(self, key: tuple[int, int, int], block: NDArray[Any]) -> None:
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = block
                self._bytes += block.nbytes
            while self._bytes > self._limit and len(self._blocks) > 1:
                self._bytes -= self._blocks.popitem(last=False)[1].nbytes

    def room(self, size: int) -> int:
        """How many blocks of `size` bytes are kept."""
        return max(1, self._limit // size)

    def lacks(self, keys: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Those of some keys whose blocks are not at hand."""
        with self._lock:
            return [key for key in keys if key not in self._blocks]

    def clear(self) -> None:
        """Forget all blocks."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0
