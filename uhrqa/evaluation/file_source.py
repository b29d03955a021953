"""Questions from a file in LRS-VQA's JSON lines, as `uhrqa synth` writes them and others do.

A line needs `image`, a question and the truth (`ground_truth`, or `answer`). `category`, `choices`,
`target_px` and boxes (`hbox`, or `hboxes` for several objects: x0, y0, x1, y1 in source pixels) are
used where they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from uhrqa.batch.entries import Entry, read_entries
from uhrqa.batch.stamp import stamp_image
from uhrqa.errors import QuestionError
from uhrqa.evaluation.cases import Case, Subject, most_common
from uhrqa.geometry import Box
from uhrqa.raster import open_raster

ANY = "question"  # category of questions that name none
TRUTHS = ("ground_truth", "answer")


@dataclass(frozen=True)
class FileSource:
    """A file of questions with their truths. Use `read`.

    Attributes:
        path: the file.
        digest: of its content, so that rows of another state do not mix.
        images: cases by image, in the order images first appear.
    """

    path: Path
    digest: str
    images: Mapping[Path | str, tuple[Case, ...]] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> FileSource:
        """Parse the whole file; no image is opened.

        Raises:
            QuestionError: it cannot be read, or a line is no question with a truth.
        """
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise QuestionError(f"{path}: cannot be read: {error.strerror}") from error
        images: dict[Path | str, list[Case]] = {}
        for entry in read_entries(lines, path.parent):
            if entry.error:
                raise QuestionError(f"{path}: {entry.error}")
            row = json.loads(lines[entry.line - 1].decode("utf-8-sig"))
            images.setdefault(entry.place, []).append(_case(path, entry, row))
        digest = hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]
        return cls(path, digest, {image: tuple(cases) for image, cases in images.items()})

    @property
    def scenes(self) -> int:
        """How many images there are."""
        return len(self.images)

    def stamps(self) -> dict[str, str | None]:
        """What tells that an image was replaced, by its path from the file's directory."""
        return {
            image if isinstance(image, str) else os.path.relpath(image, self.path.parent):
            stamp_image(image)
            for image in self.images
        }  # fmt: skip

    def subjects(self) -> Iterator[Subject]:
        """The images in the order they first appear; each is opened for its size.

        Raises:
            RasterError: an image cannot be opened.
        """
        for image, cases in self.images.items():
            with open_raster(image) as raster:
                side = max(raster.size)
            yield Subject(side, cases, partial(open_raster, image))

    def common(self) -> dict[str, str]:
        """The most common answer of each category in the file itself."""
        return most_common(case for cases in self.images.values() for case in cases)


def _case(path: Path, entry: Entry, row: Mapping[str, Any]) -> Case:
    truth = next((row[name] for name in TRUTHS if name in row), None)
    if isinstance(truth, bool) or not isinstance(truth, str | int | float):
        raise QuestionError(f"{path}: line {entry.line}: no truth; give 'ground_truth' as a text")
    things = read_boxes(path, entry, row)
    target = _target(path, entry, row) or min((max(box.w, box.h) for box in things), default=None)
    category = str(row.get("category") or ANY)
    return Case(entry.text, category, str(truth), things, things, target, entry.choices)


def _target(path: Path, entry: Entry, row: Mapping[str, Any]) -> float | None:
    """Length of the shortest object asked about, source pixels, where it is written."""
    value = row.get("target_px")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise QuestionError(
            f"{path}: line {entry.line}: 'target_px' is a length in pixels such as 12.5, "
            f"not {value!r}"
        )
    return float(value)


def read_boxes(path: Path, entry: Entry, row: Mapping[str, Any]) -> tuple[Box, ...]:
    """Boxes of the objects a line asks about; none where it gives none.

    Raises:
        QuestionError: one of them is not four numbers.
    """
    return tuple(_box(path, entry, corners) for corners in _corners(row))


def _corners(row: Mapping[str, Any]) -> list[Any]:
    """The boxes of a line, as written."""
    several = row.get("hboxes")
    if isinstance(several, list):
        return several
    return [row["hbox"]] if row.get("hbox") is not None else []


def _box(path: Path, entry: Entry, corners: Any) -> Box:  # noqa: ANN401 - whatever stands there
    try:
        box = Box(*map(float, corners))
    except (TypeError, ValueError) as error:
        raise QuestionError(
            f"{path}: line {entry.line}: a box is four numbers x0, y0, x1, y1, not {corners!r}"
        ) from error
    if not all(map(math.isfinite, box)) or box.w < 0 or box.h < 0:
        raise QuestionError(
            f"{path}: line {entry.line}: a box is x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, "
            f"not {corners!r}"
        )
    return box
