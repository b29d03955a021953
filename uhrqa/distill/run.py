"""A distillation from its first step, or from where one was stopped, to the module's file.

Beside the module `rfm.safetensors` stand `rfm.log`, for people, and while it is trained
`rfm.checkpoint`, which holds all that a run needs to go on as if it had not been stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from uhrqa.distill.examples import Course, Example, hold_out
from uhrqa.distill.reader import Reader
from uhrqa.distill.recall import Check, check
from uhrqa.distill.recipe import Recipe
from uhrqa.distill.state import Curve, Files, Settings, resume, tick, unwritable
from uhrqa.distill.student import Losses, Student
from uhrqa.rfm import save_rfm
from uhrqa.training.progress import Stage
from uhrqa.vlm.family import Family

SCHEMA = "uhrqa.distill/1"
LOG_EVERY = 50  # steps


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished distillation.

    Attributes:
        rfm: its file.
        settings: what decided its numbers.
        curve: mean losses of every step's batch.
        before: the module as it started, copies of decoder layers.
        after: the module as it was written.
        held_out: both were measured on images that were not trained on.
        seconds: of training.
    """

    rfm: Path
    settings: Mapping[str, Any]
    curve: tuple[Losses, ...] = field(repr=False)
    before: Check
    after: Check
    held_out: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "schema": SCHEMA,
            "rfm": str(self.rfm),
            "settings": dict(self.settings),
            "curve": [asdict(losses) for losses in self.curve],
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "held_out": self.held_out,
            "seconds": self.seconds,
        }


def distill(
    model: Family,
    examples: list[Example],
    recipe: Recipe,
    files: Files,
    *,
    about: Mapping[str, Any] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Train a module, or go on where a run was stopped, and write it.

    Args:
        model: the checkpoint whose attention is learnt; it stays as it is.
        examples: questions about images.
        recipe: how.
        files: where to; they are `held`.
        about: what else tells this run from others: the checkpoint, the questions.
        note: takes the log's lines too.

    Raises:
        OutputError: nothing can be written, or a run with other settings was stopped there.
        QuestionError: a question cannot be asked.
        RasterError: an image cannot be read.
        BudgetError: a question and the thumbnail leave no room in the model's context.
        ConfigError: no image would be left to train on.
    """
    trained, held = hold_out(examples, recipe.held_out, recipe.seed)
    reader = Reader(model, recipe.taught_by[-1], recipe.levels, recipe.tiles)
    reader.check(examples)
    student = Student(model, recipe)
    settings = Settings(files.rfm, {**(about or {}), **recipe.to_dict()})
    curve = Curve()
    parts = {
        "settings": settings,
        "curve": curve,
        "rfm": student.rfm,
        "optimizer": student.optimizer,
    }
    stage = Stage(files.checkpoint, recipe.steps, parts, save_every=recipe.save_every)

    def tell(*lines: str) -> None:
        for text in lines:
            files.write_line(text)
            note(text)

    if resume(stage):
        tell(f"goes on at step {stage.step} of {stage.steps}")
    else:
        tell(f"{_described(recipe)}; {len(trained)} questions, {len(held)} held out")
    measured = held or trained
    if curve.before is None:
        curve.before = check(student, measured, reader.read)
        tell("before the first step:", *described_check(curve.before))
    _train(student, Course(trained, recipe.batch, recipe.seed), reader, stage, curve, tell)
    after = check(student, measured, reader.read)
    tell("after the last step:", *described_check(after))
    half = model.model.dtype if model.model.dtype is torch.bfloat16 else torch.float16
    try:
        save_rfm(student.rfm, files.rfm, recipe.layers, half)
    except (OSError, RuntimeError) as error:
        raise unwritable(files.rfm, error) from error
    files.checkpoint.unlink(missing_ok=True)
    tell(f"wrote {files.rfm}")
    return Outcome(
        files.rfm, settings.values, tuple(curve.losses), curve.before, after, bool(held), stage.used
    )


def _train(
    student: Student,
    course: Course,
    reader: Reader,
    stage: Stage,
    curve: Curve,
    tell: Callable[..., None],
) -> None:
    """The steps that are not done yet."""
    begin, first = time.monotonic(), stage.step
    while stage.share < 1.0:
        readings = (
            reader.read(example, (course.seed, 2, stage.step, place))
            for place, example in enumerate(course.take(stage.step))
        )
        curve.losses.append(student.step(readings, stage.pace))
        tick(stage)
        if stage.step % LOG_EVERY == 0 or stage.share >= 1.0:
            recent = Losses.mean(curve.losses[-LOG_EVERY:])
            pace = (time.monotonic() - begin) / (stage.step - first)
            left = (stage.steps - stage.step) * pace
            tell(
                f"step {stage.step:5d} of {stage.steps}  {stage.used:5.0f} s, about {left:.0f} s "
                f"left  {described_losses(recent)} over taught layers"
            )


def _described(recipe: Recipe) -> str:
    pairs = ", ".join(
        f"{pair} from {layer}" for pair, layer in zip(recipe.pairs, recipe.taught_by, strict=True)
    )
    return (
        f"{len(recipe.layers)} layers that start as decoder layers "
        f"{', '.join(map(str, recipe.layers))}; layers taught: {pairs}; losses of steps are "
        "means over the layers taught, those before and after are of the last layer, which is read"
    )


def described_losses(losses: Losses) -> str:
    """One line."""
    return (
        f"loss {losses.total:.4f}  (KL all {losses.whole:.4f}, high-res {losses.local:.4f}, "
        f"MSE {losses.mse:.4f})"
    )


def described_check(found: Check) -> list[str]:
    """Lines: the loss of the layer that is read, and what its best tokens show."""
    lines = [f"{described_losses(found.losses)} of the last layer on {found.questions} questions"]
    return lines + [
        f"  {100 * recall.share:4.1f} % best tokens show of {found.boxes} boxes: "
        f"module {recall.module:.3f}, teacher {recall.teacher:.3f}, chance {recall.chance:.3f}"
        for recall in found.recalls
    ]
