"""How fast this machine decodes blocks and resamples tiles, measured on files written for it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster

SCENE = 2048  # px, side of the image
BLOCK = 512
TILES = (112, 336)  # px, sides of tiles: what a tile takes besides its pixels is told from both
FINER = 1.4  # source pixels per pixel of a tile, along a side
LEAST = 1e-12  # s: no rate is infinite
RUNS = 5


class ReadingSpeed(NamedTuple):
    """Seconds that reading takes.

    Attributes:
        tile: of each tile, whatever its size.
        pixel: of each pixel of a tile, resampled.
        decoded: of each pixel of a block, decoded.
        stored: of each byte of a block in storage, which tells JPEG from what is lossless.
    """

    tile: float
    pixel: float
    decoded: float
    stored: float


def seconds(run: Callable[[], object], *, elsewhere: bool = False) -> float:
    """The median of a few runs, behind one that warms up.

    A run counts its seconds, or those of the process where these are fewer: others had the CPU in
    between.

    Args:
        run: what is measured.
        elsewhere: it computes on another device than the CPU, whose seconds then say nothing.
    """
    took = []
    for _ in range(1 + RUNS):
        begin, used = time.perf_counter(), time.process_time()
        run()
        took.append(time.perf_counter() - begin)
        if not elsewhere:
            took[-1] = min(took[-1], time.process_time() - used)
    return max(float(np.median(took[1:])), LEAST)


def measure_reading() -> ReadingSpeed:
    """Measure it, on JPEG and Deflate TIFFs of smooth ground with some noise."""
    y, x = np.mgrid[:SCENE, :SCENE]
    noise = np.random.default_rng(0).integers(0, 12, (SCENE, SCENE, 3))
    scene = (noise + (y // 16 + x // 16)[..., None] % 240).astype(np.uint8)
    with tempfile.TemporaryDirectory() as directory:
        lossy, lossless = (
            _decoding(scene, Path(directory, f"{name}.tif"), **how)
            for name, how in (
                ("jpeg", {"compression": "jpeg", "compressionargs": {"level": 90}}),
                ("deflate", {"compression": "zlib", "predictor": 2}),
            )
        )
        small, large = (_resampling(Path(directory, "jpeg.tif"), side) for side in TILES)
    stored = max(LEAST, (lossless[0] - lossy[0]) / (lossless[1] - lossy[1]))
    decoded = max(LEAST, (lossy[0] - lossy[1] * stored) / SCENE**2)
    pixel = max(LEAST, (large - small) / (TILES[1] ** 2 - TILES[0] ** 2))
    return ReadingSpeed(max(LEAST, small - TILES[0] ** 2 * pixel), pixel, decoded, stored)


def _decoding(scene: np.ndarray, path: Path, **how: Any) -> tuple[float, int]:  # noqa: ANN401 - tifffile's own
    """Seconds for decoding all blocks of a file, and their bytes."""
    import tifffile

    tifffile.imwrite(path, scene, tile=(BLOCK, BLOCK), photometric="rgb", **how)
    places = [
        Box(x, y, x + BLOCK, y + BLOCK)
        for y in range(0, SCENE, BLOCK)
        for x in range(0, SCENE, BLOCK)
    ]

    def read() -> None:
        with open_raster(path) as raster:
            for box in places:
                raster.read(box, Size(BLOCK, BLOCK))

    return seconds(read), path.stat().st_size


def _resampling(path: Path, side: int) -> float:
    """Seconds for a tile of this side out of blocks that are decoded already."""
    source, out = side * FINER, Size(side, side)
    starts = [source * step for step in range(int(SCENE // source))]
    with open_raster(path) as raster:

        def read() -> None:
            for top in starts:
                for left in starts:
                    raster.read(Box(left, top, left + source, top + source), out)

        return seconds(read) / len(starts) ** 2
