"""Memory and time for writing a drawn scene: as TIFF, as Zarr, as Zarr with shards.

    python benchmarks/synth_memory.py [SIDE ...]

Draws the first test scene at 4096 and 27648 px, unless sides are given, writes it in a process of
its own for each format, and prints one row a file. Memory should hardly grow with the image.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from uhrqa.machine import peak_memory
from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.files import tile_count, write_scene
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.splits import scene_seed
from uhrqa.synth.zarr_file import write_zarr

WRITERS: dict[str, Callable[[SceneTruth, Path], None]] = {
    "jpeg": partial(write_scene, noise=1.0),
    "deflate": partial(write_scene, compression="deflate", noise=1.0),
    "zarr": partial(write_zarr, noise=1.0),
    "shards": partial(write_zarr, noise=1.0, shards=True),
}


def write(side: int, format: str, path: Path) -> None:
    """Write one file and print a row about it."""
    scene = draw_scene(scene_seed("test", 0), side)
    start, before = time.perf_counter(), peak_memory()
    WRITERS[format](scene, path)
    seconds = time.perf_counter() - start
    peak = peak_memory()
    files = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
    length, tiles = sum(part.stat().st_size for part in files), tile_count(scene.size)
    print(
        f"{scene.size!s:>18} {format:8} {length / 1e6:9.1f} MB in {len(files):5} files  "
        f"peak {peak / 2**20:5.0f} MB ({before / 2**20:.0f} before)  {seconds:6.1f} s  "
        f"{1000 * seconds / tiles:.0f} ms a tile",
        flush=True,
    )


def main() -> None:
    """Write each file in a child process, and remove it."""
    if sys.argv[1:2] == ["--write"]:
        write(int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
        return
    for side in [int(side) for side in sys.argv[1:]] or [4096, 27648]:
        for format in WRITERS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "scene")
                child = [sys.executable, __file__, "--write", str(side), format, str(path)]
                subprocess.run(child, check=True)


if __name__ == "__main__":
    main()
