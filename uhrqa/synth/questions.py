"""Questions about a scene, with answers that follow from its vectors.

Every reference is unique: a question that names "the ships" is asked only where one site holds
ships, and one that names a place only where that place is told apart by its cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from uhrqa.geometry import Box
from uhrqa.synth import phrases
from uhrqa.synth.kinds import BY_NAME, KINDS, PLACES
from uhrqa.synth.scene import SceneTruth, Site

MOST_COUNTED = 6
CATEGORIES = (
    "count", "color", "category", "shape", "status", "reasoning", "rural/urban", "background",
    "existence", "position",
)  # fmt: skip
DETAIL = {"count": 3.5, "color": 3.5, "status": 6.5, "shape": 7.0, "existence": 2.5}
"""Apparent object length in px from which a question of a category can be answered."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its truth.

    Attributes:
        text: as a user would type it.
        answer: one or two words.
        category: one of `CATEGORIES`.
        boxes: what must be looked at, source pixels; empty when it is the whole scene.
        things: indices of the objects asked about.
        sites: indices of the sites to look at when there is no such object.
    """

    text: str
    answer: str
    category: str
    boxes: tuple[Box, ...] = ()
    things: tuple[int, ...] = ()
    sites: tuple[int, ...] = ()


def make_questions(scene: SceneTruth, seed: int, suffix: float = 0.0) -> list[Question]:
    """Some ten to thirty questions in random order; as many "yes" as "no" within one.

    Args:
        scene: a scene.
        seed: of the choice and the wording.
        suffix: share of questions that end with the benchmark's request for a short answer.
    """
    asker = _Asker(scene, np.random.default_rng([2, seed]))
    found = [*asker.about_sites(), *asker.counts(), *asker.existences(), asker.rural()]
    order = asker.rng.permutation(len(found)).tolist()
    return [asker.dressed(found[index], suffix) for index in order]


class _Asker:
    def __init__(self, scene: SceneTruth, rng: np.random.Generator) -> None:
        self.scene = scene
        self.rng = rng
        self.full = [site for site in scene.sites if site.things]

    def one_of(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def words(self, kind: str) -> tuple[str, str]:
        options = phrases.WORDS[kind]
        return options[int(self.rng.integers(len(options)))]

    def place(self, site: Site) -> str:
        return self.one_of(phrases.AT).format(place=site.place)

    def say(self, options: tuple[str, ...], **parts: str) -> str:
        parts.setdefault("at", self.one_of(phrases.WHOLE))
        text = " ".join(self.one_of(options).format(**parts).split())
        return text.replace(" ?", "?").replace(" .", ".")

    def ask(self, text: str, answer: str, category: str, sites: tuple[Site, ...]) -> Question:
        things = tuple(index for site in sites for index in site.things)
        boxes = tuple(self.scene.things[index].box for index in things)
        empty = tuple(self.scene.sites.index(site) for site in sites if not site.things)
        boxes += tuple(self.scene.sites[index].box for index in empty)
        return Question(text, answer, category, boxes, things, empty)

    def is_alone(self, site: Site) -> bool:
        return sum(other.kind == site.kind for other in self.full) == 1

    def dressed(self, question: Question, suffix: float) -> Question:
        """Capital letter, or not; question mark, or not; the benchmark's suffix, or not."""
        text = question.text
        if self.rng.random() < 0.15:
            text = text.rstrip("?.")
        if self.rng.random() < 0.7:
            text = text[0].upper() + text[1:]
        if self.rng.random() < suffix:
            text = f"{text}{self.one_of((' ', chr(10)))}{phrases.SUFFIX}"
        q = question
        return Question(text, q.answer, q.category, q.boxes, q.things, q.sites)

    def about_sites(self) -> Iterator[Question]:
        """What can be asked of a site that holds something."""
        for site in self.full:
            alone = self.is_alone(site)
            by_place = not alone or self.rng.random() < 0.3
            at = self.place(site) if by_place else self.one_of(phrases.WHOLE)
            yield from self._looks(site, at)
            here = (site,)
            category = self.say(phrases.CATEGORY, at=self.place(site))
            yield self.ask(category, site.kind, "category", here)
            purpose = self.say(phrases.REASONING, at=self.place(site))
            yield self.ask(purpose, BY_NAME[site.kind].purpose, "reasoning", here)
            if alone:
                one, many = self.words(site.kind)
                single = len(site.things) == 1
                wording = phrases.POSITION_ONE if single else phrases.POSITION_MANY
                text = self.say(wording, one=one, many=many)
                yield self.ask(text, site.place, "position", here)

    def _looks(self, site: Site, at: str) -> Iterator[Question]:
        """Colour, ground, status and shape of a site's objects."""
        first = self.scene.things[site.things[0]]
        one, many = self.words(site.kind)
        single = len(site.things) == 1
        name, be = (one, "is") if single else (many, "are")
        here = (site,)
        if site.kind != "swimming pool":
            wording = phrases.COLOUR_ONE if single else phrases.COLOUR_MANY
            yield self.ask(
                self.say(wording, one=one, many=many, at=at), first.colour, "color", here
            )
        if site.surface != "water":
            text = self.say(phrases.BACKGROUND, many=name, at=at)
            yield self.ask(text.replace(f"are the {one}", f"is the {one}") if single else text,
                           site.surface, "background", here)  # fmt: skip
        if first.state:
            states = phrases.STATUS_SHIP if site.kind == "ship" else phrases.STATUS_TANK
            yield self.ask(self.say(states, name=name, be=be, at=at), first.state, "status", here)
        if first.shape:
            yield self.ask(self.say(phrases.SHAPE, name=name, at=at), first.shape, "shape", here)

    def counts(self) -> Iterator[Question]:
        """How many of each kind, over the scene and at a place; now and then none."""
        for site in self.full:
            twins = tuple(other for other in self.full if other.kind == site.kind)
            number = sum(len(other.things) for other in twins)
            _, many = self.words(site.kind)
            if number <= MOST_COUNTED and twins[0] is site:
                yield self.ask(self.say(phrases.COUNT, many=many), str(number), "count", twins)
                if len(twins) == 1 and self.rng.random() < 0.3:
                    colour = self.scene.things[site.things[0]].colour
                    text = self.say(phrases.COUNT, many=f"{colour} {many}")
                    yield self.ask(text, str(number), "count", twins)
            if len(twins) > 1 or self.rng.random() < 0.3:
                text = self.say(phrases.COUNT, many=many, at=self.place(site))
                yield self.ask(text, str(len(site.things)), "count", (site,))
        if self.rng.random() < 0.3:
            kind = self._absent()
            empty = tuple(s for s in self.scene.sites if s.kind == kind)
            text = self.say(phrases.COUNT, many=self.words(kind)[1])
            yield self.ask(text, "0", "count", empty)

    def _absent(self) -> str:
        """A kind the scene does not hold; often one whose site stands empty."""
        held = {site.kind for site in self.full}
        empty = [site.kind for site in self.scene.sites if site.kind not in held]
        if empty and self.rng.random() < 0.5:
            return empty[int(self.rng.integers(len(empty)))]
        rest = [kind.name for kind in KINDS if kind.name not in held]
        return rest[int(self.rng.integers(len(rest)))]

    def existences(self) -> Iterator[Question]:
        """Yes/no questions in pairs of one "yes" and one "no"."""
        for _ in range(1 + len(self.full)):
            if self.full:
                yield self._yes(self.full[int(self.rng.integers(len(self.full)))])
                yield self._no()
        for site in self.scene.sites:
            if sum(other.kind == site.kind for other in self.scene.sites) == 1:
                name = self.one_of(phrases.SITES[site.kind])
                if self.rng.random() < 0.8 and len(site.things) != 0:
                    continue  # most sites are not empty; ask so that "yes" is about half
                text = self.say(phrases.EMPTY, site=name, at=self.place(site))
                answer = "no" if site.things else "yes"
                yield self.ask(text, answer, "existence", (site,))

    def _yes(self, site: Site) -> Question:
        one, many = self.words(site.kind)
        colour = self.scene.things[site.things[0]].colour
        if site.kind != "swimming pool" and self.rng.random() < 0.45:
            one, many = f"{colour} {one}", f"{colour} {many}"
        text = self._exists(one, many, site)
        twins = tuple(other for other in self.full if other.kind == site.kind)
        return self.ask(text, "yes", "existence", twins if len(twins) == 1 else (site,))

    def _no(self) -> Question:
        """Wrong colour, wrong place, or a kind that is not there."""
        pick = self.rng.random()
        site = self.full[int(self.rng.integers(len(self.full)))]
        one, many = self.words(site.kind)
        if pick < 0.35 and self.is_alone(site) and site.kind != "swimming pool":
            own = self.scene.things[site.things[0]].colour
            others = tuple(c for c in BY_NAME[site.kind].colours if c != own)
            colour = self.one_of(others)
            text = self._exists(f"{colour} {one}", f"{colour} {many}", site)
            return self.ask(text, "no", "existence", (site,))
        if pick < 0.5 and self.is_alone(site):
            place = self.one_of(tuple(p for p in PLACES if p != site.place))
            at = self.one_of(phrases.AT).format(place=place)
            text = self.say(phrases.EXISTS, one=one, many=many, at=at)
            return self.ask(text, "no", "existence", (site,))
        kind = self._absent()
        one, many = self.words(kind)
        empty = tuple(s for s in self.scene.sites if s.kind == kind)
        text = self._exists(one, many, empty[0] if empty else None)
        return self.ask(text, "no", "existence", empty)

    def _exists(self, one: str, many: str, site: Site | None) -> str:
        pick = self.rng.random()
        if site is not None and pick < 0.3:
            at = f"in the {self.one_of(phrases.SITES[site.kind])}"
        elif site is not None and pick < 0.5:
            at = self.place(site)
        else:
            at = self.one_of(phrases.WHOLE)
        text = self.say(phrases.EXISTS, one=one, many=many, at=at)
        for vowel in "aeio":  # "a airplane"
            text = text.replace(f" a {vowel}", f" an {vowel}")
        return text

    def rural(self) -> Question:
        answer = "urban" if self.scene.is_urban else "rural"
        return self.ask(self.say(phrases.RURAL), answer, "rural/urban", ())
