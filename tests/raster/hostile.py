"""Files made to hurt: over sixty by hand, and any number of small valid ones that were damaged.

    python -m tests.raster.hostile corpus FOLDER
    python -m tests.raster.hostile mutations FOLDER --first 0 --count 1000

reads them in this one process and prints a JSON line for each: what came of it, CPU seconds, and
how much memory it took. The name is printed before the file is read, so that a crash has a name.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import torch  # noqa: F401 - halves images; loaded by any question, so it counts for no file

from tests.raster.hostile_files import CORPUS
from tests.raster.hostile_seeds import write_seeds
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.machine import peak_memory, resident_memory
from uhrqa.raster import open_raster
from uhrqa.reading import Reading

HARD_SECONDS = 60  # a hang ends the process
HARD_MEMORY = 6 * 2**30  # of address space; what is taken is measured
EXTREMES = (bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\1\0", b"\1\0\0\0")
HEAD = 600  # bytes in which headers of small files lie


def look(path: Path, reading: Reading) -> str:
    """Read a file as a question does; `read`, or the line with which it is refused."""
    try:
        with open_raster(path, reading) as raster:
            raster.read(Box.whole(raster.size), Size(48, 48))
            side = min(64, *raster.size)
            raster.read(Box(0, 0, side, side), Size(side, side))
    except RasterError as error:
        return f"refused: {error}"
    return "read"


def measured(path: Path, reading: Reading) -> dict[str, object]:
    """What came of a file, and what it cost."""
    before, begin = resident_memory(), time.process_time()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    signal.alarm(HARD_SECONDS)
    try:
        outcome = look(path, reading)
    except BaseException as error:  # noqa: BLE001 - this is what is looked for
        outcome = f"escaped: {type(error).__name__}: {error}"
    signal.alarm(0)
    return {
        "outcome": outcome[:400],
        "seconds": round(time.process_time() - begin, 3),
        "bytes": peak_memory() - before,
    }


def mutate(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A file with flipped bytes, cut short, or with a piece of another in it."""
    out = bytearray(data)
    kind = rng.integers(0, 6)
    near = min(len(out), HEAD if rng.random() < 0.6 else len(out))
    if kind <= 1:
        for _ in range(rng.integers(1, 9)):
            out[rng.integers(0, near)] = rng.integers(0, 256)
    elif kind == 2:
        at = int(rng.integers(0, near))
        out[at : at + 4] = EXTREMES[rng.integers(0, len(EXTREMES))]
    elif kind == 3:
        del out[int(rng.integers(1, len(out))) :]
    elif kind == 4:
        start, length = int(rng.integers(0, len(other))), int(rng.integers(1, 200))
        at = int(rng.integers(0, near))
        out[at : at + length] = other[start : start + length]
    else:
        at, length = int(rng.integers(0, near)), int(rng.integers(1, 64))
        del out[at : at + length]
    return bytes(out)


def run_mutations(folder: Path, first: int, count: int) -> None:
    """Damage seeds number `first` and later, one after the other, each by its own number."""
    seeds = write_seeds(folder / "seeds")
    names = sorted(seeds)
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        name = names[number % len(names)]
        target, files = seeds[name]
        victim = files[rng.integers(0, len(files))]
        donor = seeds[names[rng.integers(0, len(names))]][1]
        whole = victim.read_bytes()
        victim.write_bytes(mutate(whole, donor[0].read_bytes(), rng))
        reading = Reading(
            stretch=(2.0, 98.0) if number % 3 else None,
            on_bad_tile="mask" if rng.random() < 0.3 else "error",
        )
        _tell(f"{name} {number}", target, reading)
        victim.write_bytes(whole)


def _tell(name: str, path: Path, reading: Reading) -> None:
    print(json.dumps({"begin": name}), flush=True)
    print(json.dumps({"name": name} | measured(path, reading)), flush=True)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("what", choices=("corpus", "mutations"))
    words.add_argument("folder", type=Path)
    words.add_argument("--first", type=int, default=0)
    words.add_argument("--count", type=int, default=1000)
    given = words.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (HARD_MEMORY, HARD_MEMORY))
    warnings.simplefilter("ignore")
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.what == "corpus":
        for name, write in CORPUS.items():
            path = given.folder / name
            write(path)
            _tell(name, path, Reading(stretch=(2.0, 98.0)))
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        run_mutations(given.folder, given.first, given.count)


if __name__ == "__main__":
    main()
