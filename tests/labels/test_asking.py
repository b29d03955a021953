"""Names fit one object by LRS-VQA's numbers, and answers follow from the labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.labels.makers import SIZE, image_of, square
from uhrqa.geometry import Box, Size
from uhrqa.labels.asking import CATEGORIES, Questions
from uhrqa.labels.frame import Frame, crop_of
from uhrqa.labels.objects import Labelled
from uhrqa.synth.asking import Question
from uhrqa.synth.phrases import EXTREMES

NAMES = ("ship", "airplane", "oil tank", "bridge", "harbor")


def told(*things: Labelled, category: str = "ship") -> set[tuple[int, str]]:
    frame = Frame(image_of(*things), NAMES)
    return {(one.thing, one.by) for one in frame.references(category)}


def test_the_largest_is_more_than_a_fifth_larger() -> None:
    pair = square("ship", 300, 300, 100), square("ship", 300, 300, 109)  # areas 1 : 1.188
    assert not told(*pair)
    pair = square("ship", 300, 300, 100), square("ship", 300, 300, 110)  # 1 : 1.21
    assert told(*pair) == {(1, "largest"), (0, "smallest")}


def test_an_end_lies_more_than_20_px_beyond_the_next_one() -> None:
    three = square("ship", 700, 600), square("ship", 750, 600), square("ship", 770, 600)
    assert told(*three) == {(0, "left-most")}
    three = square("ship", 700, 600), square("ship", 750, 600), square("ship", 771, 600)
    assert told(*three) == {(0, "left-most"), (2, "right-most")}


def test_more_than_forty_of_a_category_are_passed_over() -> None:
    row = [square("ship", 40 + 30 * k, 500, 20) for k in range(41)]
    frame = Frame(image_of(*row, square("bridge", 900, 900)), NAMES)
    assert not list(frame.references("ship"))
    asked = Questions(frame, (0,)).all()
    assert asked
    assert not any("ship" in question.text.lower() for question in asked)
    assert told(*row[:40])


def test_a_place_names_the_only_object_that_touches_it() -> None:
    inside, far = square("ship", 100, 100), square("ship", 1400, 1100)
    assert {(0, "place"), (1, "place")} <= told(inside, far)
    beside = square("ship", 510, 100)  # over the border at x = 500
    assert (0, "place") not in told(inside, far, beside)
    assert (2, "place") not in told(inside, far, beside)


def test_places_are_ninths_and_a_border_belongs_to_none() -> None:
    things = (
        square("ship", 480, 380),  # to 500, 400: the very corner of the first ninth
        square("ship", 520, 420),  # from there on
        square("ship", 501, 100),
        square("ship", 1490, 1190),  # beyond the image
    )
    frame = Frame(image_of(*things), NAMES)
    places = [frame.place(index) for index in range(4)]
    assert places == ["top left", "center", None, "bottom right"]
    assert frame.places(2) == {"top left", "top center"}


def test_small_and_difficult_objects_are_compared_but_never_targets() -> None:
    tiny, ship = square("ship", 100, 700, 15.9), square("ship", 200, 700, 16)
    assert told(tiny, ship) == {(1, "right-most")}  # 1.013 times as large: no largest
    assert told(tiny) == set()
    hard = square("ship", 100, 700, 90, is_target=False)
    assert told(hard, ship) == {(1, "right-most"), (1, "smallest")}


def test_a_crop_is_widened_or_scaled() -> None:
    size = Size(5000, 5000)
    assert crop_of(square("ship", 2000, 2000, 100), size) == (Box(1550, 1550, 2450, 2450), 1.0)
    assert crop_of(square("ship", 100, 100, 100), size)[0] == Box(0, 0, 550, 550)
    assert crop_of(square("ship", 2000, 2000, 400), size) == (Box(1800, 1800, 2200, 2200), 1.0)
    box, scale = crop_of(square("ship", 2000, 2000, 2800), size)
    assert (box, scale) == (Box(600, 600, 3400, 3400), 0.5)


def scattered(seed: int) -> Frame:
    """A few objects of some categories."""
    rng = np.random.default_rng(seed)
    things = []
    for name in NAMES[: 2 + seed % 3]:
        for _ in range(int(rng.integers(1, 6))):
            x, y, side = rng.uniform(60, 1440), rng.uniform(60, 1140), rng.uniform(10, 100)
            things.append(square(name, x, y, side))
    if seed % 4 == 0:  # a ship in a harbor
        things += [square("harbor", 700, 600, 300), square("ship", 650, 600, 60)]
    return Frame(image_of(*things), NAMES)


ASKED = [
    (frame, Questions(frame, (1, n)).all()) for n, frame in enumerate(map(scattered, range(60)))
]


def of(category: str) -> list[tuple[Frame, Question]]:
    found = [(f, q) for f, asked in ASKED for q in asked if q.category == category]
    assert len(found) > 20
    return found


def named(text: str, frame: Frame) -> list[str]:
    """Categories in the order a text names them."""
    low = text.lower()
    return sorted((name for name in frame.categories if name in low), key=low.index)


def test_every_category_is_asked_and_worded_in_several_ways() -> None:
    for category in CATEGORIES:
        texts = {question.text.split()[0] for _, question in of(category)}
        assert len(texts) > 2, category


def test_counts_are_those_of_the_whole_image() -> None:
    answers: Counter[str] = Counter()
    for frame, question in of("count"):
        (name,) = named(question.text, frame)
        own = [i for i, thing in enumerate(frame.image.objects) if thing.category == name]
        assert (question.answer, list(question.things)) == (str(len(own)), own)
        answers[question.answer] += 1
    assert answers["0"]


def test_yes_shows_an_object_and_no_has_none_there() -> None:
    answers: Counter[str] = Counter()
    for frame, question in of("existence"):
        (name,) = named(question.text, frame)
        own = [thing for thing in frame.image.objects if thing.category == name]
        place = next((p for p in PLACES_LONGEST if p in question.text), None)
        if place is not None:
            own = [
                thing for i, thing in enumerate(frame.image.objects)
                if thing.category == name and place in frame.places(i)
            ]  # fmt: skip
        assert question.answer == ("yes" if own else "no"), question.text
        answers[question.answer] += 1
    assert answers["no"] > 0.8 * answers["yes"]


PLACES_LONGEST = ("top left", "top center", "top right", "center left", "center right",
                  "bottom left", "bottom center", "bottom right", "center")  # fmt: skip


def test_positions_and_choices_name_the_ninth_of_their_object() -> None:
    for frame, question in of("position"):
        (index,) = question.things
        assert frame.place(index) == question.answer
        assert max(frame.image.objects[index].box.w, frame.image.objects[index].box.h) >= 16
    for frame, question in of("category"):
        (index,) = question.things
        place = next(p for p in PLACES_LONGEST if p in question.text)
        offered = named(question.text, frame)
        assert 2 <= len(offered) <= 3
        there = {
            thing.category
            for i, thing in enumerate(frame.image.objects)
            if place in frame.places(i)
        }
        assert set(offered) & there == {question.answer}
        assert frame.image.objects[index].category == question.answer


def test_comparisons_count() -> None:
    for frame, question in of("comparison"):
        counts = Counter(thing.category for thing in frame.image.objects)
        first, second = named(question.text, frame)
        more = first if counts[first] > counts[second] else second
        wanted = f"{more}s" if question.answer not in ("yes", "no") else None
        assert question.answer == (wanted or ("yes" if more == first else "no"))


LARGER = ("larger than", "bigger than", "more ground")


def test_relations_follow_from_boxes() -> None:
    kinds: Counter[str] = Counter()
    for frame, question in of("relation"):
        text, things = question.text, frame.image.objects
        if "on or inside" in text:
            inner, outer = (
                [t for t in things if t.category == name] for name in named(text, frame)
            )
            held = any(big.covers(small.x, small.y) for small in inner for big in outer)
            assert question.answer == ("yes" if held else "no")
            kinds[f"inside {question.answer}"] += 1
            continue
        a, b = (things[index] for index in question.things)
        if any(word in text for word in LARGER):
            assert question.answer == ("yes" if a.area > b.area else "no"), text
            kinds["size"] += 1
            continue
        truths = {"left of": a.x < b.x, "to the left": a.x < b.x, "left than": a.x < b.x,
                  "right of": a.x > b.x, "to the right": a.x > b.x, "right than": a.x > b.x,
                  "above": a.y < b.y, "higher up": a.y < b.y, "below": a.y > b.y,
                  "lower than": a.y > b.y}  # fmt: skip
        (is_so,) = {truth for word, truth in truths.items() if word in text}
        assert question.answer == ("yes" if is_so else "no"), text
        kinds["side"] += 1
    assert {"inside yes", "inside no", "size", "side"} <= set(kinds)


def test_no_name_is_its_own_answer() -> None:
    for frame, question in of("relation"):
        if "on or inside" in question.text or len(set(named(question.text, frame))) == 2:
            continue
        low = question.text.lower()
        if any(word in low for word in LARGER):
            assert not set(low.split()) & {*EXTREMES["largest"], *EXTREMES["smallest"]}
            continue
        across = any(word in low for word in EXTREMES["left-most"] + EXTREMES["right-most"])
        down = any(word in low for word in EXTREMES["top-most"] + EXTREMES["bottom-most"])
        if " above " in low or " below " in low or "higher up" in low or "lower than" in low:
            assert not down, low
        elif " left " in low or " right " in low:
            assert not across, low


def test_a_crowd_label_leaves_its_category_out() -> None:
    image = replace(image_of(square("ship", 100, 100)), unclear=frozenset({"ship", "bridge"}))
    asked = Questions(Frame(image, NAMES), (0,)).all()
    assert not any(set(named(q.text, Frame(image, NAMES))) & {"ship", "bridge"} for q in asked)


def test_the_same_seed_asks_the_same_and_another_does_not() -> None:
    frame = scattered(3)
    assert Questions(frame, (5,)).all() == Questions(frame, (5,)).all()
    assert Questions(frame, (5,)).all() != Questions(frame, (6,)).all()


def test_an_outline_covers_what_lies_inside_it() -> None:
    corner = Labelled("l", ((0, 0), (9, 0), (9, 3), (3, 3), (3, 9), (0, 9)))
    assert corner.covers(1, 8)
    assert corner.covers(8, 1)
    assert not corner.covers(8, 8)
    assert not corner.covers(-1, 1)
    assert corner.area == pytest.approx(45)
    assert SIZE == (1200, 1500)
