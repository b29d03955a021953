"""Train the embedded model: `python -m uhrqa.training.tiny --out models/tiny`.

Three stages of so many steps: vision, language, region focus module. The same seed gives the same
losses on the same machine. A run that was killed goes on from its last checkpoint in
`--work`; finished stages are not repeated. The CPU recipe needs two cores: one trains, one draws.
`--recipe gpu` takes a CUDA device and every core, and sees many times as many scenes.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import torch

from uhrqa.training.checkpoint import save_checkpoint
from uhrqa.training.language import train_language
from uhrqa.training.rfm import train_rfm
from uhrqa.training.shape import Machine, Shape
from uhrqa.training.vision import train_vision

STEPS = {"cpu": (9600, 1800, 150), "gpu": (30_000, 13_000, 600)}
"""Vision, language and module steps of each recipe."""
SPARE_CORES = 2  # of a GPU's machine: one feeds it, one is for everything else


def train(
    out: Path,
    work: Path,
    steps: tuple[int, int, int],
    seed: int,
    on: Machine,
    shape: Shape | None = None,
) -> None:
    """Run the stages that are not done yet, and write the checkpoint.

    Args:
        out: directory of the checkpoint.
        work: directory of the stages' own checkpoints and the log.
        steps: of vision, language and module.
        seed: of weights and scenes.
        on: what trains and draws.
        shape: sizes; the embedded checkpoint's when None.
    """
    shape = shape or Shape()
    train_vision(work, shape, steps[0], seed, on)
    learner = train_language(work, shape, steps[1], seed, on)
    rfm = train_rfm(work, shape, learner, steps[2], seed, on)
    learner.model.cpu()
    learner.placement.cpu()
    save_checkpoint(learner, rfm.cpu(), out)


def main() -> None:
    """Parse, set up the log, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/tiny"))
    parser.add_argument("--work", type=Path, default=Path(".cache/train-tiny"))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", choices=list(STEPS), default="cpu")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.FileHandler(args.work / "log.txt"),
        logging.StreamHandler(sys.stderr),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(1)
    vision, language, module = (round(args.scale * steps) for steps in STEPS[args.recipe])
    workers = max(1, (os.cpu_count() or 1) - SPARE_CORES) if args.recipe == "gpu" else 1
    machine = Machine("cuda" if args.recipe == "gpu" else "cpu", workers)
    train(args.out, args.work, (vision, language, module), args.seed, machine)


if __name__ == "__main__":
    main()
