"""Questions about labelled images as LRS-VQA's JSON lines, in a file.

Beside LRS-VQA's keys stand ours, as in the questions of drawn scenes, and of a question about one
unique object `crop` and `crop_scale`: what LRS-VQA would have cut out around it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uhrqa.aside import draft_of
from uhrqa.errors import LabelError, OutputError
from uhrqa.geometry import Box, Size
from uhrqa.labels.asking import Questions
from uhrqa.labels.frame import Frame, crop_of
from uhrqa.labels.objects import Labelled, LabelledImage, Labels
from uhrqa.synth.asking import Question
from uhrqa.synth.benchmark import Balance
from uhrqa.synth.files import json_lines
from uhrqa.synth.lrs_vqa import Target, hbox, record_of

MIN_SIDE = 1024  # px: LRS-VQA's smallest image has this side


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is made of labels.

    Attributes:
        name: of the subset: what stands before the first `_` of each id.
        seed: of choices and wording.
        per_category: questions of a category about one image, at most, and answers balanced over
            all images; all questions there are by default.
        min_side: images with a shorter side are left out, px.
    """

    name: str = "LABELS"
    seed: int = 0
    per_category: int | None = None
    min_side: int = MIN_SIDE


def make_records(labels: Labels, wanted: Wanted, folder: Path) -> list[dict[str, Any]]:
    """Questions about every image that is large enough.

    The same labels and the same seed give the same questions, image by image: other images change
    only which of them are chosen.

    Args:
        labels: with all images.
        wanted: what is made.
        folder: that the records' image paths are relative to.

    Raises:
        LabelError: no image is large enough, or there is nothing to ask.
    """
    large = [(n, i) for n, i in enumerate(labels.images) if min(i.size) >= wanted.min_side]
    if not large:
        most = max((min(image.size) for image in labels.images), default=0)
        raise LabelError(
            f"none of {len(labels.images)} images has a shorter side of {wanted.min_side} px (the "
            f"largest has {most}); add --min-side {most}"
        )
    balance = None if wanted.per_category is None else Balance(wanted.per_category)
    records: list[dict[str, Any]] = []
    for number, image in large:
        seed = (wanted.seed, *Path(image.path).stem.encode())
        asked = Questions(Frame(image, labels.categories), seed).all()
        chosen = asked if balance is None else balance.choose(asked)
        records += _records(image, chosen, f"{wanted.name.replace('_', '-')}_{number:04d}", folder)
    if not records:
        raise LabelError(
            f"nothing to ask about {len(large)} images: each category has more than 40 objects "
            "in each image, or none"
        )
    return records


def _records(
    image: LabelledImage, questions: list[Question], prefix: str, folder: Path
) -> Iterator[dict[str, Any]]:
    path = _relative(image.path, folder)
    for number, question in enumerate(questions):
        things = [image.objects[index] for index in question.things]
        targets = [_target(thing) for thing in things]
        record = record_of(question, targets, image.size, f"{prefix}-{number:03d}", path)
        if question.category in ("position", "category"):
            record |= _crop(things[0], image.size)
        yield record


def _target(thing: Labelled) -> Target:
    corners = [round(value, 1) for point in thing.corners for value in point]
    return Target(_tenths(thing.box), corners, thing.length, thing.area)


def _crop(thing: Labelled, size: Size) -> dict[str, Any]:
    box, scale = crop_of(thing, size)
    return {"crop": hbox(_tenths(box), size), "crop_scale": round(scale, 4)}


def _tenths(box: Box) -> Box:
    """A box as its corners are written: what reckoning adds to 140 px must not make it 141."""
    return Box(*(round(edge, 1) for edge in box))


def _relative(image: str, folder: Path) -> str:
    """An image as seen from a directory, with `/`."""
    try:
        return Path(os.path.relpath(Path(image).resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return Path(image).resolve().as_posix()


def write_records(records: list[dict[str, Any]], path: Path) -> None:
    """Write a file of questions, whole or not at all; one that is there must be the same.

    Raises:
        OutputError: it cannot be written, or another file is there.
    """
    text = json_lines(records).encode()
    try:
        if path.exists():
            if path.read_bytes() == text:
                return
            raise OutputError(f"{path}: is there, and differs; remove it, or name another with -o")
        with draft_of(path) as draft:
            draft.write_bytes(text)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
