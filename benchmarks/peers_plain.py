"""`ask` against the released procedures, written plainly, and against asking every 512 px tile.

    python -m benchmarks.peers_plain [--sides 4096 8192] [--formats cog tiff zarr png] [--rounds 3]
        [--keep DIR] [--only "8192 cog"]
    python -m benchmarks.peers_plain --growth [--sides 4096 16384 65536]

The embedded model answers, on drawn scenes; `plain.py` says what the systems do. All run in turn
within a round, each question in a process of its own; a ratio is the median over rounds of plain to
ours in the same round. Seconds run from opening the image to the answer; model and libraries are
loaded before. The ratio of time is that of CPU seconds, which other people's load hardly changes;
all run in one thread of torch. Files are in the page cache for all. Bytes are those of the
full-size level for what reads all of it.

With `--keep`, scenes and a line for each run stay in a directory, and what is there is not run
again. `--only` runs what has these words in `side format system`; the table then shows all there
is. `--growth` asks about a scene that is repeated up to any size, with our strategies alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.scene_files import KINDS, UNIT, read_whole, write, write_repeated

PAIRS = {
    "plain rfm-dip": "rfm-dip",
    "plain region-merge": "region-merge",
    "window": "rfm-dip",
}
OURS = ("rfm-dip", "region-merge")
GROWING = (*OURS, "downsample")
TITLES = (
    "side", "format", "system", "seconds", "CPU s", "peak MB", "read MB", "time", "memory", "bytes",
)  # fmt: skip
Run = dict[str, Any]


class Runs:
    """What was run, a line each, in a file that is only appended to."""

    def __init__(self, directory: Path, only: str) -> None:
        self.directory = directory
        self._only = only.split()
        self._path = directory / "runs.jsonl"
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self.rows: list[Run] = [json.loads(line) for line in lines]

    def of(self, side: int, kind: str, system: str) -> dict[int, Run]:
        """Runs by round."""
        named = {"side": side, "format": kind, "system": system}
        return {row["round"]: row for row in self.rows if named.items() <= row.items()}

    def add(self, side: int, kind: str, system: str, turn: int) -> None:
        """Ask once more, unless that was done or is not wanted."""
        words = f"{side} {kind} {system}"
        if turn in self.of(side, kind, system) or not all(word in words for word in self._only):
            return
        path = self._file(side, kind)
        command = [sys.executable, "-m", "benchmarks.plain", system, str(path)]
        found = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        row = {"side": side, "format": kind, "system": system, "round": turn, **json.loads(found)}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)

    def _file(self, side: int, kind: str) -> Path:
        if kind != "repeated":
            return write(side, kind, self.directory)
        path = self.directory / f"{side}-repeated.tif"
        if not path.exists():
            fresh = path.with_name(f"part-{path.name}")
            write_repeated(read_whole(write(UNIT, "cog", self.directory)), side, fresh)
            fresh.rename(path)
        return path


def line(side: int, kind: str, system: str, runs: Runs) -> str:
    """A row of the table; `at least` marks windows that were not all asked."""
    own = runs.of(side, kind, system)
    other = runs.of(side, kind, PAIRS.get(system, ""))
    if kind == "repeated":
        other = runs.of(UNIT, kind, system)
    both = sorted(own.keys() & other.keys())
    ratios = [
        f"{statistics.median(own[turn][key] / other[turn][key] for turn in both):.2g}"
        if both
        else ""
        for key in ("cpu", "peak", "read")
    ]
    asked, there = next(iter(own.values())).get("windows", (0, 0))
    more = "at least " if asked < there else ""
    figures = [
        f"{statistics.median(row[key] for row in own.values()) / unit:.{digits}f}"
        for key, unit, digits in (
            ("seconds", 1, 2), ("cpu", 1, 2), ("peak", 1e6, 0), ("read", 1e6, 2),
        )
    ]  # fmt: skip
    for cells in (figures, ratios):
        cells[0] = more + cells[0] if cells[0] else ""
    return "| " + " | ".join((str(side), kind, system, *figures, *ratios)) + " |"


def compare(
    runs: Runs, sides: Iterable[int], kinds: list[str], systems: list[str], rounds: int
) -> None:
    """Run what is missing, then print a row for each image and system."""
    print(("| {} " * len(TITLES) + "|").format(*TITLES))
    print("|" + "---|" * 3 + "---:|" * (len(TITLES) - 3))
    for side in sides:
        for kind in kinds:
            for turn in range(rounds):
                shift = turn % len(systems)
                for system in systems[shift:] + systems[:shift]:
                    runs.add(side, kind, system, turn)
            for system in systems:
                if runs.of(side, kind, system):
                    print(line(side, kind, system, runs), flush=True)


def main() -> None:
    """Print a table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+")
    parser.add_argument("--formats", nargs="+", default=list(KINDS))
    parser.add_argument("--systems", nargs="+", default=[*OURS, *PAIRS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help="ours alone, a repeated COG, by side")
    parser.add_argument("--keep", type=Path, help="scenes and runs stay there")
    parser.add_argument("--only", default="", help="words of: side format system")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        kept = options.keep or Path(directory)
        kept.mkdir(parents=True, exist_ok=True)
        runs = Runs(kept, options.only)
        if options.growth:
            sides = options.sides or [UNIT << step for step in range(5)]
            compare(runs, sides, ["repeated"], list(GROWING), options.rounds)
        else:
            sides = options.sides or [4096, 8192]
            compare(runs, sides, options.formats, options.systems, options.rounds)


if __name__ == "__main__":
    main()
