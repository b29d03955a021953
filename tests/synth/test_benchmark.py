"""The benchmark's answers are balanced, its scenes are apart from training's."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from uhrqa.errors import ConfigError
from uhrqa.synth.benchmark import Balance, answer_bin, benchmark
from uhrqa.synth.questions import Question
from uhrqa.synth.splits import FIRST_SEED, SEEDS, scene_seed

TEST = list(benchmark(40))


def test_splits_share_no_scene() -> None:
    spans = sorted((first, first + SEEDS) for first in FIRST_SEED.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    with pytest.raises(ConfigError, match="use one of"):
        scene_seed("dev", 0)
    with pytest.raises(ConfigError, match="scenes 0 to"):
        scene_seed("train", SEEDS)


def test_there_are_more_than_five_hundred_questions_mostly_about_small_things() -> None:
    assert sum(len(questions) for _, questions in TEST) > 500
    sizes = [
        scene.things[index].length for scene, asked in TEST for q in asked for index in q.things
    ]
    assert sum(size < 24 for size in sizes) / len(sizes) > 0.7
    assert {max(scene.size) for scene, _ in TEST} == {4096, 5792, 8192}


def test_no_answer_of_a_category_is_much_more_common_than_the_others() -> None:
    said: dict[str, Counter[str]] = {}
    for _, asked in TEST:
        for q in asked:
            said.setdefault(q.category, Counter())[answer_bin(q)] += 1
    for category in set(said) - {"unknown"}:
        most = max(said[category].values()) / said[category].total()
        assert most <= 1.6 / len(said[category]), (category, said[category])


def test_an_answer_far_ahead_of_the_others_is_not_asked_for_again() -> None:
    def of(answer: str) -> Question:
        return Question("?", answer, "rural/urban")

    balance = Balance(9)
    assert len(balance.choose([of("rural")] * 9)) == 3  # 3 exceeds the even 1.5 by more than 1
    assert len(balance.choose([of("urban")] * 9)) == 6  # 6 exceeds 4.5


def test_the_same_scenes_and_questions_come_again() -> None:
    again = list(benchmark(3))
    for (a, questions), (b, others) in zip(again, TEST, strict=False):
        assert a.things == b.things
        assert questions == others


def test_a_test_asks_about_strange_things_that_training_does_not() -> None:
    trained = {q.text for _, asked in benchmark(20, "train") for q in asked if not q.boxes}
    tested = [q.text for _, asked in TEST for q in asked if q.category == "unknown"]
    assert len(tested) > 20
    assert not trained & set(tested)
