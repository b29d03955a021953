"""Names that fit one object of a scene and no other.

Source: Luo et al. 2025, supplement A.1: an object is the "largest" when its area exceeds the next
one's by more than 20 %, and the "right-most" when it lies more than 20 px beyond the next one;
kinds with more than 40 objects are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from uhrqa.synth.kinds import CROWD, NO_COLOUR
from uhrqa.synth.scene import SceneTruth

AREA_GAP = 1.2
SIDE_GAP = 20.0  # source pixels


class Extent(Protocol):
    """What the ends of an order are told by: a drawn object, or one from a file of labels."""

    @property
    def x(self) -> float:
        """Centre, source pixels."""
        ...

    @property
    def y(self) -> float:
        """Centre, source pixels."""
        ...

    @property
    def area(self) -> float:
        """Square source pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """One object and what makes it the only one.

    Attributes:
        thing: its index.
        among: indices of all objects that were compared, itself first.
        by: "single", "place", "colour", or a word of `EXTREMES`.
    """

    thing: int
    among: tuple[int, ...]
    by: str


def unique_references(scene: SceneTruth, kind: str) -> Iterator[Reference]:
    """Every way in which one object of a kind can be told from the others."""
    every = [index for index, thing in enumerate(scene.things) if thing.kind == kind]
    if not 0 < len(every) <= CROWD:
        return
    if len(every) == 1:
        yield Reference(every[0], tuple(every), "single")
        return
    things = scene.things
    for index in every:
        own = things[index]
        places = [scene.sites[things[other].site].place for other in every]
        if places.count(scene.sites[own.site].place) == 1:
            yield Reference(index, (index,), "place")
        if own.kind != NO_COLOUR and sum(things[i].colour == own.colour for i in every) == 1:
            yield _told(index, every, "colour")
    yield from extremes(things, every)


def extremes(things: Sequence[Extent], every: Sequence[int]) -> Iterator[Reference]:
    """The object at each end of each order that is far enough from the next one.

    Args:
        things: all objects.
        every: indices of those that are compared.
    """
    if len(every) < 2:
        return
    for name in EXTREMES:
        found = _extreme(things, every, name)
        if found is not None:
            yield _told(found, every, name)


def _told(index: int, every: Sequence[int], by: str) -> Reference:
    return Reference(index, (index, *(other for other in every if other != index)), by)


EXTREMES = ("largest", "smallest", "left-most", "right-most", "top-most", "bottom-most")


def _extreme(things: Sequence[Extent], every: Sequence[int], name: str) -> int | None:
    """The object at one end of an order, if it is far enough from the next one."""
    if name in ("largest", "smallest"):
        sign = -1 if name == "largest" else 1
        order = sorted(every, key=lambda i: sign * things[i].area)
        first, second = (things[i].area for i in order[:2])
        return order[0] if max(first, second) > AREA_GAP * min(first, second) else None
    axis, sign = {"left-most": (0, 1), "right-most": (0, -1), "top-most": (1, 1),
                  "bottom-most": (1, -1)}[name]  # fmt: skip
    order = sorted(every, key=lambda i: sign * (things[i].x, things[i].y)[axis])
    first, second = ((things[i].x, things[i].y)[axis] for i in order[:2])
    return order[0] if abs(first - second) > SIDE_GAP else None
