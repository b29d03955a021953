"""Questions about a labelled image whose answers follow from its labels alone.

Labels tell what there is, where and how large; nothing here asks about colours or states. What is
asked, and how it is worded, is shared with the drawn scenes where they ask the same.

Source: Luo et al. 2025, supplement A.1 (references), A.2 (counts over the whole image) and B.1
(counts; whether a relation holds between two categories).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np

from uhrqa.geometry import Box
from uhrqa.labels.frame import Frame
from uhrqa.synth import phrases
from uhrqa.synth.asking import Question
from uhrqa.synth.kinds import PLACES
from uhrqa.synth.numbers import CLEARLY
from uhrqa.synth.references import AREA_GAP, EXTREMES, SIDE_GAP, Reference
from uhrqa.synth.wording import Wording, plural_of

CATEGORIES = ("count", "existence", "comparison", "position", "category", "relation")
T = TypeVar("T")
PAIRS = 3  # pairs of categories, or of objects, that are asked about in an image, at most
TOLD = 2  # objects of a category that are asked about alone, at most
ENDS = ({"left-most", "right-most"}, {"top-most", "bottom-most"})  # across, and down
CHOICES = 3  # answers that a question offers, at most

INSIDE = (
    "is there a {one} on or inside a {other}?",
    "does any {one} lie on or inside a {other}?",
    "are there {many} on or inside a {other}?",
    "can you see a {one} on or inside a {other}?",
)
LARGER = (
    "is the {name} larger than the {other}?",
    "does the {name} cover more ground than the {other}?",
    "is the {name} bigger than the {other}?",
)
CHOICE = (
    "which of these is {at}: {those}?",
    "what can be seen {at}: {those}?",
    "{those}: which of them is there {at}?",
    "which of these lies {at}: {those}?",
)


class Questions:
    """All that can be asked of an image.

    Args:
        frame: the image.
        seed: of choices and wording.
    """

    def __init__(self, frame: Frame, seed: Sequence[int]) -> None:
        self.frame = frame
        self.things = frame.image.objects
        self.say = Wording(np.random.default_rng([7, *seed]))

    def all(self) -> list[Question]:
        """Every category's, in random order."""
        found = [
            *self._counts(), *self._existences(), *self._comparisons(), *self._choices(),
            *self._positions(), *self._inside(), *self._told_apart(),
        ]  # fmt: skip
        return [found[index] for index in self.say.rng.permutation(len(found)).tolist()]

    def _counts(self) -> Iterator[Question]:
        for name, every in self.frame.by_category.items():
            text = self.say.say(phrases.COUNT, many=plural_of(name))
            yield self._ask(text, str(len(every)), "count", every)
        if self.frame.absent and self.say.chance(0.35):
            text = self.say.say(phrases.COUNT, many=plural_of(self.say.one_of(self.frame.absent)))
            yield self._ask(text, "0", "count")

    def _existences(self) -> Iterator[Question]:
        """As many "no" as "yes", as far as there are categories or places for them."""
        for name, every in self.frame.by_category.items():
            at = self.say.whole()
            if (place := self.frame.place(self.say.one_of(every))) and self.say.chance(0.5):
                at = self.say.at(place)
                every = tuple(i for i in every if place in self.frame.places(i))
            yield self._ask(self._exists(name, at), "yes", "existence", every)
            yield from self._no(name)

    def _no(self, name: str) -> Iterator[Question]:
        """Another category, or another place."""
        every = self.frame.by_category[name]
        touched = {place for index in every for place in self.frame.places(index)}
        free = [place for place in PLACES if place not in touched]
        if self.frame.absent and not (free and self.say.chance(0.5)):
            name = self.say.one_of(self.frame.absent)
            yield self._ask(self._exists(name, self.say.whole()), "no", "existence")
        elif free:
            at = self.say.at(self.say.one_of(free))
            yield self._ask(self._exists(name, at), "no", "existence", every)

    def _exists(self, name: str, at: str) -> str:
        return self.say.say(phrases.EXISTS, one=name, many=plural_of(name), at=at)

    def _comparisons(self) -> Iterator[Question]:
        for a, b in self._pairs(list(self.frame.by_category)):
            every = self.frame.by_category[a], self.frame.by_category[b]
            few, most = sorted(map(len, every))
            if most < CLEARLY * few:
                continue
            first, (many, others) = len(every[0]) > len(every[1]), (plural_of(a), plural_of(b))
            which = self.say.chance(0.5)
            wording = phrases.WHICH_MORE if which else phrases.MORE
            answers = (many, others) if which else ("yes", "no")
            text = self.say.say(wording, many=many, others=others)
            answer = answers[0] if first else answers[1]
            yield self._ask(text, answer, "comparison", (*every[0], *every[1]))

    def _choices(self) -> Iterator[Question]:
        """What lies in a place: one of a few categories, the others of which lie elsewhere."""
        touched = {
            name: {place for index in every for place in self.frame.places(index)}
            for name, every in self.frame.by_category.items()
        }
        for told in self._some("place", "single"):
            place, name = self.frame.place(told.thing), self.things[told.thing].category
            others = [other for other in touched if place and place not in touched[other]]
            others = [*others, *self.frame.absent]
            if place is None or not others:
                continue
            picked = self.say.rng.permutation(len(others))[: CHOICES - 1].tolist()
            names = [name, *(others[index] for index in picked)]
            names = [names[index] for index in self.say.rng.permutation(len(names)).tolist()]
            those = f"{', '.join(names[:-1])} or {names[-1]}"
            text = self.say.say(CHOICE, at=self.say.at(place), those=those)
            yield self._ask(text, name, "category", (told.thing,))

    def _positions(self) -> Iterator[Question]:
        for told in self._some("single", *EXTREMES):
            place = self.frame.place(told.thing)
            if place is not None:
                text = self.say.say(phrases.POSITION_ONE, one=self._named(told))
                yield self._ask(text, place, "position", (told.thing,), told)

    def _inside(self) -> Iterator[Question]:
        """Whether any of one category is on or in one of another, where that is clear."""
        for pair in self._pairs(list(self.frame.by_category)):
            a, b = pair if self.say.chance(0.5) else pair[::-1]
            own, others = self.frame.by_category[a], self.frame.by_category[b]
            held = [(i, j) for i in own for j in others if self._holds(j, i)]
            apart = all(self._gap(i, j) > SIDE_GAP for i in own for j in others)
            if held or apart:
                text = self.say.say(INSIDE, one=a, many=plural_of(a), other=b)
                things = tuple(dict.fromkeys(i for pair in held for i in pair)) or (*own, *others)
                yield self._ask(text, "yes" if held else "no", "relation", things)

    def _told_apart(self) -> Iterator[Question]:
        """Which of two unique objects lies further to a side, and which is larger."""
        told = list(self._some("single", "place", *EXTREMES))
        for a, b in self._pairs(told):
            if a.thing == b.thing:
                continue
            if "place" not in (a.by, b.by):  # a place gives away the side
                yield from self._beside(a, b)
            areas = self.things[a.thing].area, self.things[b.thing].area
            ordered = {"largest", "smallest"} & {a.by, b.by}
            if max(areas) > AREA_GAP * min(areas) and not ordered:
                text = self.say.say(LARGER, name=self._named(a), other=self._named(b))
                yield self._relate(text, areas[0] > areas[1], a, b)

    def _beside(self, a: Reference, b: Reference) -> Iterator[Question]:
        axis = int(self.say.rng.integers(2))
        alike = self.things[a.thing].category == self.things[b.thing].category
        if alike and ENDS[axis] & {a.by, b.by}:  # its name is the answer
            return
        first, second = self.things[a.thing].box, self.things[b.thing].box
        before = first[axis + 2] + SIDE_GAP < second[axis]
        if before or second[axis + 2] + SIDE_GAP < first[axis]:
            word = self.say.one_of((("left", "right"), ("above", "below"))[axis])
            names = {"name": self._named(a), "other": self._named(b)}
            text = self.say.say(phrases.BESIDE[word], be="is", **names)
            yield self._relate(text, before == (word in ("left", "above")), a, b)

    def _relate(self, text: str, is_so: bool, a: Reference, b: Reference) -> Question:
        return self._ask(text, "yes" if is_so else "no", "relation", (a.thing, b.thing), a, b)

    def _some(self, *ways: str) -> Iterator[Reference]:
        """A few references of each category."""
        for name in self.frame.by_category:
            options = [told for told in self.frame.references(name) if told.by in ways]
            for index in self.say.rng.permutation(len(options))[:TOLD].tolist():
                yield options[index]

    def _pairs(self, options: Sequence[T]) -> Iterator[tuple[T, T]]:
        pairs = list(combinations(options, 2))
        for index in self.say.rng.permutation(len(pairs))[:PAIRS].tolist():
            yield pairs[index]

    def _named(self, told: Reference) -> str:
        """How a unique object is called."""
        name = self.things[told.thing].category
        if told.by in EXTREMES:
            return f"{self.say.one_of(phrases.EXTREMES[told.by])} {name}"
        place = self.frame.place(told.thing)
        return f"{name} {self.say.at(place)}" if told.by == "place" and place else name

    def _holds(self, outer: int, inner: int) -> bool:
        return self.things[outer].covers(self.things[inner].x, self.things[inner].y)

    def _gap(self, a: int, b: int) -> float:
        """Between two upright boxes along the axis that parts them more, source pixels."""
        p, q = self.things[a].box, self.things[b].box
        return max(q.x0 - p.x1, p.x0 - q.x1, q.y0 - p.y1, p.y0 - q.y1)

    def _ask(
        self, text: str, answer: str, category: str, things: Sequence[int] = (), *told: Reference
    ) -> Question:
        among = {index for one in told for index in one.among} - set(things)
        boxes: list[Box] = [self.things[index].box for index in (*things, *sorted(among))]
        text = text[0].upper() + text[1:]
        return Question(text, answer, category, tuple(boxes), tuple(things), tuple(sorted(among)))
