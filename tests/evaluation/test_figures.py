"""The figures count what they say they count."""

from __future__ import annotations

import pytest

from tests.evaluation.makers import row
from uhrqa.answer import Evidence
from uhrqa.config import SPLITS
from uhrqa.evaluation import source
from uhrqa.evaluation.figures import (
    Share,
    by_way,
    counting,
    difference,
    interval_over_scenes,
    target_bin,
    way_figures,
)
from uhrqa.evaluation.intervals import wilson
from uhrqa.evaluation.rows import share_found
from uhrqa.evaluation.source import Source
from uhrqa.geometry import Box
from uhrqa.synth.benchmark import benchmark


def count_row(expected: str, said: str):
    return row(expected=expected, said=said, category="count")


@pytest.mark.parametrize(
    ("expected", "said", "right"),
    [
        ("red", " RED ", True),
        ("unknown", "Unknown", True),
        ("unknown", "red", False),
        ("2", "2 ships", False),
        ("2", "", False),
    ],
)
def test_an_answer_is_right_when_it_is_the_truth_but_for_case(expected, said, right) -> None:
    assert row(expected=expected, said=said).right is right


def test_ways_stand_by_budget_and_controls_behind_them() -> None:
    rows = [row("oracle", 0), row("a", 1000), row("blind", 0), row("b", 64), row("a", 64)]
    ways = list(by_way(rows))
    assert ways == [("a", 64), ("a", 1000), ("b", 64), ("blind", 0), ("oracle", 0)]


def test_a_count_that_is_no_number_is_off_by_all_of_it() -> None:
    rows = [count_row("5", "3"), count_row("4", "red"), count_row("12", "12"), count_row("3", "3")]
    found = counting([*rows, row(expected="7", said="1")])  # of another category
    assert found is not None
    assert found.error == (2 + 4 + 0 + 0) / 4
    assert found.few == 3
    assert found.exact == pytest.approx(1 / 3)


def test_a_count_whose_truth_is_unknown_has_no_error() -> None:
    assert counting([count_row("unknown", "3")]) is None
    found = counting([count_row("unknown", "3"), count_row("2", "unknown")])
    assert found is not None
    assert (found.questions, found.error) == (1, 2)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, "no object"),
        (7.99, "<8 px"),
        (8.0, "8-16 px"),
        (16.0, "16-24 px"),
        (24.0, "24-48 px"),
        (47.9, "24-48 px"),
        (48.0, ">=48 px"),
    ],
)
def test_target_sizes_fall_into_half_open_bins(target: float | None, expected: str) -> None:
    assert target_bin(row(target=target)) == expected


def test_the_figures_of_a_way_are_those_of_its_rows() -> None:
    rows = [
        row(scene=0, kept=100, tiles=4, found=1.0),
        row(scene=0, kept=50, tiles=2, found=None, right=False, side=8192),
        row(scene=1, kept=60, tiles=3, found=0.5, target=50.0),
    ]
    figures = way_figures(("rfm-dip", 128), rows)
    assert (figures["right"], figures["questions"]) == (2, 3)
    assert figures["wilson"] == list(wilson(2, 3))
    assert figures["scenes"] == list(interval_over_scenes(rows) or ())
    assert figures["mean"]["found"] == 0.75  # over questions about objects
    assert figures["mean"]["kept"] == 70
    assert figures["by"]["side"]["8192"]["accuracy"] == 0
    assert figures["by"]["target"][">=48 px"] == Share(1, 1).to_dict()
    assert figures["count"] is None
    assert way_figures(("blind", 0), rows)["budget"] is None


def test_the_interval_over_scenes_takes_scenes_as_whole() -> None:
    rows = [row(scene=scene, right=scene == 0) for scene in (0, 1) for _ in range(8)]
    assert interval_over_scenes(rows) == (0.0, 1.0)


def test_an_object_is_found_by_an_unmerged_token_over_its_centre() -> None:
    boxes = (Box(0, 0, 10, 10), Box(100, 100, 110, 110), Box(40, 40, 50, 50))
    over, beside = Box(4, 4, 8, 8), Box(90, 90, 104, 104)
    evidence = [Evidence(over, 1, 0.5, 1), Evidence(beside, 1, 0.5, 1)]
    evidence += [Evidence(Box(0, 0, 200, 200), 1, 0.1, 9)]  # merged: shows nothing alone
    evidence += [Evidence(Box(40, 40, 60, 60), 0, None, 1)]  # thumbnail
    assert share_found(evidence, boxes) == pytest.approx(1 / 3)
    assert share_found(evidence, ()) is None
    assert share_found([], boxes) == 0


def test_the_common_answers_come_from_scenes_that_are_not_asked_about(monkeypatch) -> None:
    asked_of: list[str] = []
    common = Source(3, sides=(1024,)).common(40)
    assert common["existence"] in ("yes", "no")
    assert common["count"].isdigit()

    def spy(scenes: int, split: str, *_: object) -> tuple[()]:
        asked_of.append(split)
        return ()

    monkeypatch.setattr(source, "benchmark", spy)
    for split in SPLITS:
        Source(3, split).common()
    assert asked_of == ["validation", "test"]


def test_no_scene_is_in_two_splits() -> None:
    seeds = [{scene.seed for scene, _ in benchmark(20, split)} for split in ("test", "validation")]
    assert not seeds[0] & seeds[1]


def test_a_source_gives_the_same_questions_every_time_and_no_more_than_asked_for() -> None:
    some = Source(4, sides=(512, 1024), per_category=1)
    first, again = list(some.subjects()), list(some.subjects())
    assert [subject.side for subject in first] == [512, 1024, 512, 1024]
    assert [subject.cases for subject in first] == [subject.cases for subject in again]
    for subject in first:
        categories = [case.category for case in subject.cases]
        assert len(categories) == len(set(categories))


def test_a_difference_pairs_the_questions_that_both_answered() -> None:
    ours = [row(scene=s, question=q, right=q < 2) for s in (0, 1, 2) for q in range(3)]
    theirs = [row("random", scene=s, question=q, right=q < 1) for s in (0, 1) for q in range(2)]
    gap = difference(ours, theirs)
    assert (gap.value, gap.count) == (0.5, 4)
    assert gap.interval == (0.5, 0.5)  # the same in both scenes
    back = difference(theirs, ours)
    assert back.value == -0.5
    assert difference(ours, [row("random", scene=9)]).count == 0
