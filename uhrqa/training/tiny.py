"""Train the embedded model: `python -m uhrqa.training.tiny --out models/tiny`.

Three stages of so many steps: vision, language, region focus module. The same seed gives the same
losses on the same machine. A run that was killed goes on from its last checkpoint in
`--work`; finished stages are not repeated. Needs two cores: one trains, one draws.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch

from uhrqa.training.checkpoint import save_checkpoint
from uhrqa.training.language import train_language
from uhrqa.training.rfm import train_rfm
from uhrqa.training.shape import Shape
from uhrqa.training.vision import train_vision

VISION_STEPS, LANGUAGE_STEPS, RFM_STEPS = 9600, 1600, 150


def train(out: Path, work: Path, scale: float, seed: int) -> None:
    """Run the stages that are not done yet, and write the checkpoint.

    Args:
        out: directory of the checkpoint.
        work: directory of the stages' own checkpoints and the log.
        scale: multiplies the steps of every stage.
        seed: of weights and scenes.
    """
    shape = Shape()
    train_vision(work, shape, round(scale * VISION_STEPS), seed)
    learner = train_language(work, shape, round(scale * LANGUAGE_STEPS), seed)
    rfm = train_rfm(work, shape, learner, round(scale * RFM_STEPS), seed)
    save_checkpoint(learner, rfm, out)


def main() -> None:
    """Parse, set up the log, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/tiny"))
    parser.add_argument("--work", type=Path, default=Path(".cache/train-tiny"))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.FileHandler(args.work / "log.txt"),
        logging.StreamHandler(sys.stderr),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(1)
    train(args.out, args.work, args.scale, args.seed)


if __name__ == "__main__":
    main()
