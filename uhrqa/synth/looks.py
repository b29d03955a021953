"""Questions about how objects look, where they are and what their site is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from uhrqa.synth import phrases
from uhrqa.synth.asking import Asker, Question
from uhrqa.synth.kinds import BY_NAME, NO_COLOUR
from uhrqa.synth.references import EXTREMES, Reference, unique_references
from uhrqa.synth.scene import Site


def about_sites(asker: Asker) -> Iterator[Question]:
    """What can be asked of all objects of a site together."""
    for site in asker.full:
        alone = sum(other.kind == site.kind for other in asker.full) == 1
        at = asker.say.whole() if alone and asker.say.chance(0.7) else asker.say.at(site.place)
        yield from _looks(asker, site.things, (), name_of(asker, site), at)
        there = asker.say.at(site.place)
        text = asker.say.say(phrases.CATEGORY, at=there)
        yield asker.ask(text, site.kind, "category", site.things)
        text = asker.say.say(phrases.REASONING, at=there)
        yield asker.ask(text, BY_NAME[site.kind].purpose, "reasoning", site.things)
        if alone:
            one, many = asker.say.words(site.kind)
            wording = phrases.POSITION_ONE if len(site.things) == 1 else phrases.POSITION_MANY
            text = asker.say.say(wording, one=one, many=many)
            yield asker.ask(text, site.place, "position", site.things)


def name_of(asker: Asker, site: Site) -> tuple[str, bool]:
    """What a site's objects are called, and whether there is only one."""
    one, many = asker.say.words(site.kind)
    single = len(site.things) == 1
    return (one if single else many), single


def about_single(asker: Asker) -> Iterator[Question]:
    """What can be asked of one object among several."""
    for kind in asker.kinds:
        options = [r for r in unique_references(asker.scene, kind) if r.by != "single"]
        for index in asker.say.rng.permutation(len(options))[:2].tolist():
            told = options[index]
            name, at = _refer(asker, told)
            yield from _looks(asker, (told.thing,), told.among, (name, True), at)
            site = asker.scene.sites[asker.scene.things[told.thing].site]
            if told.by != "place":
                text = asker.say.say(phrases.POSITION_ONE, one=name)
                yield asker.ask(text, site.place, "position", (told.thing,), told.among)


def _refer(asker: Asker, told: Reference) -> tuple[str, str]:
    """How one object is named, and where it is said to be."""
    thing = asker.scene.things[told.thing]
    one, _ = asker.say.words(thing.kind)
    if told.by in EXTREMES:
        return f"{asker.say.one_of(phrases.EXTREMES[told.by])} {one}", asker.say.whole()
    if told.by == "colour":
        return f"{thing.colour} {one}", asker.say.whole()
    return one, asker.say.at(asker.scene.sites[thing.site].place)


def _looks(
    asker: Asker, things: Sequence[int], among: Sequence[int], names: tuple[str, bool], at: str
) -> Iterator[Question]:
    """Colour, ground, status and shape of objects that are alike in them."""
    name, single = names
    own = [asker.scene.things[index] for index in things]
    first, be = own[0], "is" if single else "are"
    surface = asker.scene.sites[first.site].surface
    if first.colour in name.split():
        pass
    elif first.kind != NO_COLOUR and len({thing.colour for thing in own}) == 1:
        wording = phrases.COLOUR_ONE if single else phrases.COLOUR_MANY
        text = asker.say.say(wording, one=name, many=name, at=at)
        yield asker.ask(text, first.colour, "color", things, among)
    if surface != "water":
        text = asker.say.say(phrases.BACKGROUND, many=name, at=at)
        if single:
            text = text.replace(f"are the {name}", f"is the {name}")
        yield asker.ask(text, surface, "background", things, among)
    if first.state and len({thing.state for thing in own}) == 1:
        states = phrases.STATUS_SHIP if first.kind == "ship" else phrases.STATUS_TANK
        text = asker.say.say(states, name=name, be=be, at=at)
        yield asker.ask(text, first.state, "status", things, among)
    if first.shape and len({thing.shape for thing in own}) == 1:
        do = "does" if single else "do"
        text = asker.say.say(phrases.SHAPE, name=name, be=be, do=do, at=at)
        yield asker.ask(text, first.shape, "shape", things, among)
