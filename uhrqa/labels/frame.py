"""What the rules of LRS-VQA say of one labelled image: which objects are told apart, and where.

Source: Luo et al. 2025, supplement A.1. Its numbers of 20 % and 20 px stand in
`uhrqa.synth.references`, its 40 objects in `uhrqa.synth.kinds`: drawn scenes keep them too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from uhrqa.geometry import Box, Size
from uhrqa.labels.objects import Labelled, LabelledImage
from uhrqa.synth.kinds import CROWD, PLACES
from uhrqa.synth.references import Reference, extremes

LEAST = 16.0  # px: a target that fits into a square of this side is too small to be asked about
CROP_BELOW = 400.0  # px: the longer side of targets whose crop is widened
CROP_MARGIN = 400.0  # px: by this much, on every side
CROP_SIDE = 1400.0  # px: what the longer side of a larger target is scaled down to


@dataclass(frozen=True)
class Frame:
    """A labelled image with what can be told of it.

    Attributes:
        image: the labels.
        categories: all that the labels know, in any image.
    """

    image: LabelledImage
    categories: tuple[str, ...]

    @cached_property
    def by_category(self) -> dict[str, tuple[int, ...]]:
        """Indices of the objects of each category that is asked about: clear, and no crowd."""
        found: dict[str, list[int]] = {}
        for index, thing in enumerate(self.image.objects):
            found.setdefault(thing.category, []).append(index)
        return {
            name: tuple(own)
            for name, own in found.items()
            if len(own) <= CROWD and name not in self.image.unclear
        }

    @cached_property
    def absent(self) -> tuple[str, ...]:
        """Categories that the image has none of."""
        held = {thing.category for thing in self.image.objects} | self.image.unclear
        return tuple(name for name in self.categories if name not in held)

    def place(self, index: int) -> str | None:
        """The ninth of the image that an object lies in with all of its box; none on a border."""
        places = self.places(index)
        return next(iter(places)) if len(places) == 1 else None

    def places(self, index: int) -> frozenset[str]:
        """All ninths of the image that an object's box touches."""
        size = self.image.size
        box = self.image.objects[index].box.intersect(Box.whole(size))
        columns = _thirds(box.x0, box.x1, size.w)
        rows = _thirds(box.y0, box.y1, size.h)
        return frozenset(PLACES[3 * row + column] for row in rows for column in columns)

    def references(self, category: str) -> Iterator[Reference]:
        """Every way in which one object of a category can be told from the others.

        Only targets: objects that are easy to recognise and do not fit into 16 x 16 px. They are
        told from all others, the small ones too.
        """
        every = self.by_category.get(category, ())
        if len(every) == 1:
            found = [Reference(every[0], every, "single")]
        else:
            found = [*self._by_place(every), *extremes(self.image.objects, every)]
        yield from (told for told in found if is_target(self.image.objects[told.thing]))

    def _by_place(self, every: tuple[int, ...]) -> Iterator[Reference]:
        for index in every:
            place = self.place(index)
            if place and not any(place in self.places(i) for i in every if i != index):
                yield Reference(index, (index,), "place")


def is_target(thing: Labelled) -> bool:
    """Whether a question may be about an object alone."""
    return thing.is_target and max(thing.box.w, thing.box.h) >= LEAST


def crop_of(thing: Labelled, size: Size) -> tuple[Box, float]:
    """What LRS-VQA cuts out around a target to ask about it, and the scale it is shown at.

    Source: Luo et al. 2025, supplement A.1 (iii). That 400 px are added on each side is our
    reading of "expanded by 400 pixels".
    """
    box, side = thing.box, max(thing.box.w, thing.box.h)
    if side >= CROP_BELOW:
        return box.intersect(Box.whole(size)), min(1.0, CROP_SIDE / side)
    grown = Box(
        box.x0 - CROP_MARGIN, box.y0 - CROP_MARGIN, box.x1 + CROP_MARGIN, box.y1 + CROP_MARGIN
    )
    return grown.intersect(Box.whole(size)), 1.0


def _thirds(low: float, high: float, side: int) -> range:
    """Which thirds of a side a span touches."""
    first = min(2, int(low * 3 / side))
    return range(first, max(first, min(2, math.ceil(high * 3 / side) - 1)) + 1)
