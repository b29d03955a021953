"""Questions that are distilled on: read from a file, split by image, put in order.

Whose turn it is depends on seed and step alone, so that a run that goes on takes what an
undisturbed one would have taken. Opens no image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from uhrqa.batch.entries import Place, is_there, read_entries
from uhrqa.errors import ConfigError, QuestionError
from uhrqa.evaluation.file_source import read_boxes
from uhrqa.geometry import Box

SHELF = 32  # images whose questions are mixed: as many as shall be kept encoded
HELD_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Example:
    """A question about an image.

    Attributes:
        where: file and line, for messages.
        place: of the image, a file or an address on a server.
        text: of the question.
        boxes: of the objects asked about, XYXY source pixels; none where the file gives none.
    """

    where: str
    place: Place
    text: str
    boxes: tuple[Box, ...] = ()


def read_examples(path: Path) -> list[Example]:
    """The questions of a file; truths are not needed, boxes are taken where they are.

    Raises:
        QuestionError: the file cannot be read, a line is no question, or its image is missing.
    """
    try:
        lines = path.read_bytes().splitlines()
        entries = read_entries(lines, path.parent)
    except OSError as error:
        raise QuestionError(f"{path}: cannot be read: {error.strerror}") from error
    except QuestionError as error:
        raise QuestionError(f"{path}: {error}") from error
    examples = []
    for entry in entries:
        where = f"{path}: line {entry.line}"
        if entry.error:
            raise QuestionError(f"{path}: {entry.error}")
        if isinstance(entry.place, Path) and not is_there(entry.place):
            raise QuestionError(f"{where}: there is no image {entry.place}")
        row = json.loads(lines[entry.line - 1].decode("utf-8-sig"))
        examples.append(Example(where, entry.place, entry.text, read_boxes(path, entry, row)))
    return examples


def hold_out(
    examples: Sequence[Example], count: int | None, seed: int
) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those of some images to measure on.

    Args:
        examples: of the file.
        count: images to hold out; a tenth, but one where there are two, when None.
        seed: decides which.

    Raises:
        ConfigError: no image would be left to train on.
    """
    images = list(dict.fromkeys(example.place for example in examples))
    least = 1 if len(images) > 1 else 0
    count = max(least, round(HELD_SHARE * len(images))) if count is None else count
    if count >= len(images):
        raise ConfigError(
            f"--held-out {count}: the questions are about {len(images)} images; "
            f"hold out {len(images) - 1} at most"
        )
    order = np.random.default_rng([seed, 0]).permutation(len(images))
    held = {images[index] for index in order[:count]}
    return (
        [example for example in examples if example.place not in held],
        [example for example in examples if example.place in held],
    )


@dataclass
class Course:
    """The order in which examples are taken, epoch after epoch.

    Images are shuffled and taken a shelf at a time, the questions of a shelf are shuffled: no image
    has to be encoded more than once an epoch.
    """

    examples: Sequence[Example] = field(repr=False)
    batch: int
    seed: int
    _order: tuple[int, list[int]] = field(default=(-1, []), init=False, repr=False)

    def take(self, step: int) -> list[Example]:
        """The examples of a step."""
        count = len(self.examples)
        places = range(step * self.batch, (step + 1) * self.batch)
        return [self.examples[self._epoch(place // count)[place % count]] for place in places]

    def _epoch(self, epoch: int) -> list[int]:
        """Indices of all examples in the epoch's order, which is kept until the next."""
        if self._order[0] != epoch:
            self._order = epoch, self._shuffle(epoch)
        return self._order[1]

    def _shuffle(self, epoch: int) -> list[int]:
        rng = np.random.default_rng([self.seed, 1, epoch])
        images: dict[Place, list[int]] = {}
        for index, example in enumerate(self.examples):
            images.setdefault(example.place, []).append(index)
        groups = list(images.values())
        order = rng.permutation(len(groups))
        found: list[int] = []
        for start in range(0, len(groups), SHELF):
            shelf = [index for group in order[start : start + SHELF] for index in groups[group]]
            found += [shelf[place] for place in rng.permutation(len(shelf))]
        return found
