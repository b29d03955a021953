"""Answers follow from the truth, references are unique, yes and no are balanced."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from uhrqa.synth import draw_scene, make_questions, phrases
from uhrqa.synth.clutter import CLUTTER
from uhrqa.synth.demo import demo_scene, smallest_px
from uhrqa.synth.kinds import BY_NAME, COLOURS, CROWD, PLACES, SHAPES, STATES, SURFACES
from uhrqa.synth.questions import CATEGORIES, Question
from uhrqa.synth.references import unique_references
from uhrqa.synth.scene import SceneTruth

PAIRS = [(draw_scene(seed, 3000), seed) for seed in range(120)]
ASKED = [(scene, q) for scene, seed in PAIRS for q in make_questions(scene, seed)]


def of(category: str) -> list[tuple[SceneTruth, Question]]:
    return [(scene, q) for scene, q in ASKED if q.category == category]


def kind_in(text: str) -> str:
    """The kind a question names, by its longest word for one."""
    words = [(w, kind) for kind, ways in phrases.WORDS.items() for way in ways for w in way]
    found = [(w, kind) for w, kind in words if f" {w}" in f" {text.lower()}"]
    return max(found, key=lambda pair: len(pair[0]))[1]


def test_every_category_is_asked() -> None:
    assert {q.category for _, q in ASKED} == set(CATEGORIES)


def test_a_seed_gives_the_same_questions() -> None:
    scene = draw_scene(8, 3000)
    assert make_questions(scene, 1) == make_questions(scene, 1)
    assert make_questions(scene, 1) != make_questions(scene, 2)


def test_a_count_is_the_number_of_objects_it_points_at() -> None:
    for scene, q in of("count"):
        assert int(q.answer) == len(q.things) <= CROWD
        kinds = {scene.things[index].kind for index in q.things}
        assert kinds <= {kind_in(q.text)}
        if not any(place in q.text for place in PLACES):
            colours = [c for c in COLOURS if f" {c} " in f" {q.text.lower()} "]
            total = sum(
                thing.kind == kind_in(q.text) and (not colours or thing.colour == colours[0])
                for thing in scene.things
            )
            assert total == len(q.things), q.text


def test_counts_reach_from_none_to_crowds() -> None:
    numbers = {int(q.answer) for _, q in of("count")}
    assert set(range(9)) <= numbers
    assert max(numbers) > 30


def test_colour_state_shape_and_ground_are_those_of_the_objects() -> None:
    for category, words, read in (
        ("color", COLOURS, lambda thing, site: thing.colour),
        ("status", STATES, lambda thing, site: thing.state),
        ("shape", SHAPES, lambda thing, site: thing.shape),
        ("background", SURFACES, lambda thing, site: site.surface),
        ("category", BY_NAME, lambda thing, site: thing.kind),
        ("position", PLACES, lambda thing, site: site.place),
        ("reasoning", None, lambda thing, site: BY_NAME[site.kind].purpose),
    ):
        rows = of(category)
        assert rows, category
        for scene, q in rows:
            for index in q.things:
                thing = scene.things[index]
                assert q.answer == read(thing, scene.sites[thing.site])
            assert words is None or q.answer in words


def test_the_answer_would_differ_if_another_object_were_meant_only_where_one_is_named() -> None:
    """Questions about all of a kind hold for all; those about one name it uniquely."""
    ends = [word for words in phrases.EXTREMES.values() for word in words]
    for scene, q in of("color") + of("status") + of("shape") + of("background"):
        text = q.text.lower()
        kind = kind_in(text)
        every = {i for i, thing in enumerate(scene.things) if thing.kind == kind}
        if any(word in text for word in ends) or any(f" {colour} " in text for colour in COLOURS):
            assert len(q.things) == 1
        elif not any(place in text for place in PLACES):
            assert set(q.things) == every


def test_one_object_is_named_by_the_rules_of_lrs_vqa() -> None:
    found: Counter[str] = Counter()
    for scene, _ in PAIRS:
        for kind in BY_NAME:
            every = [thing for thing in scene.things if thing.kind == kind]
            for told in unique_references(scene, kind):
                found[told.by] += 1
                own = scene.things[told.thing]
                others = [thing for thing in every if thing is not own]
                if told.by == "largest":
                    assert own.area > 1.2 * max(thing.area for thing in others)
                if told.by == "left-most":
                    assert own.x < min(thing.x for thing in others) - 20
                if told.by == "bottom-most":
                    assert own.y > max(thing.y for thing in others) + 20
                if told.by == "colour":
                    assert own.colour not in {thing.colour for thing in others}
                if told.by in phrases.EXTREMES:
                    assert set(told.among) == {i for i, t in enumerate(scene.things) if t in every}
    assert set(found) == {"single", "place", "colour", *phrases.EXTREMES}


def test_a_crowd_beyond_forty_names_nobody() -> None:
    scene = next(scene for scene, _ in PAIRS if scene.things)
    thing = scene.things[0]
    many = tuple(replace(thing, x=100.0 * k, length=10.0 + k) for k in range(41))
    assert not list(unique_references(replace(scene, things=many), thing.kind))
    assert list(unique_references(replace(scene, things=many[:40]), thing.kind))


def test_yes_has_an_object_of_the_kind_and_no_has_none() -> None:
    for scene, q in of("existence"):
        text = q.text.lower()
        if "empty" in text or "unoccupied" in text:
            assert (q.answer == "yes") == (not q.things)
            continue
        kind = kind_in(text.split(" in the ")[0].split(" at the ")[0])
        colours = [c for c in COLOURS if f" {c} " in text.split(" in the ")[0]]
        places = [p for p in PLACES if f"in the {p}" in text or f"at the {p}" in text]
        place = max(places, key=len, default=None)
        found = [
            thing
            for thing in scene.things
            if thing.kind == kind
            and (not colours or thing.colour == colours[0])
            and (place is None or scene.sites[thing.site].place == place)
        ]
        assert (q.answer == "yes") == bool(found), q.text


def test_an_l_is_smaller_than_the_rectangle_around_it() -> None:
    scene = next(scene for scene, _ in PAIRS if scene.things)
    house = replace(scene.things[0], kind="house", shape="rectangular", length=20.0)
    ell = replace(house, shape="l-shaped")
    assert house.area == pytest.approx(20 * 14)
    assert ell.area == pytest.approx(20 * 16 * 0.75)


def test_houses_are_not_counted_where_a_town_has_more_of_them() -> None:
    words = [word for way in phrases.WORDS["house"] for word in way]
    for scene, q in of("count") + of("comparison"):
        if scene.shares.get("town", 0) > 0 and not any(place in q.text for place in PLACES):
            asked = q.text.lower().replace("left", "").split()
            assert "more" not in q.text or not set(words) & {w.strip("?.,") for w in asked}
            if q.category == "count":
                assert kind_in(q.text) != "house"


def test_a_site_is_named_only_where_there_is_one_of_its_kind() -> None:
    checked = 0
    for scene, q in of("existence"):
        for kind, names in phrases.SITES.items():
            if any(f"the {name}" in q.text.lower() for name in names):
                sites = [site for site in scene.sites if site.kind == kind]
                assert len(sites) == 1, q.text
                assert not sites[0].at_sea
                checked += 1
    assert checked > 50


def test_which_there_are_more_of_is_answered_in_the_question_s_own_words() -> None:
    plurals = {kind.plural for kind in BY_NAME.values()}
    rows = [q for _, q in of("comparison") if q.answer in plurals]
    assert rows
    assert all(q.answer in q.text.lower() for q in rows)


def test_more_means_clearly_more() -> None:
    plurals = {kind.plural: kind.name for kind in BY_NAME.values()}
    checked = 0
    for scene, q in of("comparison"):
        if q.answer in plurals:
            counts = Counter(thing.kind for thing in scene.things)
            kinds = {scene.things[index].kind for index in q.things}
            (other,) = kinds - {plurals[q.answer]}
            assert counts[plurals[q.answer]] >= 1.3 * counts[other]
            checked += 1
    assert checked > 20


def test_strange_things_have_no_answer_and_the_held_out_ones_are_others() -> None:
    assert all(q.answer == "unknown" and not q.boxes for _, q in of("unknown"))
    assert not set(phrases.STRANGE_NOUNS) & set(phrases.STRANGE_NOUNS_HELD_OUT)
    assert not set(phrases.STRANGE_WHOLE) & set(phrases.STRANGE_WHOLE_HELD_OUT)
    known = {word for ways in phrases.WORDS.values() for way in ways for word in way} | set(CLUTTER)
    assert not {*phrases.SYLLABLES[0]} & {*phrases.SYLLABLES_HELD_OUT[0]}
    assert not known & {*phrases.STRANGE_NOUNS, *phrases.STRANGE_NOUNS_HELD_OUT}


def test_yes_and_no_are_balanced() -> None:
    counts = Counter(q.answer for _, q in of("existence"))
    assert 0.44 < counts["yes"] / counts.total() < 0.56


def test_rural_and_urban_follow_the_land() -> None:
    for scene, q in of("rural/urban"):
        rural = scene.shares.get("farm", 0) + scene.shares.get("forest", 0)
        assert (q.answer == "urban") == (scene.shares.get("town", 0) > rural)


def test_boxes_hold_the_objects() -> None:
    for scene, q in ASKED:
        for index, box in zip(q.things, q.boxes, strict=False):
            thing = scene.things[index]
            assert box.x0 < thing.x < box.x1
            assert box.y0 < thing.y < box.y1


def test_the_suffix_is_there_when_asked_for() -> None:
    scene = PAIRS[0][0]
    assert all(q.text.endswith(phrases.SUFFIX) for q in make_questions(scene, 0, suffix=1.0))
    assert not any(phrases.SUFFIX in q.text for q in make_questions(scene, 0, suffix=0.0))


def test_the_demonstration_asks_about_something_a_few_pixels_large() -> None:
    truths = set()
    for seed in range(6):
        scene, questions = demo_scene(seed)
        assert min(scene.size) >= 8192
        assert [q.category for q in questions] == ["count", "color", "existence"]
        truths.add(questions[2].answer)
        if questions[2].answer == "yes":
            assert 8 <= smallest_px(scene, questions[2]) <= 16
        else:
            assert questions[2].boxes
            assert not questions[2].things
    assert truths == {"yes", "no"}
