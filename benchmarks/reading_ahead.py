"""Tiles read in a thread while those before them are encoded, beside one after the other, on a CPU.

    python -m benchmarks.reading_ahead [--runs 5] [--side 4096] [--latency 0.02] [--server]

All tiles of the finest level of a JPEG-compressed TIFF, from a disk and from a server on loopback
that waits before each answer; both ways in turn, medians compared. `waited` is what the ledger
calls reading: the time that the encoder had no tile. On a GPU: `benchmarks.gpu`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.remote import serving_apart, write
from uhrqa import load_model
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.vlm import VisionLanguageModel

WAYS = (0, 2)  # batches ahead


def encode_all(
    place: str, model: VisionLanguageModel, ahead: int
) -> tuple[list[float], torch.Tensor]:
    """Seconds, those waited for reads, those of all cores, and the tokens of the finest level."""
    begin, used = time.perf_counter(), time.process_time()
    with open_raster(place) as raster:
        scene = Scene(raster, model, "how many ships are there?", ahead=ahead)
        tokens = scene.tokens(scene.pyramid[-1])
    took, cpu = time.perf_counter() - begin, time.process_time() - used
    return [took, scene.ledger.seconds["read"], cpu], tokens.embed


def compare(title: str, place: str, model: VisionLanguageModel, runs: int) -> None:
    """Both ways in turn, the first turn not counted; prints a line."""
    taken: dict[int, list[list[float]]] = {depth: [] for depth in WAYS}
    same = True
    for run in range(runs + 1):
        found = []
        for depth in WAYS if run % 2 else reversed(WAYS):
            seconds, tokens = encode_all(place, model, depth)
            found.append(tokens)
            if run:
                taken[depth].append(seconds)
        same &= torch.equal(*found)
    plain, ahead = (
        [statistics.median(part) for part in zip(*taken[depth], strict=True)] for depth in WAYS
    )
    told = " -> ".join(
        "{:.2f} s, {:.2f} waited, {:.2f} of all cores".format(*way) for way in (plain, ahead)
    )
    print(f"{title}: {told}; {plain[0] / ahead[0]:.2f} x; same tokens: {same}", flush=True)


def main() -> None:
    """Print a line for a disk and one for a server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--server", action="store_true", help="that alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("tiny", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        write(path, options.side, "jpeg")
        if not options.server:
            compare("disk", str(path), model, options.runs)
        with serving_apart(path.parent, options.latency) as url:
            server = f"server, {1000 * options.latency:g} ms an answer"
            compare(server, f"{url}/a.tif", model, options.runs)


if __name__ == "__main__":
    main()
