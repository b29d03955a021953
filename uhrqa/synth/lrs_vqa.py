"""Questions in LRS-VQA's own JSON lines, so that every reader of that format reads them.

Beside its keys stand some of ours, which such readers pass over: `target_px`, and `hboxes` and
`rboxes` where a question is about several objects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from uhrqa.geometry import Box, Size
from uhrqa.synth.phrases import SUFFIX
from uhrqa.synth.questions import Question
from uhrqa.synth.scene import SceneTruth, Thing

CATEGORIES = {
    "color": "object color", "shape": "object shape", "category": "object category",
    "status": "object status", "background": "object background", "rural/urban": "rural or urban",
}  # fmt: skip
"""LRS-VQA's names where they differ from ours."""
SIZES = ((32, "small"), (96, "medium"), (256, "large"))
"""Square roots of areas in px below which an object is small, medium or large; else giant."""
BINS = (32, 64, 128, 256, 512, 1024)
"""px: the first that the longer side of the upright box fits. LRS-VQA publishes the words of
`abs_size` and `size_bin` and not their bounds: these are ours."""


def question_id(split: str, scene: int, number: int) -> str:
    """`SYNTH-test_0003-012`: LRS-VQA's scorer averages over what stands before the first `_`."""
    return f"SYNTH-{split}_{scene:04d}-{number:03d}"


@dataclass(frozen=True, slots=True)
class Target:
    """An object that is asked about.

    Attributes:
        box: the least upright box around it, source pixels.
        corners: the four of its own box, x and y in turn.
        length: its longer side, source pixels.
        area: of its own box, square source pixels.
    """

    box: Box
    corners: Sequence[float]
    length: float
    area: float


def lrs_vqa_record(scene: SceneTruth, question: Question, id_: str, image: str) -> dict[str, Any]:
    """A question about a drawn scene as LRS-VQA writes it.

    Args:
        scene: what it is about.
        question: with its truth.
        id_: from `question_id`.
        image: path of the scene's file, relative to the questions'.
    """
    things = [scene.things[index] for index in question.things]
    targets = [
        Target(thing.box, rbox(thing), thing.length, thing.length * thing.width) for thing in things
    ]
    return record_of(question, targets, scene.size, id_, image)


def record_of(
    question: Question, targets: Sequence[Target], size: Size, id_: str, image: str
) -> dict[str, Any]:
    """A question as LRS-VQA writes it.

    Args:
        question: with its truth.
        targets: the objects it is about.
        size: of the image.
        id_: of the question.
        image: path of the image, relative to the file of questions.
    """
    text = question.text
    if not text.endswith(SUFFIX):
        text = f"{text}\n {SUFFIX}"
    record: dict[str, Any] = {
        "question_id": id_,
        "image": image,
        "category": CATEGORIES.get(question.category, question.category),
        "text": text,
        "ground_truth": question.answer,
        "image_size": [size.w, size.h],
    }
    if targets:
        record["target_px"] = round(min(target.length for target in targets), 1)
    if targets and question.category != "count":
        first = targets[0]
        record |= {
            "hbox": hbox(first.box, size),
            "rbox": list(first.corners),
            "abs_size": _absolute(first.area),
            "size_bin": _bin(first.box),
        }
    if len(targets) > 1 or question.category == "count":
        record["hboxes"] = [hbox(target.box, size) for target in targets]
        record["rboxes"] = [list(target.corners) for target in targets]
    return record


def hbox(box: Box, size: Size) -> list[int]:
    """An upright box in whole pixels, inside the image: x0, y0, x1, y1."""
    x0, y0 = max(0, math.floor(box.x0)), max(0, math.floor(box.y0))
    return [x0, y0, min(size.w, math.ceil(box.x1)), min(size.h, math.ceil(box.y1))]


def rbox(thing: Thing) -> list[float]:
    """The four corners of an object's own box, x and y in turn."""
    c, s = math.cos(thing.angle), math.sin(thing.angle)
    corners = []
    for u, v in ((-0.5, 0.5), (-0.5, -0.5), (0.5, -0.5), (0.5, 0.5)):
        a, b = u * thing.length, v * thing.width
        corners += [round(thing.x + a * c - b * s, 1), round(thing.y + a * s + b * c, 1)]
    return corners


def _absolute(area: float) -> str:
    root = math.sqrt(area)
    return next((name for most, name in SIZES if root < most), "giant")


def _bin(box: Box) -> str:
    side = max(box.w, box.h)
    fits = next((most for most in BINS if side <= most), None)
    return f"{fits}x{fits}" if fits else f">{BINS[-1]}x{BINS[-1]}"
