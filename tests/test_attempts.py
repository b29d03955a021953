"""An `auto` budget: more only while the answer changes, and all of it accounted for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from uhrqa import ask
from uhrqa.attempts import Try, Writing, answer_until_stable
from uhrqa.budget import Budget
from uhrqa.conventions import CONVENTIONS, cost_by
from uhrqa.errors import BudgetError
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.strategies import make_strategy


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)


class Speaker:
    """A model that says what it is told to, and is otherwise the one it stands for."""

    def __init__(self, vlm, words) -> None:
        self._vlm, self._words = vlm, iter(words)

    def __getattr__(self, name):
        return getattr(self._vlm, name)

    def generate(self, sequence, max_new_tokens, drops=(), prefix=None):
        written = self._vlm.generate(sequence, max_new_tokens, drops, prefix)
        return replace(written, text=next(self._words))


def tries_of(strategy, scene, model, budget, writing) -> list[Try]:
    steps = answer_until_stable(strategy, scene, model, budget, writing)
    unwritten = next(steps)
    while True:
        try:
            unwritten = steps.send(unwritten.write(model))
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    ("words", "rungs"),
    [
        (["7", "7"], [50, 100]),
        (["7", "8", "8."], [50, 100, 200]),
        (["Yes", "no", "yes", "no"], [50, 100, 200, 400]),
        (["Yes", "yes."], [50, 100]),
    ],
)
def test_it_goes_on_only_while_the_answer_changes(vlm, image, words, rungs) -> None:
    speaker: Any = Speaker(vlm, words)
    scene = Scene(open_raster(image), speaker, "how many?")
    tries = tries_of(
        make_strategy("downsample"), scene, speaker, Budget(400, auto=True), Writing(2)
    )
    assert [entry.held.tokens for entry in tries] == rungs
    assert all(len(entry.selection.tokens) <= entry.held.tokens for entry in tries)


def test_every_attempt_is_paid_for_and_no_tile_is_encoded_twice(vlm, image) -> None:
    auto = ask(image, "how many?", model=Speaker(vlm, "abcd"), budget="auto:400")
    alone = [ask(image, "how many?", model=vlm, budget=entry.budget) for entry in auto.attempts]
    assert [entry.text for entry in auto.attempts] == list("abcd")[: len(alone)]
    assert len(alone) > 1
    for part in ("prefill", "decode"):
        assert getattr(auto.cost, part) == sum(getattr(one.cost, part) for one in alone)
    for part in ("vision", "relevance"):  # the same for all of rfm-dip's budgets, and paid once
        assert {getattr(one.cost, part) for one in alone} == {getattr(auto.cost, part)}
    assert [level.seen for level in auto.counts.levels] == [
        level.seen for level in alone[-1].counts.levels
    ]
    assert auto.counts.kept == alone[-1].counts.kept
    assert auto.to_dict()["attempts"][0] == {
        "budget": auto.attempts[0].budget, "kept": alone[0].counts.kept, "text": "a",
    }  # fmt: skip
    assert all(seconds >= 0 for seconds in auto.seconds.values())


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("strategy", ["downsample", "fastv"])
def test_every_convention_counts_every_attempt(vlm, image, convention, strategy) -> None:
    auto = ask(image, "how many?", model=Speaker(vlm, "abcd"), strategy=strategy, budget="auto:400")
    alone = [
        ask(image, "how many?", model=vlm, strategy=strategy, budget=entry.budget)
        for entry in auto.attempts
    ]
    costs = [
        cost_by(convention, vlm.card.dims, one.counts, one.relevance, one.cost)
        for one in (auto, *alone)
    ]
    for part in ("prefill", "decode"):
        assert getattr(costs[0], part) == sum(getattr(cost, part) for cost in costs[1:])
    assert [entry.kept for entry in auto.attempts] == [one.counts.kept for one in alone]


def test_a_rung_below_the_strategys_least_is_left_out_but_not_the_last(vlm, image) -> None:
    scene = Scene(open_raster(image), vlm, "how many?")
    strategy = make_strategy("rfm-dip")
    least = scene.token_count(scene.pyramid.thumbnail) + 1 + (scene.newline is not None)
    tries = tries_of(strategy, scene, vlm, Budget(2 * least, auto=True), Writing(1))
    assert tries[0].held.tokens == least
    with pytest.raises(BudgetError, match=f"use -b {least} or more"):
        tries_of(strategy, scene, vlm, Budget(least - 1, auto=True), Writing(1))


def test_a_plain_budget_makes_one_attempt_and_tells_of_none(vlm, image) -> None:
    assert ask(image, "how many?", model=vlm, budget=100).attempts == ()
