"""DOTA's text files: one an image, one object a line, four corners with a category.

imagesource:GoogleEarth
gsd:0.146
2753.0 2408.0 2861.0 2385.0 2888.0 2468.0 2805.0 2502.0 plane 0
"""

from __future__ import annotations

from pathlib import Path

from uhrqa.errors import LabelError
from uhrqa.labels.images import Images
from uhrqa.labels.objects import (
    Labelled,
    LabelledImage,
    Labels,
    category_of,
    once,
    outline,
    require_inside,
)

HEADS = ("imagesource:", "gsd:")
OTHERS = {
    "{": ("JSON", "--format coco, or geojson"),
    "[": ("JSON", "--format coco"),
    "<": ("XML", "--format fair1m"),
}
"""By its first character: what a file of another format is, and how it is read."""


def read_dota(path: Path, images: Images) -> Labels:
    """The objects of one image; those marked as difficult are no targets.

    Raises:
        LabelError: a line is not of this format, or its object lies outside the image.
        RasterError: the image cannot be opened.
    """
    text = path.read_text("utf-8-sig")
    _require_text(text, path)
    image, size = images.find(path.stem, str(path))
    things = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.strip().lower().startswith(HEADS):
            where = f"{path}: line {number}"
            things.append((require_inside(_object(line.split(), where), size, where), where))
    objects, repeated = once(things)
    found = LabelledImage(str(image), size, objects)
    categories = tuple(sorted({thing.category for thing in objects}))
    return Labels((found,), categories, repeated=repeated)


def _require_text(text: str, path: Path) -> None:
    other = OTHERS.get(text.lstrip()[:1])
    if other is not None:
        raise LabelError(f"{path}: is {other[0]}, and no lines of DOTA; try {other[1]}")


def _object(words: list[str], where: str) -> Labelled:
    if len(words) not in (9, 10):
        raise LabelError(
            f"{where}: has {len(words)} words; write x1 y1 x2 y2 x3 y3 x4 y4 category difficult"
        )
    if len(words) == 10 and words[9] not in ("0", "1", "2"):
        raise LabelError(f"{where}: difficult is '{words[9]}'; write 0 or 1")
    clear = len(words) == 9 or words[9] == "0"
    return Labelled(category_of(words[8], where), outline(words[:8], where), clear)
