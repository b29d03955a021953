"""Questions about a scene, with answers that follow from its vectors.

Every reference is unique: a question names "the ships" only where one site holds ships, a place
only where it is told apart by its cell, and one object among several by `references`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from uhrqa.geometry import Box
from uhrqa.synth import phrases
from uhrqa.synth.kinds import BY_NAME, CROWD, KINDS, PLACES
from uhrqa.synth.references import EXTREMES, Reference, unique_references
from uhrqa.synth.scene import SceneTruth, Site
from uhrqa.synth.wording import Wording

CATEGORIES = (
    "count", "color", "category", "shape", "status", "reasoning", "rural/urban", "background",
    "existence", "position", "comparison", "unknown",
)  # fmt: skip
DETAIL = {"count": 3.5, "color": 3.5, "status": 6.0, "shape": 7.0, "existence": 2.5,
          "comparison": 3.0}  # fmt: skip
"""Apparent object length in px from which a question of a category can be answered."""
CLEARLY = 1.3  # times as many: one kind is "more" than another
UNKNOWN = "unknown"
NO_COLOUR = "swimming pool"  # whose colour is that of water


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


def make_questions(
    scene: SceneTruth, seed: int, suffix: float = 0.0, held_out: bool = False
) -> list[Question]:
    """Some twenty to fifty questions in random order; as many "yes" as "no" on the whole.

    Args:
        scene: a scene.
        seed: of the choice and the wording.
        suffix: share of questions that end with the benchmark's request for a short answer.
        held_out: ask about the strange things that training never asks about.
    """
    asker = _Asker(scene, Wording(np.random.default_rng([2, seed])))
    found = [
        *asker.about_sites(), *asker.about_single(), *asker.counts(), *asker.existences(),
        *asker.comparisons(), asker.rural(), *asker.strange(held_out),
    ]  # fmt: skip
    order = asker.say.rng.permutation(len(found)).tolist()
    return [
        replace(found[index], text=asker.say.dressed(found[index].text, suffix)) for index in order
    ]


class _Asker:
    def __init__(self, scene: SceneTruth, say: Wording) -> None:
        self.scene = scene
        self.say = say
        self.full = [site for site in scene.sites if site.things]
        self.kinds = tuple(dict.fromkeys(site.kind for site in self.full))

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

    def about_sites(self) -> Iterator[Question]:
        """What can be asked of all objects of a site together."""
        for site in self.full:
            alone = sum(other.kind == site.kind for other in self.full) == 1
            at = self.say.whole() if alone and self.say.chance(0.7) else self.say.at(site.place)
            yield from self._looks(site.things, (), self._names(site), at)
            there = self.say.at(site.place)
            text = self.say.say(phrases.CATEGORY, at=there)
            yield self.ask(text, site.kind, "category", site.things)
            text = self.say.say(phrases.REASONING, at=there)
            yield self.ask(text, BY_NAME[site.kind].purpose, "reasoning", site.things)
            if alone:
                one, many = self.say.words(site.kind)
                wording = phrases.POSITION_ONE if len(site.things) == 1 else phrases.POSITION_MANY
                text = self.say.say(wording, one=one, many=many)
                yield self.ask(text, site.place, "position", site.things)

    def _names(self, site: Site) -> tuple[str, bool]:
        """What a site's objects are called, and whether there is only one."""
        one, many = self.say.words(site.kind)
        single = len(site.things) == 1
        return (one if single else many), single

    def about_single(self) -> Iterator[Question]:
        """What can be asked of one object among several."""
        for kind in self.kinds:
            options = [r for r in unique_references(self.scene, kind) if r.by != "single"]
            for index in self.say.rng.permutation(len(options))[:2].tolist():
                told = options[index]
                name, at = self._refer(told)
                yield from self._looks((told.thing,), told.among, (name, True), at)
                site = self.scene.sites[self.scene.things[told.thing].site]
                if told.by != "place":
                    text = self.say.say(phrases.POSITION_ONE, one=name)
                    yield self.ask(text, site.place, "position", (told.thing,), told.among)

    def _refer(self, told: Reference) -> tuple[str, str]:
        """How one object is named, and where it is said to be."""
        thing = self.scene.things[told.thing]
        one, _ = self.say.words(thing.kind)
        if told.by in EXTREMES:
            return f"{self.say.one_of(phrases.EXTREMES[told.by])} {one}", self.say.whole()
        if told.by == "colour":
            return f"{thing.colour} {one}", self.say.whole()
        return one, self.say.at(self.scene.sites[thing.site].place)

    def _looks(
        self, things: Sequence[int], among: Sequence[int], names: tuple[str, bool], at: str
    ) -> Iterator[Question]:
        """Colour, ground, status and shape of objects that are alike in them."""
        name, single = names
        own = [self.scene.things[index] for index in things]
        first, be = own[0], "is" if single else "are"
        surface = self.scene.sites[first.site].surface
        if first.colour in name.split():
            pass
        elif first.kind != NO_COLOUR and len({thing.colour for thing in own}) == 1:
            wording = phrases.COLOUR_ONE if single else phrases.COLOUR_MANY
            text = self.say.say(wording, one=name, many=name, at=at)
            yield self.ask(text, first.colour, "color", things, among)
        if surface != "water":
            text = self.say.say(phrases.BACKGROUND, many=name, at=at)
            if single:
                text = text.replace(f"are the {name}", f"is the {name}")
            yield self.ask(text, surface, "background", things, among)
        if first.state and len({thing.state for thing in own}) == 1:
            states = phrases.STATUS_SHIP if first.kind == "ship" else phrases.STATUS_TANK
            text = self.say.say(states, name=name, be=be, at=at)
            yield self.ask(text, first.state, "status", things, among)
        if first.shape and len({thing.shape for thing in own}) == 1:
            do = "does" if single else "do"
            text = self.say.say(phrases.SHAPE, name=name, be=be, do=do, at=at)
            yield self.ask(text, first.shape, "shape", things, among)

    def counts(self) -> Iterator[Question]:
        """How many of each kind, over the scene, at a place and of a colour; now and then none."""
        for kind in self.kinds:
            every = self.of(kind)
            _, many = self.say.words(kind)
            if len(every) <= CROWD:
                text = self.say.say(phrases.COUNT, many=many)
                yield self.ask(text, str(len(every)), "count", every)
            if kind != NO_COLOUR and len(every) <= CROWD and self.say.chance(0.4):
                colour = self.scene.things[self.say.one_of(every)].colour
                own = [i for i in every if self.scene.things[i].colour == colour]
                text = self.say.say(phrases.COUNT, many=f"{colour} {many}")
                yield self.ask(text, str(len(own)), "count", own, every)
            site = self.say.one_of([site for site in self.full if site.kind == kind])
            if len(site.things) < len(every) or self.say.chance(0.25):
                text = self.say.say(phrases.COUNT, many=many, at=self.say.at(site.place))
                yield self.ask(text, str(len(site.things)), "count", site.things)
        if self.say.chance(0.35):
            kind = self._absent()
            text = self.say.say(phrases.COUNT, many=self.say.words(kind)[1])
            yield self.ask(text, "0", "count", sites=self._empty(kind))

    def _absent(self) -> str:
        """A kind the scene does not hold; often one whose site stands empty."""
        empty = [site.kind for site in self.scene.sites if site.kind not in self.kinds]
        if empty and self.say.chance(0.5):
            return self.say.one_of(empty)
        return self.say.one_of([kind.name for kind in KINDS if kind.name not in self.kinds])

    def _empty(self, kind: str) -> tuple[Site, ...]:
        return tuple(site for site in self.scene.sites if site.kind == kind and not site.things)

    def existences(self) -> Iterator[Question]:
        """Yes/no questions in pairs of one "yes" and one "no"."""
        for _ in range(1 + len(self.full)):
            if self.full:
                yield self._yes(self.say.one_of(self.full))
                yield self._no(self.say.one_of(self.full))
        for site in self.scene.sites:
            if sum(other.kind == site.kind for other in self.scene.sites) > 1:
                continue
            if site.things and self.say.chance(0.8):
                continue  # most sites are not empty; ask so that "yes" is about half
            name = self.say.one_of(phrases.SITES[site.kind])
            text = self.say.say(phrases.EMPTY, site=name, at=self.say.at(site.place))
            empty = () if site.things else (site,)
            answer = "no" if site.things else "yes"
            yield self.ask(text, answer, "existence", site.things, sites=empty)

    def _yes(self, site: Site) -> Question:
        one, many = self.say.words(site.kind)
        things: Sequence[int] = site.things
        among: Sequence[int] = ()
        if site.kind != NO_COLOUR and self.say.chance(0.45):
            colour = self.scene.things[self.say.one_of(things)].colour
            one, many, among = f"{colour} {one}", f"{colour} {many}", things
            things = [i for i in things if self.scene.things[i].colour == colour]
        text = self._exists(one, many, site)
        return self.ask(text, "yes", "existence", things, among)

    def _no(self, site: Site) -> Question:
        """Wrong colour, wrong place, or a kind that is not there."""
        pick = self.say.rng.random()
        one, many = self.say.words(site.kind)
        every = self.of(site.kind)
        seen = {self.scene.things[index].colour for index in every}
        others = [colour for colour in BY_NAME[site.kind].colours if colour not in seen]
        if pick < 0.35 and others and site.kind != NO_COLOUR:
            colour = self.say.one_of(others)
            text = self._exists(f"{colour} {one}", f"{colour} {many}", site)
            return self.ask(text, "no", "existence", every)
        if pick < 0.5:
            held = {other.place for other in self.full if other.kind == site.kind}
            at = self.say.at(self.say.one_of([place for place in PLACES if place not in held]))
            text = self.say.say(phrases.EXISTS, one=one, many=many, at=at)
            return self.ask(text, "no", "existence", every)
        kind = self._absent()
        one, many = self.say.words(kind)
        empty = self._empty(kind)
        text = self._exists(one, many, empty[0] if empty else None)
        return self.ask(text, "no", "existence", sites=empty)

    def _exists(self, one: str, many: str, site: Site | None) -> str:
        pick = self.say.rng.random()
        at = self.say.whole()
        if site is not None and pick < 0.3:
            at = f"in the {self.say.one_of(phrases.SITES[site.kind])}"
        elif site is not None and pick < 0.5:
            at = self.say.at(site.place)
        return self.say.say(phrases.EXISTS, one=one, many=many, at=at)

    def comparisons(self) -> Iterator[Question]:
        """Which kind is more numerous, and which lies further to a side."""
        pairs = [(a, b) for a in self.kinds for b in self.kinds if a != b]
        for index in self.say.rng.permutation(len(pairs))[:3].tolist():
            kinds = pairs[index]
            every = tuple(self.of(kind) for kind in kinds)
            few, most = sorted(len(own) for own in every)
            (_, many), (_, others) = (self.say.words(kind) for kind in kinds)
            if most >= CLEARLY * few:
                first = len(every[0]) > len(every[1])
                if self.say.chance(0.5):
                    text = self.say.say(phrases.MORE, many=many, others=others)
                    answer = "yes" if first else "no"
                else:
                    text = self.say.say(phrases.WHICH_MORE, many=many, others=others)
                    answer = BY_NAME[kinds[0] if first else kinds[1]].plural
                yield self.ask(text, answer, "comparison", (*every[0], *every[1]))
            yield from self._beside(kinds)

    def _beside(self, kinds: tuple[str, str]) -> Iterator[Question]:
        sites = [[site for site in self.full if site.kind == kind] for kind in kinds]
        if any(len(own) > 1 for own in sites):
            return
        (a,), (b,) = sites
        gaps = ((b.x - a.x) / self.scene.size.w, (b.y - a.y) / self.scene.size.h)
        axis = int(self.say.rng.integers(2))
        if abs(gaps[axis]) < 0.15:
            return
        word = self.say.one_of((("left", "right"), ("above", "below"))[axis])
        is_so = (gaps[axis] > 0) == (word in ("left", "above"))
        (name, single), (other, _) = self._names(a), self._names(b)
        be = "is" if single else "are"
        text = self.say.say(phrases.BESIDE[word], name=name, other=other, be=be)
        answer = "yes" if is_so else "no"
        yield self.ask(text, answer, "comparison", (*a.things, *b.things))

    def rural(self) -> Question:
        """Town or country."""
        answer = "urban" if self.scene.is_urban else "rural"
        return self.ask(self.say.say(phrases.RURAL), answer, "rural/urban")

    def strange(self, held_out: bool) -> Iterator[Question]:
        """Questions that the drawn world has no answer to."""
        nouns = phrases.STRANGE_NOUNS_HELD_OUT if held_out else phrases.STRANGE_NOUNS
        whole = phrases.STRANGE_WHOLE_HELD_OUT if held_out else phrases.STRANGE_WHOLE
        for _ in range(2):
            one, many = self.say.strange(nouns)
            known = self.say.words(self.say.one_of(KINDS).name)[1]
            text = self.say.say(phrases.STRANGE, one=one, many=many, known=known)
            yield self.ask(text, UNKNOWN, "unknown")
        if self.say.chance(0.2):
            yield self.ask(self.say.one_of(whole), UNKNOWN, "unknown")
