"""How often scenes like that of `make demo` are answered rightly.

`python -m uhrqa.evaluation.demo` prints the shares.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from uhrqa.answer import ask
from uhrqa.evaluation.rows import is_right
from uhrqa.features import FeatureCache
from uhrqa.synth.demo import demo_scene
from uhrqa.synth.raster import SceneRaster
from uhrqa.vlm import VisionLanguageModel, load_model

COLUMNS = ("all three", "count", "colour", "yes/no")


def demo_share(model: VisionLanguageModel, count: int, strategy: str | None = None) -> list[float]:
    """Share of demonstration scenes with all three answers right, and of each question.

    Args:
        model: what answers.
        count: scenes, those of the seeds from 0 on.
        strategy: its name; the model card's default when None.
    """
    right = []
    for seed in range(count):
        scene, questions = demo_scene(seed)
        raster, features = SceneRaster(scene), FeatureCache()
        said = [
            ask(raster, question.text, model=model, strategy=strategy, features=features).text
            for question in questions
        ]
        right.append([is_right(text, q.answer) for text, q in zip(said, questions, strict=True)])
    table = np.array(right, dtype=float)
    return [float(table.all(1).mean()), *table.mean(0).tolist()]


def main() -> None:
    """Measure, and write the shares to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--strategy")
    args = parser.parse_args()
    shares = demo_share(load_model(args.model), args.scenes, args.strategy)
    for column, share in zip(COLUMNS, shares, strict=True):
        sys.stdout.write(f"{column} {share:.3f}\n")


if __name__ == "__main__":
    main()
