"""Batches for the decoder and the module: made in a process of their own, the same for a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uhrqa.training.layout import arrange
from uhrqa.training.packing import Batch, pack
from uhrqa.training.shape import Machine, Shape, vision_tower
from uhrqa.training.supply import Supply
from uhrqa.training.views import View, ViewMaker
from uhrqa.training.vision import PatchHeads
from uhrqa.training.vocabulary import ASSISTANT, token_id, tokenizer_in

VIEWS = 16
FRESH = 5  # of them new; the others were shown before, arranged otherwise
QUESTIONS = 12
POOL = 6000
KEPT_SHARES = (0.04, 0.35)  # of the tokens that show none of what is asked about
LONG_FROM, LONG_BATCHES = 0.6, 0.2  # then, that share of batches keeps every token
BLIND_SHARE = 0.04  # of samples without an image, which teach what is most common
DILUTED_FROM = 0.35  # share of the stage after which half of the samples are diluted


def view_maker(folder: Path, shape: Shape, seed: int) -> ViewMaker:
    """What makes views with the tower in `folder`."""
    tower, heads = vision_tower(shape), PatchHeads(shape.width)
    saved = torch.load(folder / "vision.pt", map_location="cpu", weights_only=True)
    tower.load_state_dict(saved["tower"])
    heads.load_state_dict(saved["heads"])
    tokenizer = tokenizer_in(folder, seed, shape.vocabulary)
    return ViewMaker(tower.eval(), heads.eval(), tokenizer, shape, seed)


@dataclass(frozen=True, slots=True)
class Course:
    """Which batches a stage gets.

    Attributes:
        folder: holds `vision.pt`.
        shape: sizes.
        seed: of scenes and arrangements.
        steps: of the stage.
        first_view: index of its first scene; stages must not share scenes.
        long: share of batches that keep every token; None: more towards the end.
    """

    folder: Path
    shape: Shape
    seed: int
    steps: int
    first_view: int
    long: float | None = None


class BatchMaker:
    """Makes the batch of a step out of new views and earlier ones."""

    def __init__(self, maker: ViewMaker, course: Course) -> None:
        self.maker = maker
        self.course = course
        self.assistant = token_id(maker.tokenizer, ASSISTANT)
        self.views: list[View] = []

    def __call__(self, step: int) -> list[Any]:
        """The arrays of a `Batch`."""
        rng = np.random.default_rng([4, self.course.seed, self.course.first_view, step])
        wanted = FRESH if self.views else VIEWS
        start = self.course.first_view + step * VIEWS
        fresh = [view for k in range(wanted) if (view := self.maker(start + k)).asked]
        old = [self.views[int(rng.integers(len(self.views)))] for _ in range(VIEWS - wanted)]
        self.views = (self.views + fresh)[-POOL:]
        share = step / self.course.steps
        long = LONG_BATCHES if share > LONG_FROM else 0.0
        dilute = 0.5 * min(1.0, share / DILUTED_FROM)
        if self.course.long is not None:
            long, dilute = self.course.long, 0.5
        batch = make_batch(fresh + old, rng, self.assistant, long, dilute, BLIND_SHARE)
        return [_plain(getattr(batch, field.name)) for field in fields(Batch)]


def _plain(part: Any) -> Any:  # noqa: ANN401 - tensors lose their wrapping, the rest stays
    return part.numpy() if isinstance(part, torch.Tensor) else part


def make_batch(
    views: list[View], rng: np.random.Generator, assistant: int, long: float = 0.0,
    dilute: float = 0.5, blind: float = 0.0,
) -> Batch:  # fmt: skip
    """A random arrangement of some views, of about one length since shorter ones are padded."""
    share = 1.0 if rng.random() < long else math.exp(rng.uniform(*np.log(KEPT_SHARES)))
    layouts = [arrange(view, rng, QUESTIONS, share, dilute, blind) for view in views]
    return pack(views, layouts, assistant)


def _build(course: Course) -> BatchMaker:
    torch.set_num_threads(1)
    return BatchMaker(view_maker(course.folder, course.shape, course.seed), course)


class Batches:
    """The batches of a course, from the step `first` on."""

    def __init__(self, course: Course, first: int, on: Machine) -> None:
        self._supply = Supply(partial(_build, course), first, on.workers, ahead=12)
        self._device = torch.device(on.device)

    def take(self) -> Batch:
        """The next one."""
        source, *arrays = self._supply.take()
        return Batch(source, *[torch.from_numpy(array) for array in arrays]).to(self._device)

    def close(self) -> None:
        """End the process."""
        self._supply.close()
