"""`make demo`: the main job on the embedded model, with the truth beside each answer."""

from __future__ import annotations

import sys
from pathlib import Path

from uhrqa.cli import options as opt
from uhrqa.cli.app import guard
from uhrqa.cli.choice import load
from uhrqa.cli.console import print_result
from uhrqa.cli.example import example_scene
from uhrqa.cli.signals import prepare_signals


def demo() -> int:
    """Draw a scene, ask three questions, print answers, counts and cost.

    Returns:
        0 when every answer is the scene's truth.
    """
    settings = opt.resolve()
    path, questions = example_scene(settings, quiet=False)
    size = Path(path).stat().st_size
    vlm = load(opt.Given(settings))
    from uhrqa.answer import ask
    from uhrqa.cli.report import bytes_text, print_report
    from uhrqa.evaluation.rows import is_right
    from uhrqa.features import FeatureCache
    from uhrqa.raster import open_raster

    wrong = 0
    features = FeatureCache()
    with open_raster(path) as raster:
        print_result(f"{path}: {raster.size}, {bytes_text(size)}")
        for question in questions:
            answer = ask(
                raster,
                question.text,
                model=vlm,
                strategy=settings.strategy,
                budget=settings.budget,
                seed=settings.seed,
                features=features,
            )
            print_report(answer)
            right = is_right(answer.text, question.answer)
            wrong += not right
            truth = "right" if right else f"wrong: the scene says {question.answer}"
            print_result(f"{question.text}  {answer.text}  ({truth})")
    return int(wrong > 0)


if __name__ == "__main__":
    prepare_signals()
    sys.exit(guard(demo))
