"""`ask` against the released procedures, written plainly, and against asking every 512 px tile.

    python -m benchmarks.peers_plain [--sides 4096 8192] [--formats cog tiff zarr png] [--rounds 3]
    python -m benchmarks.peers_plain --growth [--sides 4096 8192 16384]

The embedded model answers, on drawn scenes. All systems run in turn within a round, each question
in a process of its own; a ratio is the median over rounds of plain to ours in the same round.

- `plain rfm-dip`, `plain region-merge`: the whole image in memory, every level of it resized there,
  every tile of every level through the tower, for region-merge twice; then the same selection and
  answer as ours, over the tiles that are encoded already.
- `window`: the whole image in memory, the question asked of every 512 px tile, answers joined.

Seconds run from opening the image to the answer; model and libraries are loaded before. Files are
in the page cache for all. Bytes are those of the full-size level for what
reads all of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.pyramid import Level
    from uhrqa.vlm import VisionLanguageModel

QUESTION = "how many ships are there?"
BUDGET = 512
WINDOW = 512
PAIRS = {
    "plain rfm-dip": "rfm-dip",
    "plain region-merge": "region-merge",
    "window": "rfm-dip",
}
SYSTEMS = ("rfm-dip", "region-merge", *PAIRS)


def read_whole(path: Path) -> np.ndarray:
    """All pixels of an image, `[h, w, 3]`, as its format's own library gives them."""
    if path.suffix == ".png":
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None
        return np.asarray(Image.open(path).convert("RGB"))
    if path.suffix == ".zarr":
        import zarr

        group: Any = zarr.open(str(path), mode="r")
        return np.ascontiguousarray(np.asarray(group["0"]).transpose(1, 2, 0))
    import tifffile

    return np.asarray(tifffile.imread(path, key=0))


def stored_bytes(path: Path) -> int:
    """Encoded bytes of the whole image at full size, overviews left out."""
    if path.suffix == ".tif":
        import tifffile

        with tifffile.TiffFile(path) as file:
            page: Any = file.pages.first
            return int(sum(page.databytecounts))
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in (path / "0").rglob("*") if file.is_file())


def ask_ours(path: Path, strategy: str, model: VisionLanguageModel) -> tuple[str, int]:
    """The answer and the bytes read."""
    from uhrqa import ask

    answer = ask(str(path), QUESTION, model=model, strategy=strategy, budget=BUDGET)
    return answer.text, answer.bytes_read


def ask_plainly(path: Path, strategy: str, model: VisionLanguageModel) -> tuple[str, int]:
    """Everything first: all pixels, all levels, all tiles encoded; then select and answer."""
    from PIL import Image

    from uhrqa import ask
    from uhrqa.encoding import TileEncoder
    from uhrqa.features import EncodedTile, FeatureCache
    from uhrqa.ledger import Ledger
    from uhrqa.raster import open_raster
    from uhrqa.scene import Scene
    from uhrqa.strategies import make_strategy
    from uhrqa.strategies.views import views_of
    from uhrqa.tokens import pool_tiles

    whole = read_whole(path)
    raster, features = open_raster(whole), FeatureCache()
    encoder = TileEncoder(raster, model, features, Ledger())
    scene = Scene(raster, model, QUESTION)
    levels = list(scene.pyramid)
    if strategy == "region-merge":
        chosen: Any = make_strategy(strategy, model.card.options.get(strategy, {}))
        levels = list(views_of(scene, chosen.scales, chosen.shares))
    picture = Image.fromarray(whole)
    resized = [picture.resize((level.size.w, level.size.h), Image.BICUBIC) for level in levels]
    for _ in range(2 if strategy == "region-merge" else 1):
        for level, view in zip(levels, resized, strict=True):
            keys = [encoder.key(level, tile) for tile in level.tiles()]
            encoded = model.encode_tiles(cut(np.asarray(view), level, model.fill))
            for key, tile in zip(keys, pool_tiles(encoded, encoder.pooling(level)), strict=True):
                features.put(key, EncodedTile(tile))
    answer = ask(raster, QUESTION, model=model, strategy=strategy, budget=BUDGET, features=features)
    missed = answer.counts.tiles_encoded
    if missed:
        raise RuntimeError(f"{missed} tiles were not encoded before: not the procedure meant")
    return answer.text, stored_bytes(path)


def cut(view: np.ndarray, level: Level, fill: tuple[int, int, int]) -> Tensor:
    """`[T, 3, B, B]` uint8: a level in tiles, its last ones padded."""
    import torch

    rows, cols = level.grid
    side = level.tile
    padded = np.full((rows * side, cols * side, 3), fill, np.uint8)
    padded[: view.shape[0], : view.shape[1]] = view
    tiles = padded.reshape(rows, side, cols, side, 3).transpose(0, 2, 4, 1, 3)
    return torch.from_numpy(np.ascontiguousarray(tiles).reshape(-1, 3, side, side))


def ask_windows(path: Path, model: VisionLanguageModel) -> tuple[str, int]:
    """The question asked of every 512 px tile."""
    from uhrqa import ask

    whole = read_whole(path)
    answers = [
        ask(
            np.ascontiguousarray(whole[y : y + WINDOW, x : x + WINDOW]),
            QUESTION,
            model=model,
            strategy="downsample",
            budget=BUDGET,
        ).text
        for y in range(0, whole.shape[0], WINDOW)
        for x in range(0, whole.shape[1], WINDOW)
    ]
    return f"{len(answers)} answers: {' '.join(answers)[:40]}", stored_bytes(path)


def one(system: str, path: Path) -> dict[str, Any]:
    """One question in this process."""
    import warnings

    from uhrqa import load_model
    from uhrqa.machine import peak_memory

    warnings.simplefilter("ignore")
    model = load_model("tiny", device="cpu")
    begin = time.perf_counter()
    if system == "window":
        text, read = ask_windows(path, model)
    elif system.startswith("plain "):
        text, read = ask_plainly(path, system.removeprefix("plain "), model)
    else:
        text, read = ask_ours(path, system, model)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak": peak_memory(), "read": read, "answer": text}


def in_a_process(system: str, path: Path) -> dict[str, Any]:
    """One question in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.peers_plain", "--one", system, str(path)]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def write(side: int, kind: str, directory: Path) -> Path:
    """A drawn scene in a format."""
    from uhrqa.synth import draw_scene, write_scene
    from uhrqa.synth.zarr_file import write_zarr

    scene = draw_scene(7, side)
    if kind == "zarr":
        path = directory / f"{side}.zarr"
        write_zarr(scene, path)
        return path
    path = directory / f"{side}.tif"
    if not path.exists():
        write_scene(scene, path)
    if kind == "cog":
        return path
    whole = read_whole(path)
    if kind == "png":
        from PIL import Image

        path = directory / f"{side}.png"
        Image.fromarray(whole).save(path, compress_level=1)
        return path
    import tifffile

    path = directory / f"{side}-flat.tif"
    tifffile.imwrite(
        path, whole, tile=(512, 512), compression="jpeg", photometric="rgb",
        compressionargs={"level": 90},
    )  # fmt: skip
    return path


def compare(sides: list[int], kinds: list[str], systems: list[str], rounds: int) -> None:
    """A row for each image and system."""
    titles = (
        "side",
        "format",
        "system",
        "seconds",
        "peak MB",
        "read MB",
        "time",
        "memory",
        "bytes",
    )
    print(("| {} " * len(titles) + "|").format(*titles))
    print("|" + "---|" * 3 + "---:|" * (len(titles) - 3))
    with tempfile.TemporaryDirectory() as directory:
        for side in sides:
            for kind in kinds:
                path = write(side, kind, Path(directory))
                runs: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
                for number in range(rounds):
                    turn = number % len(systems)
                    for system in systems[turn:] + systems[:turn]:
                        runs[system].append(in_a_process(system, path))
                for system in systems:
                    print(_line(side, kind, system, runs), flush=True)


def _line(side: int, kind: str, system: str, runs: dict[str, list[dict[str, Any]]]) -> str:
    def median(key: str) -> float:
        return statistics.median(run[key] for run in runs[system])

    ours = runs.get(PAIRS.get(system, ""), [])
    ratios = [
        f"{statistics.median(a[key] / b[key] for a, b in zip(runs[system], ours, strict=True)):.1f}"
        if ours
        else ""
        for key in ("seconds", "peak", "read")
    ]
    cells = (
        str(side), kind, system, f"{median('seconds'):.2f}", f"{median('peak') / 1e6:.0f}",
        f"{median('read') / 1e6:.2f}", *ratios,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print a table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192])
    parser.add_argument("--formats", nargs="+", default=["cog", "tiff", "zarr", "png"])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help="ours alone, COG, by side")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], Path(options.one[1]))))
    elif options.growth:
        compare(options.sides, ["cog"], ["rfm-dip", "region-merge"], options.rounds)
    else:
        compare(options.sides, options.formats, options.systems, options.rounds)


if __name__ == "__main__":
    main()
