"""What is gained by not doing work twice, with the embedded model on a CPU.

    python -m benchmarks.sharing [--runs 5] [--side 3000]

Each way is run in turn with and without, so that a busy machine is equally unkind to both; the
medians are compared. Whether both ways keep the same tokens is printed with them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from uhrqa import ask, load_model
from uhrqa.account import Answer
from uhrqa.asker import Asker
from uhrqa.feature_files import FeatureFiles
from uhrqa.features import FeatureCache
from uhrqa.raster import Raster, open_raster
from uhrqa.synth import draw_scene, write_scene
from uhrqa.together import ask_together
from uhrqa.vlm.decoding import Decoding
from uhrqa.vlm.prefix import Prefix

QUESTIONS = ("how many ships are there?", "is there a storage tank?", "rural or urban?")
SIX = (*QUESTIONS, "what color is the roof?", "where is the ship?", "how many cars are there?")
LONG = 32  # tokens, where the embedded model would stop after a word
Way = Callable[[], list[Answer]]


def together(asker: Asker, raster: Raster, questions: Sequence[str]) -> list[Answer]:
    """Answers to questions, written at once."""
    found = ask_together(asker, raster, [(text, ()) for text in questions])
    return [answer for answer in found if isinstance(answer, Answer)]


def compare(title: str, without: Way, with_it: Way, runs: int) -> None:
    """Run both ways in turn and print a line."""
    seconds: tuple[list[float], list[float]] = [], []
    same = True
    for run in range(runs + 1):  # the first is not counted
        told = []
        for way, times in zip((without, with_it), seconds, strict=True):
            begin = time.perf_counter()
            told.append(way())
            if run:
                times.append(time.perf_counter() - begin)
        tokens = [[str(answer.evidence) for answer in answers] for answers in told]
        same &= tokens[0] == tokens[1]
    slow, fast = (statistics.median(times) for times in seconds)
    print(f"{title}: {slow:.3f} s -> {fast:.3f} s, {slow / fast:.2f} x; same tokens: {same}")


def main() -> None:
    """Print a line for each thing that is not done twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=3000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("tiny", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        path, kept = Path(folder) / "a.tif", Path(folder) / "kept"
        write_scene(draw_scene(0, options.side), path)

        def asked(**how: Any) -> list[Answer]:  # noqa: ANN401 - arguments of `ask`
            return [ask(path, question, model=model, **how) for question in how.pop("all")]

        def stored() -> FeatureCache:
            return FeatureCache(store=FeatureFiles(kept, "a.tif tiny"))

        def feature_files(cache: Callable[[], FeatureCache | None], strategy: str) -> Way:
            return lambda: asked(all=QUESTIONS[:1], strategy=strategy, features=cache())

        for strategy in ("rfm-dip", "region-merge"):
            compare(
                f"{strategy}, tiles on disk",
                feature_files(FeatureCache, strategy),
                feature_files(stored, strategy),
                options.runs,
            )
        tiles = FeatureCache()
        plain = {"strategy": "downsample", "budget": 4000, "features": tiles}
        compare(
            "downsample 4k, prefix shared by 3 questions",
            lambda: asked(all=QUESTIONS, max_new_tokens=1, **plain),
            lambda: asked(all=QUESTIONS, max_new_tokens=1, prefix=Prefix(), **plain),
            options.runs,
        )
        asker = Asker.of(model, budget=256, max_new_tokens=LONG, features=FeatureCache())
        with open_raster(path) as raster, patch.object(Decoding, "stops", frozenset()):
            compare(
                f"rfm-dip, 6 answers of {LONG} tokens written at once",
                lambda: [answer for text in SIX for answer in together(asker, raster, [text])],
                lambda: together(asker, raster, SIX),
                options.runs,
            )
        compare(
            "downsample 4k, yes or no instead of 8 free tokens",
            lambda: asked(all=QUESTIONS[1:2], max_new_tokens=8, **plain),
            lambda: asked(all=QUESTIONS[1:2], choices=("yes", "no"), **plain),
            options.runs,
        )


if __name__ == "__main__":
    main()
