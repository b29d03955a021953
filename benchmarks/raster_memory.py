"""Memory and bytes for looking at a large TIFF: an overview of 1024 px, then 40 tiles.

    python benchmarks/raster_memory.py [SIDE ...]

Makes square tiled TIFFs with overviews (4096 and 16384 px unless sides are given), reads each in a
process of its own, and prints one row a file. Memory should hardly grow with the image.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from uhrqa.geometry import Box, Size
from uhrqa.machine import peak_memory
from uhrqa.raster import open_raster

TILE, OVERVIEW, TILES_READ, VIEW = 512, 1024, 40, 336


def tiles(side: int) -> Iterator[NDArray[np.uint8]]:
    """Noise over a slope: compresses about as badly as an aerial image."""
    rng = np.random.default_rng(side)
    slope = np.add.outer(np.arange(TILE), np.arange(TILE))[:, :, None] // 8
    for index in range((side // TILE) ** 2):
        noise = rng.integers(0, 16, (TILE, TILE, 3))
        yield ((slope + noise + 7 * index) % 256).astype(np.uint8)


def write(path: Path, side: int) -> None:
    """A tiled TIFF with overviews down to one tile."""
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for level in range((side // TILE).bit_length()):
            size = side >> level
            tif.write(
                tiles(size),
                shape=(size, size, 3),
                dtype="uint8",
                photometric="rgb",
                tile=(TILE, TILE),
                compression="zlib",
                compressionargs={"level": 1},
                subfiletype=int(level > 0),
                metadata=None,
            )


def read(path: Path) -> None:
    """Look at one file and print a row about it."""
    start, before = time.process_time(), peak_memory()
    rng = np.random.default_rng(0)
    with open_raster(path) as raster:
        raster.read(Box.whole(raster.size), Size(OVERVIEW, OVERVIEW))
        overview = raster.bytes_read
        for _ in range(TILES_READ):
            x, y = rng.integers(0, raster.size.w - VIEW, 2)
            raster.read(Box(x, y, x + VIEW, y + VIEW), Size(VIEW, VIEW))
        length, total = path.stat().st_size, raster.bytes_read
    peak = peak_memory()
    print(
        f"{raster.size!s:>18} {length / 1e6:9.1f} MB file  overview {overview / length:7.2%}  "
        f"with tiles {total / length:7.2%}  peak {peak / 2**20:5.0f} MB "
        f"({before / 2**20:.0f} before)  {time.process_time() - start:.2f} CPU s"
    )


def main() -> None:
    """Write, then read in child processes."""
    if sys.argv[1:2] == ["--read"]:
        read(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        for side in [int(side) for side in sys.argv[1:]] or [4096, 16384]:
            path = Path(folder, f"{side}.tif")
            write(path, side)
            subprocess.run([sys.executable, __file__, "--read", str(path)], check=True)
            path.unlink()


if __name__ == "__main__":
    main()
