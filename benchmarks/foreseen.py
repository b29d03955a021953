"""What `uhrqa profile` foresees against what `uhrqa ask` then takes: seconds, memory, bytes.

    python -m benchmarks.foreseen [--sides 4096 8192] [--budget 512]

Measures the machine first, then plans and asks about drawn scenes, each in a process of its own.
An error is foreseen / measured - 1. Answers take as many steps as were planned for, or fewer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

QUESTION = "how many ships are there?"


def uhrqa(*arguments: str, cache: str) -> dict[str, Any]:
    """The JSON of a command in a fresh process; none where it prints nothing."""
    run = subprocess.run(
        [sys.executable, "-m", "uhrqa", *arguments, "-q"],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "UHRQA_CACHE": cache},
    )
    found: dict[str, Any] = json.loads(run.stdout or "{}")
    return found


def main() -> None:
    """Print a row for each image and strategy."""
    from uhrqa.synth import draw_scene, write_scene

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192])
    parser.add_argument("--strategy", nargs="+", default=["rfm-dip", "region-merge", "downsample"])
    parser.add_argument("--budget", default="512")
    options = parser.parse_args()
    print("| side | strategy | tiles | seconds | | memory, MB | | read, MB | |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as directory:
        uhrqa("profile", "--calibrate", "--device", "cpu", cache=directory)
        for side in options.sides:
            path = Path(directory) / f"{side}.tif"
            write_scene(draw_scene(7, side), path)
            for strategy in options.strategy:
                given = ("-b", options.budget, "-s", strategy, "--device", "cpu", "--json")
                plan = uhrqa("profile", str(path), *given, cache=directory)["rows"][0]
                answer = uhrqa("ask", str(path), QUESTION, *given, cache=directory)
                pairs = (
                    (plan["seconds"], sum(answer["seconds"].values()), 1, ".2f"),
                    (plan["peak_memory"], answer["peak_memory_bytes"], 1e6, ".0f"),
                    (plan["bytes_read"], answer["bytes_read"], 1e6, ".2f"),
                )
                cells = [
                    f"{foreseen / unit:{form}} / {taken / unit:{form}} | "
                    f"{foreseen / taken - 1:+.0%}"
                    for foreseen, taken, unit, form in pairs
                ]
                tiles = f"{plan['tiles']} / {answer['counts']['tiles_encoded']}"
                print(f"| {side} | {strategy} | {tiles} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
