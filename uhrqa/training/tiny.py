"""Train the embedded model: `python -m uhrqa.training.tiny --out models/tiny`.

Three stages, each with a time limit: vision, language, region focus module. A run that was killed
goes on from its last checkpoint in `--work`; finished stages are not repeated. Needs two cores: one
trains, one draws.
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

VISION_SHARE, LANGUAGE_SHARE, RFM_SHARE = 0.37, 0.55, 0.08  # of the time


def train(out: Path, work: Path, minutes: float, seed: int) -> None:
    """Run the stages that are not done yet, and write the checkpoint.

    Args:
        out: directory of the checkpoint.
        work: directory of the stages' own checkpoints and the log.
        minutes: time limit of all stages together; held-out scoring comes on top.
        seed: of weights and scenes.
    """
    shape = Shape()
    train_vision(work, shape, VISION_SHARE * minutes, seed)
    learner = train_language(work, shape, LANGUAGE_SHARE * minutes, seed)
    save_checkpoint(learner, None, out)
    rfm = train_rfm(work, shape, learner, RFM_SHARE * minutes, seed)
    save_checkpoint(learner, rfm, out)


def main() -> None:
    """Parse, set up the log, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/tiny"))
    parser.add_argument("--work", type=Path, default=Path(".cache/train-tiny"))
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.FileHandler(args.work / "log.txt"),
        logging.StreamHandler(sys.stderr),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(1)
    train(args.out, args.work, args.minutes, args.seed)


if __name__ == "__main__":
    main()
