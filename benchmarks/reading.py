"""How much of a file `ask` reads, and whether its memory grows with the image.

    python -m benchmarks.reading [--sides 4096 8192 16384] [--strategy rfm-dip]

Writes synthetic scenes as tiled TIFFs with overviews, asks one question about each in a process of
its own, and prints bytes read against the file's bytes, peak memory and seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

QUESTION = "how many ships are there?"


def ask(path: Path, strategy: str) -> dict[str, Any]:
    """The record of one question, asked by a fresh process."""
    command = "import sys; from uhrqa.cli import main; sys.exit(main())"
    arguments = ["ask", str(path), QUESTION, "--json", "-q", "--device", "cpu", "-s", strategy]
    run = subprocess.run(
        [sys.executable, "-c", command, *arguments], stdout=subprocess.PIPE, check=True
    )
    record: dict[str, Any] = json.loads(run.stdout)
    return record


def main() -> None:
    """Print one row for each image and strategy."""
    from uhrqa.synth import draw_scene, write_scene

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--strategy", nargs="+", default=["rfm-dip", "region-merge", "downsample"])
    options = parser.parse_args()
    head = ("side", "strategy", "file MB", "read MB", "share", "peak MB", "tiles", "seconds")
    print(("{:>7} {:>14}" + " {:>9}" * 6).format(*head))
    with tempfile.TemporaryDirectory() as directory:
        for side in options.sides:
            path = Path(directory) / f"{side}.tif"
            write_scene(draw_scene(7, side), path)
            size = path.stat().st_size
            for strategy in options.strategy:
                record = ask(path, strategy)
                read, peak = record["bytes_read"], record["peak_memory_bytes"]
                tiles, seconds = record["counts"]["tiles_encoded"], sum(record["seconds"].values())
                print(
                    f"{side:7d} {strategy:>14} {size / 1e6:9.1f} {read / 1e6:9.2f} "
                    f"{read / size:9.1%} {peak / 1e6:9.0f} {tiles:9d} {seconds:9.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
