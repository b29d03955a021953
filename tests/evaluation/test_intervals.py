"""The intervals are those worked out by hand."""

from __future__ import annotations

import pytest

from uhrqa.evaluation.intervals import scene_bootstrap, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),  # (.5 + .19207 -+ 1.96 sqrt(.025 + .0096)) / 1.38415
        (0, 10, 0.0, 0.2775),  # 3.8415 / (10 + 3.8415)
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Table I
        (1, 29, 0.0061, 0.1718),  # the same
    ],
)
def test_wilson_intervals_are_those_worked_by_hand(right, count, low, high) -> None:
    assert list(wilson(right, count)) == pytest.approx([low, high], abs=5e-5)


def test_scenes_that_are_all_alike_leave_no_doubt() -> None:
    assert scene_bootstrap([(3, 4)] * 5) == (0.75, 0.75)


def test_two_opposite_scenes_leave_all_of_it() -> None:
    """Both draws are the same scene half the time, and a quarter of the time each of them."""
    assert scene_bootstrap([(8, 8), (0, 8)]) == (0.0, 1.0)


def test_questions_of_one_scene_are_not_drawn_apart() -> None:
    """As many questions, as many right: what differs is whether scenes stand or fall as a whole."""
    whole = scene_bootstrap([(10, 10)] * 10 + [(0, 10)] * 10)
    mixed = scene_bootstrap([(5, 10)] * 20)
    assert whole is not None
    assert mixed == (0.5, 0.5)
    # 20 draws of a fair coin: 2.5 % lie at 5 of 20 or below, 97.5 % at 15 or below
    assert list(whole) == pytest.approx([0.3, 0.7], abs=0.06)
    assert whole.high - whole.low > wilson(100, 200).high - wilson(100, 200).low


def test_scenes_weigh_by_their_questions() -> None:
    """50 of 5000 are right; the mean of the scenes' own shares would be a half."""
    interval = scene_bootstrap([(1, 1)] * 50 + [(0, 99)] * 50)
    assert interval is not None
    assert 0.004 < interval.low < 0.01 < interval.high < 0.02


def test_the_bootstrap_depends_on_its_seed_alone() -> None:
    scenes = [(index, 10) for index in range(10)]
    assert scene_bootstrap(scenes, seed=1) == scene_bootstrap(scenes, seed=1)
    assert scene_bootstrap(scenes, seed=1, draws=50) != scene_bootstrap(scenes, seed=2, draws=50)


def test_one_scene_says_nothing_of_how_scenes_differ() -> None:
    assert scene_bootstrap([(3, 4)]) is None
