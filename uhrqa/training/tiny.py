"""Train the embedded model: `python -m uhrqa.training.tiny --out models/tiny`.

Three stages, each with a time limit: vision, language, region focus module. A run that was killed
goes on from its last checkpoint in `--work`; finished stages are not repeated.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from uhrqa.training.language import train_language
from uhrqa.training.shape import Shape
from uhrqa.training.vision import train_vision

VISION_SHARE, LANGUAGE_SHARE = 0.38, 0.53  # of the time; the rest is the region focus module's


def main() -> None:
    """Run the stages that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/tiny"))
    parser.add_argument("--work", type=Path, default=Path(".cache/train-tiny"))
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", filename=args.work / "log.txt"
    )
    torch.set_num_threads(1)
    shape = Shape()
    train_vision(args.work, shape, VISION_SHARE * args.minutes, args.seed)
    train_language(args.work, shape, LANGUAGE_SHARE * args.minutes, args.seed)


if __name__ == "__main__":
    main()
