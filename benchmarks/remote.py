"""How fast windows of a COG come from a server that takes its time, and how many bytes that takes.

    python -m benchmarks.remote [--side 8192] [--latency 0.02] [--repeats 7]

Writes a TIFF of noise-like ground in JPEG and in deflate tiles, serves it on loopback with a delay
before each answer, and reads 16 windows of 336 px at full resolution that were told beforehand, as
a zoom step does. On a busy machine the least of many repeats is the figure to look at.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.servers import serving
from uhrqa.geometry import Box, Size
from uhrqa.raster import expect, open_raster, requests_made

WINDOW, WINDOWS, TILE = 336, 16, 512


def write(path: Path, side: int, compression: str) -> None:
    """A tiled image with the texture of an aerial photograph."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), np.uint8))
    ground = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
    ground += rng.integers(-6, 7, ground.shape, np.int8)
    pixels = ground.clip(0, 255).astype(np.uint8)
    options: Any = {"tile": (TILE, TILE), "photometric": "rgb", "metadata": None}
    if compression == "jpeg":
        options |= {"compressionargs": {"level": 90}}
    else:
        options |= {"predictor": 2}
    tifffile.imwrite(path, pixels, compression=compression, **options)


def tile_bytes(path: Path, corners: NDArray[np.int64]) -> int:
    """Bytes of the tiles that windows touch, each once."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        cols = -(-page.imagewidth // TILE)
        touched = {
            row * cols + col
            for x, y in corners
            for row in range(y // TILE, (y + WINDOW - 1) // TILE + 1)
            for col in range(x // TILE, (x + WINDOW - 1) // TILE + 1)
        }
        return sum(page.databytecounts[number] for number in touched)


def serve(root: Path, latency: float, pipe: Connection) -> None:
    """Serve a directory until told to stop."""
    with serving(root, latency=latency) as server:
        pipe.send(server.url)
        pipe.recv()


@contextmanager
def serving_apart(root: Path, latency: float) -> Iterator[str]:
    """A server in a process of its own: it must not share our interpreter's lock."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(root, latency, theirs)
    )
    process.start()
    yield ours.recv()
    ours.send("stop")
    process.join()


def main() -> None:
    """Print a row for each compression."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    head = ("tiles", "open ms", "read ms", "least ms", "requests", "MB", "of tiles")
    print(" ".join(f"{title:>9}" for title in head))
    rng = np.random.default_rng(1)
    corners = rng.integers(0, options.side - WINDOW, (WINDOWS, 2))
    reads = [(Box(x, y, x + WINDOW, y + WINDOW), Size(WINDOW, WINDOW)) for x, y in corners.tolist()]
    with tempfile.TemporaryDirectory() as directory:
        for compression in ("jpeg", "deflate"):
            path = Path(directory) / f"{compression}.tif"
            write(path, options.side, compression)
            opening, reading = [], []
            with serving_apart(path.parent, options.latency) as url:
                for _ in range(options.repeats):
                    begin = time.perf_counter()
                    with open_raster(f"{url}/{path.name}") as raster:
                        opened = time.perf_counter()
                        expect(raster, reads)
                        for box, out in reads:
                            raster.read(box, out)
                        opening.append(opened - begin)
                        reading.append(time.perf_counter() - opened)
                        asked, sent = requests_made(raster), raster.bytes_read
            times = [statistics.median(opening), statistics.median(reading), min(reading)]
            share = sent / tile_bytes(path, corners)
            print(
                f"{compression:>9} {' '.join(f'{1e3 * took:9.1f}' for took in times)} "
                f"{asked:9d} {sent / 1e6:9.2f} {share:9.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
