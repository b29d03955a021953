"""How often blocks of a file are decoded when tiles are read: counted, not timed."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.fixtures_raster import noise_raster
from uhrqa import tile_pixels
from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Tile
from uhrqa.raster import open_raster, tiff, tiff_tiles
from uhrqa.raster.block_cache import BlockCache
from uhrqa.scene import Scene
from uhrqa.tile_pixels import z_order

SIDE = 1100


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each block (level, row, column) was decoded."""
    counts: Counter = Counter()
    block, lock = tiff_tiles.TiffTiles.block, threading.Lock()

    def counted(self: tiff_tiles.TiffTiles, row: int, col: int) -> np.ndarray:
        with lock:
            counts[self.index, row, col] += 1
        return block(self, row, col)

    monkeypatch.setattr(tiff_tiles.TiffTiles, "block", counted)
    return counts


def write(path: Path, *, alpha: bool = False, tile: int = 128) -> Path:
    picture = noise_raster(SIDE, SIDE)
    if alpha:
        picture = np.dstack([picture, np.full((SIDE, SIDE), 255, np.uint8)])
        picture[:300, :300, 3] = 0
    options: dict[str, Any] = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite(
        path, picture, photometric="rgb", tile=(tile, tile), compression="zlib", metadata=None,
        **options,
    )  # fmt: skip
    return path


def test_each_block_is_decoded_once_for_a_step(tmp_path: Path, vlm, decoded: Counter):
    with open_raster(write(tmp_path / "a.tif")) as raster:
        scene = Scene(raster, vlm, "how many?")
        scene.tokens(scene.pyramid[-1])
    assert set(decoded.values()) == {1}
    assert len(decoded) == (-(-SIDE // 128)) ** 2


def test_threads_that_want_the_same_block_wait_for_one_of_them():
    cache, made, start = BlockCache(), [], threading.Barrier(4)
    gate = threading.Event()

    def make() -> np.ndarray:
        made.append(1)
        gate.wait(1)
        return np.zeros((4, 4, 1), np.uint8)

    def get() -> None:
        start.wait()
        cache.get((0, 0, 0), make)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_a_block_that_could_not_be_made_is_tried_again():
    cache = BlockCache()
    with pytest.raises(ValueError, match="damaged"):
        cache.get((0, 0, 0), lambda: (_ for _ in ()).throw(ValueError("damaged")))
    assert cache.get((0, 0, 0), lambda: np.ones((1, 1, 1), np.uint8)).all()


def test_z_order_decodes_less_than_rows_where_little_is_kept(
    tmp_path: Path, decoded: Counter, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "a.tif")
    monkeypatch.setattr(tiff, "BlockCache", lambda: BlockCache(limit=6 * 128 * 128 * 3))
    tiles = [Tile(row, col) for row in range(16) for col in range(16)]
    found = []
    for order in (tiles, sorted(tiles, key=z_order)):
        decoded.clear()
        with open_raster(path) as raster:
            for tile in order:
                box = Box(tile.col * 64, tile.row * 64, tile.col * 64 + 64, tile.row * 64 + 64)
                raster.read(box, Size(64, 64))
        found.append(sum(decoded.values()))
    rows, z = found
    assert z == 64
    assert rows == 128


def test_z_order_walks_squares():
    walk = sorted((Tile(row, col) for row in range(4) for col in range(4)), key=z_order)
    assert walk[:4] == [Tile(0, 0), Tile(0, 1), Tile(1, 0), Tile(1, 1)]
    assert walk[4:6] == [Tile(0, 2), Tile(0, 3)]
    assert len({z_order(tile) for tile in walk}) == 16


def test_tiles_looked_at_for_their_masks_are_not_read_again(
    tmp_path: Path, vlm, decoded: Counter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tiff, "BlockCache", lambda: BlockCache(limit=1))
    with open_raster(write(tmp_path / "a.tif", alpha=True)) as raster:
        scene = Scene(raster, vlm, "how many?")
        level = scene.pyramid[-1]
        shown = scene.shown_cells(level)
        assert not shown.all()
        once, read = decoded.total(), raster.bytes_read
        tokens = scene.tokens(level)
        assert decoded.total() == once
        assert raster.bytes_read == read
    assert len(tokens) == int(shown.sum())


def test_tiles_held_for_later_stay_within_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:

    out, calls = Size(10, 10), Counter[str]()
    raster = open_raster(np.zeros((100, 100, 3), np.uint8))
    read = raster.read
    monkeypatch.setattr(raster, "read", lambda *args: (calls.update(["read"]), read(*args))[1])
    monkeypatch.setattr(tile_pixels, "HELD_BYTES", 3 * 10 * 10 * 4)
    pixels = tile_pixels.TilePixels(raster)
    boxes = [(row, Box(0, 10 * row, 10, 10 * row + 10)) for row in range(8)]
    pixels.read(boxes, out, hold=True)
    pixels.read(boxes, out)
    assert calls["read"] == 8 + 5  # three were held


def test_the_first_read_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    raster = open_raster(np.zeros((100, 100, 3), np.uint8))
    read, threads = raster.read, list[threading.Thread]()

    def noted(box: Box, out: Size) -> Any:
        threads.append(threading.current_thread())
        return read(box, out)

    monkeypatch.setattr(raster, "read", noted)
    boxes = [(row, Box(0, 10 * row, 10, 10 * row + 10)) for row in range(4)]
    tile_pixels.TilePixels(raster).read(boxes, Size(10, 10))
    assert threads[0] is threading.main_thread()
    assert len(threads) == 4
