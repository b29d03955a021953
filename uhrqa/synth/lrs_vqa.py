"""Questions in LRS-VQA's own JSON lines, so that every reader of that format reads them.

Beside its keys stand some of ours, which such readers pass over: `target_px`, and `hboxes` and
`rboxes` where a question is about several objects.
"""

from __future__ import annotations

import math
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


def lrs_vqa_record(scene: SceneTruth, question: Question, id_: str, image: str) -> dict[str, Any]:
    """A question as LRS-VQA writes it.

    Args:
        scene: what it is about.
        question: with its truth.
        id_: from `question_id`.
        image: path of the scene's file, relative to the questions'.
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
        "image_size": [scene.size.w, scene.size.h],
    }
    things = [scene.things[index] for index in question.things]
    if things:
        record["target_px"] = round(min(thing.length for thing in things), 1)
    if things and question.category != "count":
        box = things[0].box
        record |= {
            "hbox": hbox(box, scene.size),
            "rbox": rbox(things[0]),
            "abs_size": _absolute(things[0]),
            "size_bin": _bin(box),
        }
    if len(things) > 1 or question.category == "count":
        record["hboxes"] = [hbox(thing.box, scene.size) for thing in things]
        record["rboxes"] = [rbox(thing) for thing in things]
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


def _absolute(thing: Thing) -> str:
    root = math.sqrt(thing.length * thing.width)
    return next((name for most, name in SIZES if root < most), "giant")


def _bin(box: Box) -> str:
    side = max(box.w, box.h)
    fits = next((most for most in BINS if side <= most), None)
    return f"{fits}x{fits}" if fits else f">{BINS[-1]}x{BINS[-1]}"
