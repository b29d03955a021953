"""Questions of how many, whether any, and which more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from uhrqa.synth import phrases
from uhrqa.synth.asking import Asker, Question
from uhrqa.synth.kinds import BY_NAME, CROWD, KINDS, NO_COLOUR, PLACES
from uhrqa.synth.looks import name_of
from uhrqa.synth.scene import Site

CLEARLY = 1.3  # times as many: one kind is "more" than another
ASIDE = 0.15  # of the image's side between two sites, one of which lies to a side of the other


def counts(asker: Asker) -> Iterator[Question]:
    """How many of each kind, over the scene, at a place and of a colour; now and then none."""
    for kind in asker.kinds:
        every = asker.of(kind)
        _, many = asker.say.words(kind)
        told = len(every) <= CROWD and kind not in asker.hidden
        if told:
            text = asker.say.say(phrases.COUNT, many=many)
            yield asker.ask(text, str(len(every)), "count", every)
        if told and kind != NO_COLOUR and asker.say.chance(0.4):
            colour = asker.scene.things[asker.say.one_of(every)].colour
            own = [i for i in every if asker.scene.things[i].colour == colour]
            text = asker.say.say(phrases.COUNT, many=f"{colour} {many}")
            yield asker.ask(text, str(len(own)), "count", own, every)
        site = asker.say.one_of([site for site in asker.full if site.kind == kind])
        if len(site.things) < len(every) or asker.say.chance(0.25):
            text = asker.say.say(phrases.COUNT, many=many, at=asker.say.at(site.place))
            yield asker.ask(text, str(len(site.things)), "count", site.things)
    if asker.say.chance(0.35):
        kind = _absent(asker)
        text = asker.say.say(phrases.COUNT, many=asker.say.words(kind)[1])
        yield asker.ask(text, "0", "count", sites=_empty(asker, kind))


def _absent(asker: Asker) -> str:
    """A kind the scene does not hold; often one whose site stands empty."""
    held = {*asker.kinds, *asker.hidden}
    empty = [site.kind for site in asker.scene.sites if site.kind not in held]
    if empty and asker.say.chance(0.5):
        return asker.say.one_of(empty)
    return asker.say.one_of([kind.name for kind in KINDS if kind.name not in held])


def _empty(asker: Asker, kind: str) -> tuple[Site, ...]:
    return tuple(site for site in asker.scene.sites if site.kind == kind and not site.things)


def existences(asker: Asker) -> Iterator[Question]:
    """Yes/no questions in pairs of one "yes" and one "no"."""
    for _ in range(1 + len(asker.full)):
        if asker.full:
            yield _yes(asker, asker.say.one_of(asker.full))
            yield _no(asker, asker.say.one_of(asker.full))
    for site in asker.scene.sites:
        if not _named(asker, site) or site.kind == "bridge":  # no river is "empty"
            continue
        if site.things and asker.say.chance(0.8):
            continue  # most sites are not empty; ask so that "yes" is about half
        name = asker.say.one_of(phrases.SITES[site.kind])
        text = asker.say.say(phrases.EMPTY, site=name, at=asker.say.at(site.place))
        empty = () if site.things else (site,)
        answer = "no" if site.things else "yes"
        yield asker.ask(text, answer, "existence", site.things, sites=empty)


def _named(asker: Asker, site: Site) -> bool:
    """Whether "the harbor" means this site: the only one of its kind, and no roadstead."""
    return sum(other.kind == site.kind for other in asker.scene.sites) == 1 and not site.at_sea


def _yes(asker: Asker, site: Site) -> Question:
    one, many = asker.say.words(site.kind)
    things: Sequence[int] = site.things
    among: Sequence[int] = ()
    if site.kind != NO_COLOUR and asker.say.chance(0.45):
        colour = asker.scene.things[asker.say.one_of(things)].colour
        one, many, among = f"{colour} {one}", f"{colour} {many}", things
        things = [i for i in things if asker.scene.things[i].colour == colour]
    text = _exists(asker, one, many, site)
    return asker.ask(text, "yes", "existence", things, among)


def _no(asker: Asker, site: Site) -> Question:
    """Wrong colour, wrong place, or a kind that is not there."""
    pick = asker.say.rng.random()
    one, many = asker.say.words(site.kind)
    every = asker.of(site.kind)
    seen = {asker.scene.things[index].colour for index in every}
    others = [colour for colour in BY_NAME[site.kind].colours if colour not in seen]
    if pick < 0.35 and others and site.kind not in (NO_COLOUR, *asker.hidden):
        colour = asker.say.one_of(others)
        text = _exists(asker, f"{colour} {one}", f"{colour} {many}", site)
        return asker.ask(text, "no", "existence", every)
    if pick < 0.5:
        held = {other.place for other in asker.full if other.kind == site.kind}
        at = asker.say.at(asker.say.one_of([place for place in PLACES if place not in held]))
        text = asker.say.say(phrases.EXISTS, one=one, many=many, at=at)
        return asker.ask(text, "no", "existence", every)
    kind = _absent(asker)
    one, many = asker.say.words(kind)
    empty = _empty(asker, kind)
    text = _exists(asker, one, many, empty[0] if empty else None)
    return asker.ask(text, "no", "existence", sites=empty)


def _exists(asker: Asker, one: str, many: str, site: Site | None) -> str:
    pick = asker.say.rng.random()
    at = asker.say.whole()
    if site is not None and pick < 0.3 and _named(asker, site):
        at = f"in the {asker.say.one_of(phrases.SITES[site.kind])}"
    elif site is not None and pick < 0.5:
        at = asker.say.at(site.place)
    return asker.say.say(phrases.EXISTS, one=one, many=many, at=at)


def comparisons(asker: Asker) -> Iterator[Question]:
    """Which kind is more numerous, and which lies further to a side."""
    told = [kind for kind in asker.kinds if kind not in asker.hidden]
    pairs = [(a, b) for a in told for b in told if a != b]
    for index in asker.say.rng.permutation(len(pairs))[:3].tolist():
        kinds = pairs[index]
        every = tuple(asker.of(kind) for kind in kinds)
        few, most = sorted(len(own) for own in every)
        (_, many), (_, others) = (asker.say.words(kind) for kind in kinds)
        if most >= CLEARLY * few:
            first = len(every[0]) > len(every[1])
            if asker.say.chance(0.5):
                text = asker.say.say(phrases.MORE, many=many, others=others)
                answer = "yes" if first else "no"
            else:
                many, others = (BY_NAME[kind].plural for kind in kinds)  # one is the answer
                text = asker.say.say(phrases.WHICH_MORE, many=many, others=others)
                answer = many if first else others
            yield asker.ask(text, answer, "comparison", (*every[0], *every[1]))
        yield from _beside(asker, kinds)


def _beside(asker: Asker, kinds: tuple[str, str]) -> Iterator[Question]:
    sites = [[site for site in asker.full if site.kind == kind] for kind in kinds]
    if any(len(own) > 1 for own in sites):
        return
    (a,), (b,) = sites
    gaps = ((b.x - a.x) / asker.scene.size.w, (b.y - a.y) / asker.scene.size.h)
    axis = int(asker.say.rng.integers(2))
    spans = []
    for site in (a, b):
        at = [(asker.scene.things[i].x, asker.scene.things[i].y)[axis] for i in site.things]
        spans.append((min(at), max(at)))
    apart = spans[0][1] < spans[1][0] or spans[1][1] < spans[0][0]
    if abs(gaps[axis]) < ASIDE or not apart:
        return
    word = asker.say.one_of((("left", "right"), ("above", "below"))[axis])
    is_so = (gaps[axis] > 0) == (word in ("left", "above"))
    (name, single), (other, _) = name_of(asker, a), name_of(asker, b)
    be = "is" if single else "are"
    text = asker.say.say(phrases.BESIDE[word], name=name, other=other, be=be)
    answer = "yes" if is_so else "no"
    yield asker.ask(text, answer, "comparison", (*a.things, *b.things))
