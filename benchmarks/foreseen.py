"""What `uhrqa profile` foresees against what `ask` then takes: seconds, memory, bytes.

    python -m benchmarks.foreseen [--sides 4096 8192] [--formats cog tiff] [--budgets 256 512 4000]

Measures the machine first, then plans and asks about drawn scenes, each in a process of its own.
An error is foreseen / measured - 1. Set OMP_NUM_THREADS=1: then the CPU seconds of an answer are
what it takes on a machine that does nothing else, and errors are those of CPU seconds; wall seconds
stand beside them. Loading of the model is not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.scene_files import EVERY_KIND, write

QUESTION = "how many ships are there?"
STRATEGIES = ("rfm-dip", "region-merge", "downsample", "cdpruner", "zoom-cover")


def started(*arguments: str, cache: str) -> dict[str, Any]:
    """The JSON that a fresh process prints; none where it prints nothing."""
    run = subprocess.run(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "UHRQA_CACHE": cache},
    )
    found: dict[str, Any] = json.loads(run.stdout or "{}")
    return found


def ask_once(path: str, strategy: str, budget: str) -> dict[str, Any]:
    """Seconds, CPU seconds, peak bytes and bytes read of a question in this process."""
    import warnings

    from uhrqa import ask, load_model

    warnings.simplefilter("ignore")
    model = load_model("tiny", device="cpu")
    begin, used = time.perf_counter(), time.process_time()
    answer = ask(path, QUESTION, model=model, strategy=strategy, budget=budget)
    return {
        "seconds": time.perf_counter() - begin,
        "cpu": time.process_time() - used,
        "peak": answer.peak_memory,
        "read": answer.bytes_read,
        "tiles": answer.counts.tiles_encoded,
        "stages": answer.seconds,
    }


def line(name: str, plan: dict[str, Any], took: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """A row of the table, and its errors."""
    pairs = {
        "seconds": (plan["seconds"], took["cpu"], 1, ".2f"),
        "memory": (plan["peak_memory"], took["peak"], 1e6, ".0f"),
        "bytes": (plan["bytes_read"], took["read"], 1e6, ".2f"),
    }
    errors = {key: plan / took - 1 for key, (plan, took, _, _) in pairs.items()}
    cells = [
        f"{plan / unit:{form}} / {took / unit:{form}} | {errors[key]:+.0%}"
        for key, (plan, took, unit, form) in pairs.items()
    ]
    tiles = f"{plan['tiles']} / {took['tiles']}"
    return f"| {name} | {tiles} | {' | '.join(cells)} | {took['seconds']:.2f} |", errors


def main() -> None:
    """Print a row for each image, strategy and budget, and how far off they were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192])
    parser.add_argument("--formats", nargs="+", default=list(EVERY_KIND))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--budgets", nargs="+", default=["512", "4000"])
    parser.add_argument("--keep", type=Path, help="scenes stay there")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(ask_once(*options.one)))
        return
    print("| image | strategy | budget | tiles | CPU s | | memory, MB | | read, MB | | wall s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    found = []
    with tempfile.TemporaryDirectory() as cache:
        started("uhrqa", "profile", "--calibrate", "--device", "cpu", "-q", cache=cache)
        for side, kind in ((side, kind) for side in options.sides for kind in options.formats):
            path = str(write(side, kind, options.keep or Path(cache)))
            for strategy in options.strategies:
                for budget in options.budgets:
                    given = ("-b", budget, "-s", strategy, "--device", "cpu", "--json", "-q")
                    plan = started("uhrqa", "profile", path, *given, cache=cache)["rows"][0]
                    took = started(
                        "benchmarks.foreseen", "--one", path, strategy, budget, cache=cache
                    )
                    name = f"{side} {kind} | {strategy} | {budget}"
                    text, errors = line(name, plan, took)
                    print(text, flush=True)
                    print(name, plan["stage_seconds"], took["stages"], file=sys.stderr)
                    found.append(errors)
    for key in found[0]:
        off = sorted(abs(errors[key]) for errors in found)
        print(f"{key}: off by {statistics.median(off):.0%} in the middle, {off[-1]:.0%} at most")


if __name__ == "__main__":
    main()
