"""Labelled objects of images, whatever file they come from. Knows no format and asks nothing."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from uhrqa.errors import LabelError
from uhrqa.geometry import Box, Size
from uhrqa.labels.texts import shown

Point = tuple[float, float]
ENTITY = re.compile(r"&(?:#\w+|\w+);")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One object.

    Attributes:
        category: as questions say it.
        points: its outline, source pixels; three or more.
        is_target: whether a question may be about it alone; false where its label says that it is
            hard to recognise.
    """

    category: str
    points: tuple[Point, ...]
    is_target: bool = True

    @property
    def box(self) -> Box:
        """The least upright box around it, source pixels."""
        xs, ys = zip(*self.points, strict=True)
        return Box(min(xs), min(ys), max(xs), max(ys))

    @property
    def x(self) -> float:
        """Middle of its upright box, source pixels."""
        return (self.box.x0 + self.box.x1) / 2

    @property
    def y(self) -> float:
        """Middle of its upright box, source pixels."""
        return (self.box.y0 + self.box.y1) / 2

    @property
    def area(self) -> float:
        """Of its outline, square source pixels."""
        ring = (*self.points, self.points[0])
        return abs(sum(p[0] * q[1] - q[0] * p[1] for p, q in pairwise(ring))) / 2

    @property
    def corners(self) -> tuple[Point, ...]:
        """The four of its own box; of an outline that has not four, those of its upright box."""
        if len(self.points) == 4:
            return self.points
        x0, y0, x1, y1 = self.box
        return (x0, y0), (x1, y0), (x1, y1), (x0, y1)

    @property
    def length(self) -> float:
        """The longer side of its own box, source pixels."""
        corners = self.corners
        return max(math.dist(corners[0], corners[1]), math.dist(corners[1], corners[2]))

    def covers(self, x: float, y: float) -> bool:
        """Whether a point lies inside its outline: a ray to the right crosses it an odd number."""
        inside = False
        for (px, py), (qx, qy) in pairwise((*self.points, self.points[0])):
            if (py > y) != (qy > y) and x < px + (y - py) * (qx - px) / (qy - py):
                inside = not inside
        return inside


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image and all its labelled objects.

    Attributes:
        path: of the image.
        size: of the image.
        objects: in the order of the labels.
        unclear: categories of which nothing is asked, as one label stands for many objects.
    """

    path: str
    size: Size
    objects: tuple[Labelled, ...]
    unclear: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Labels:
    """All that was read.

    Attributes:
        images: in the order of the labels.
        categories: every category there is, in any image, sorted.
        outside: objects left out, as they lie outside their image.
        repeated: records left out, as each says the same as an earlier one.
    """

    images: tuple[LabelledImage, ...]
    categories: tuple[str, ...]
    outside: int = 0
    repeated: tuple[str, ...] = ()


def category_of(name: object, where: str) -> str:
    """A label's category as questions say it: `Small-Vehicle` is "small vehicle".

    HTML entities become what they stand for, those of entities too: `a &amp;amp; b` is "a & b".

    Raises:
        LabelError: it is no text, or an empty one.
    """
    text = name if isinstance(name, str) else ""
    while (plain := ENTITY.sub(lambda found: html.unescape(found[0]), text)) != text:
        text = plain
    text = " ".join(text.replace("_", " ").replace("-", " ").split()).lower()
    if not text:
        raise LabelError(f"{where}: the category is {shown(name)}; give it a name")
    return text


def outline(numbers: Sequence[object], where: str) -> tuple[Point, ...]:
    """Points from numbers x0, y0, x1, y1 and so on.

    Raises:
        LabelError: they are no numbers, or enclose no area.
    """
    try:
        values = [float(number) for number in numbers]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        values = []
    if len(values) < 6 or len(values) % 2 or not all(map(math.isfinite, values)):
        raise LabelError(
            f"{where}: an outline is three or more pairs of numbers x y, not {_short(numbers)}"
        )
    points = tuple(zip(values[::2], values[1::2], strict=True))
    if points[0] == points[-1]:
        points = points[:-1]
    if len(points) < 3 or Labelled("", points).area <= 0:
        raise LabelError(f"{where}: the outline {_short(numbers)} encloses no area; remove it")
    return points


def upright(box: Box) -> tuple[Point, ...]:
    """The outline of an upright box."""
    return (box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)


def require_inside(thing: Labelled, size: Size, where: str) -> Labelled:
    """An object that the image shows at least a part of.

    Raises:
        LabelError: it lies outside.
    """
    if thing.box.intersect(Box.whole(size)).is_empty:
        x0, y0, x1, y1 = (round(edge, 1) for edge in thing.box)
        raise LabelError(
            f"{where}: the object at {x0:g}, {y0:g} to {x1:g}, {y1:g} lies outside the image of "
            f"{size}; check that labels and image belong together"
        )
    return thing


def once(
    things: Iterable[tuple[Labelled, str]],
) -> tuple[tuple[Labelled, ...], tuple[str, ...]]:
    """An image's objects, and the places of records that give one of them again.

    Two objects of one category with the very same outline are one that was written twice.

    Args:
        things: objects, each with its record's place.
    """
    found: dict[tuple[str, tuple[Point, ...]], Labelled] = {}
    repeated = []
    for thing, where in things:
        if found.setdefault((thing.category, thing.points), thing) is not thing:
            repeated.append(where)
    return tuple(found.values()), tuple(repeated)


def _short(numbers: Sequence[object]) -> str:
    text = ", ".join(map(str, numbers[:8]))
    return f"'{text}{', …' if len(numbers) > 8 else ''}'"
