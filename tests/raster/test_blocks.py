"""The cache of decoded blocks."""

from __future__ import annotations

import numpy as np

from uhrqa.raster.block_cache import BlockCache


def block(size: int) -> np.ndarray:
    return np.zeros((size, 1, 1), np.uint8)


class Source:
    """Makes blocks of 10 bytes and remembers which."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def get(self, cache: BlockCache, col: int, size: int = 10) -> None:
        def make() -> np.ndarray:
            self.made.append(col)
            return block(size)

        cache.get((0, 0, col), make)


def test_the_least_recently_used_block_leaves_first():
    source, cache = Source(), BlockCache(limit=30)
    for col in (1, 2, 3, 1, 4):  # 4 does not fit: 2 leaves, 1 was used since
        source.get(cache, col)
    for col in (1, 3, 4, 2):
        source.get(cache, col)
    assert source.made == [1, 2, 3, 4, 2]


def test_a_block_above_the_limit_is_kept_until_the_next():
    source, cache = Source(), BlockCache(limit=30)
    for col in (1, 9, 9, 1):
        source.get(cache, col, size=100 if col == 9 else 10)
    assert source.made == [1, 9, 1]


def test_a_closed_cache_holds_nothing():
    source, cache = Source(), BlockCache(limit=30)
    source.get(cache, 1)
    cache.clear()
    source.get(cache, 1)
    assert source.made == [1, 1]
