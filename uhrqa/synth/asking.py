"""A question with its truth, and what all that ask share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uhrqa.geometry import Box
from uhrqa.synth.scene import SceneTruth, Site
from uhrqa.synth.wording import Wording


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its truth.

    Attributes:
        text: as a user would type it.
        answer: one or two words.
        category: one of `CATEGORIES`.
        boxes: what must be looked at, source pixels, those of `things` first; empty when it is the
            whole scene.
        things: indices of the objects asked about.
        among: indices of other objects that must be seen to tell which those are.
        sites: indices of the sites to look at when there is no such object.
    """

    text: str
    answer: str
    category: str
    boxes: tuple[Box, ...] = ()
    things: tuple[int, ...] = ()
    among: tuple[int, ...] = ()
    sites: tuple[int, ...] = ()


class Asker:
    """A scene, and chances of what is asked about it and in which words.

    Attributes:
        scene: what is asked about.
        say: chances of wording.
        full: sites that hold something.
        kinds: what they hold.
        hidden: kinds that cannot be counted, as the land has more that looks like them: houses
            in a town.
    """

    def __init__(self, scene: SceneTruth, say: Wording) -> None:
        self.scene = scene
        self.say = say
        self.full = [site for site in scene.sites if site.things]
        self.kinds = tuple(dict.fromkeys(site.kind for site in self.full))
        self.hidden = ("house",) if scene.shares.get("town", 0.0) > 0 else ()

    def of(self, kind: str) -> tuple[int, ...]:
        """All objects of a kind."""
        return tuple(i for i, thing in enumerate(self.scene.things) if thing.kind == kind)

    def ask(
        self,
        text: str,
        answer: str,
        category: str,
        things: Sequence[int] = (),
        among: Sequence[int] = (),
        sites: Sequence[Site] = (),
    ) -> Question:
        """A question with the boxes of what it is about."""
        others = tuple(index for index in among if index not in things)
        where = tuple(self.scene.sites.index(site) for site in sites)
        boxes = [self.scene.things[index].box for index in (*things, *others)]
        boxes += [site.box for site in sites]
        return Question(text, answer, category, tuple(boxes), tuple(things), others, where)
