"""Answers follow from the truth, references are unique, yes and no are balanced."""

from __future__ import annotations

from collections import Counter

from uhrqa.synth import draw_scene, held_out, make_questions, phrases
from uhrqa.synth.demo import demo_scene, smallest_px
from uhrqa.synth.kinds import BY_NAME, COLOURS, PLACES, SHAPES, STATES, SURFACES
from uhrqa.synth.questions import CATEGORIES, MOST_COUNTED, Question
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
        assert int(q.answer) == len(q.things) <= MOST_COUNTED
        kinds = {scene.things[index].kind for index in q.things}
        assert kinds <= {kind_in(q.text)}
        if not any(place in q.text for place in PLACES):
            total = sum(thing.kind == kind_in(q.text) for thing in scene.things)
            assert total == len(q.things)


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


def test_a_reference_without_a_place_is_unique() -> None:
    for scene, q in of("color") + of("status") + of("shape") + of("background"):
        if not any(place in q.text for place in PLACES):
            kind = kind_in(q.text)
            sites = [site for site in scene.sites if site.kind == kind and site.things]
            assert len(sites) == 1


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


def test_held_out_scenes_have_seeds_training_never_draws() -> None:
    sets = held_out(7)
    assert all(scene.seed >= 2**31 for scene, _ in sets)
    assert {max(scene.size) for scene, _ in sets} >= {1024, 8192}


def test_the_demonstration_asks_about_something_a_few_pixels_large() -> None:
    scene, questions = demo_scene(0)
    assert min(scene.size) >= 8192
    assert [q.category for q in questions] == ["count", "color", "existence"]
    assert 8 <= smallest_px(scene, questions[2]) <= 14
