"""The cache of decoded blocks."""

from __future__ import annotations

import numpy as np

from uhrqa.geometry import Size
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BlockLevel, Window, read_once


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


def test_a_pass_keeps_only_blocks_of_which_more_is_to_come():
    made: list[tuple[int, int]] = []

    def fetch(row: int, col: int) -> np.ndarray:
        made.append((row, col))
        return np.full((4, 4, 1), 3 * row + col, np.uint8)

    level = BlockLevel(Size(10, 10), 1, block=Size(4, 4), fetch=fetch, cache=BlockCache(), index=0)
    first = read_once(level, Window(0, 6, 0, 10))  # the second row of blocks in part
    made.clear()
    assert (read_once(level, Window(0, 6, 0, 10)) == first).all()
    assert made == [(0, 0), (0, 1), (0, 2)]
    assert (first[3::2, ::4, 0] == [[0, 1, 2], [3, 4, 5]]).all()
