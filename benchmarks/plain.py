"""What `ask` is held against: the released procedures written plainly, and asking every tile.

- `plain rfm-dip`, `plain region-merge`: the whole image in memory, every level of it resized there,
  every tile of every level through the tower, for region-merge twice; then the same selection and
  answer as ours, over the tiles that are encoded already.
- `window`: the whole image in memory, the question asked of every 512 px tile, answers joined. Of
  more than `MOST_WINDOWS` tiles so many are asked, spread evenly, and the rest is not reckoned.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.scene_files import read_whole, stored_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.pyramid import Level
    from uhrqa.vlm import VisionLanguageModel

QUESTION = "how many ships are there?"
BUDGET = 512
WINDOW = 512
MOST_WINDOWS = 256
PLAIN_FEATURES = 2**40  # bytes: the released code has no cap


def ask_ours(path: Path, strategy: str, model: VisionLanguageModel) -> dict[str, Any]:
    """The answer, the bytes read and the seconds by stage."""
    from uhrqa import ask

    answer = ask(str(path), QUESTION, model=model, strategy=strategy, budget=BUDGET)
    return {"answer": answer.text, "read": answer.bytes_read, "stages": dict(answer.seconds)}


def ask_plainly(
    path: Path, strategy: str, model: VisionLanguageModel, budget: int = BUDGET
) -> dict[str, Any]:
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
    raster, features = open_raster(whole), FeatureCache(PLAIN_FEATURES)
    encoder = TileEncoder(raster, model, features, Ledger())
    scene = Scene(raster, model, QUESTION)
    levels = list(scene.pyramid)
    if strategy == "region-merge":
        chosen: Any = make_strategy(strategy, model.card.options.get(strategy, {}))
        levels = list(views_of(scene, chosen.scales, chosen.shares))
    picture = Image.fromarray(whole)
    resized = [
        picture.resize((level.size.w, level.size.h), Image.Resampling.BICUBIC) for level in levels
    ]
    for _ in range(2 if strategy == "region-merge" else 1):
        for level, view in zip(levels, resized, strict=True):
            keys = [encoder.key(level, tile) for tile in level.tiles()]
            encoded = model.encode_tiles(cut(np.asarray(view), level, model.fill))
            for key, tile in zip(keys, pool_tiles(encoded, encoder.pooling(level)), strict=True):
                features.put(key, EncodedTile(tile))
    answer = ask(raster, QUESTION, model=model, strategy=strategy, budget=budget, features=features)
    missed = answer.counts.tiles_encoded
    if missed:
        raise RuntimeError(f"{missed} tiles were not encoded before: not the procedure meant")
    return {"answer": answer.text, "read": stored_bytes(path)}


def cut(view: np.ndarray, level: Level, fill: tuple[int, int, int]) -> Tensor:
    """`[T, 3, B, B]` uint8: a level in tiles, its last ones padded."""
    import torch

    rows, cols = level.grid
    side = level.tile
    padded = np.full((rows * side, cols * side, 3), fill, np.uint8)
    padded[: view.shape[0], : view.shape[1]] = view
    tiles = padded.reshape(rows, side, cols, side, 3).transpose(0, 2, 4, 1, 3)
    return torch.from_numpy(np.ascontiguousarray(tiles).reshape(-1, 3, side, side))


def ask_windows(path: Path, model: VisionLanguageModel) -> dict[str, Any]:
    """The question asked of 512 px tiles, of all of them or of `MOST_WINDOWS`."""
    from uhrqa import ask

    whole = read_whole(path)
    places = [
        (y, x) for y in range(0, whole.shape[0], WINDOW) for x in range(0, whole.shape[1], WINDOW)
    ]
    asked = places[:: -(-len(places) // MOST_WINDOWS)]
    answers = [
        ask(
            np.ascontiguousarray(whole[y : y + WINDOW, x : x + WINDOW]),
            QUESTION,
            model=model,
            strategy="downsample",
            budget=BUDGET,
        ).text
        for y, x in asked
    ]
    return {
        "answer": " ".join(answers)[:40],
        "read": stored_bytes(path),
        "windows": [len(asked), len(places)],
    }


def one(system: str, path: Path) -> dict[str, Any]:
    """One question in this process: seconds, CPU seconds, peak bytes and bytes read."""
    import warnings

    from uhrqa import load_model
    from uhrqa.machine import peak_memory

    warnings.simplefilter("ignore")
    model = load_model("tiny", device="cpu")
    begin, used = time.perf_counter(), time.process_time()
    if system == "window":
        found = ask_windows(path, model)
    elif system.startswith("plain "):
        found = ask_plainly(path, system.removeprefix("plain "), model)
    else:
        found = ask_ours(path, system, model)
    took, cpu = time.perf_counter() - begin, time.process_time() - used
    return {"seconds": took, "cpu": cpu, "peak": peak_memory(), **found}


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1], Path(sys.argv[2]))))
