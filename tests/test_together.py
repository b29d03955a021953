"""Several questions at once: each has the answer, tokens and cost that it has alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from uhrqa import Answer, ask
from uhrqa.asker import Asker
from uhrqa.errors import QuestionError, SmallerBatchWarning
from uhrqa.features import FeatureCache
from uhrqa.raster import open_raster
from uhrqa.together import Question, ask_together
from uhrqa.vlm.prefix import Prefix

QUESTIONS: list[Question] = [
    ("how many ships?", ()),
    ("what colour is it?", ("red", "blue")),
    ("rural or urban?", ()),
    ("is there a tank?", ()),
]
SAME = ("text", "counts", "cost", "evidence", "choices", "attempts", "bytes_read")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)


class Watched:
    """A model that counts how many answers it is to write at once."""

    def __init__(self, vlm: Any, room: int = 100, error: Exception | None = None) -> None:
        self._vlm, self._room, self._error = vlm, room, error
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vlm, name)

    def generate_together(self, waiting):
        self.sizes.append(len(waiting))
        if len(waiting) > self._room:
            raise self._error or torch.OutOfMemoryError("CUDA out of memory")
        return self._vlm.generate_together(waiting)


def told(answers: list) -> list[list[object]]:
    return [[getattr(answer, name) for name in SAME] for answer in answers]


def asked(image, model, questions, **how) -> tuple[list, list]:
    """Answers written together, and those of each question alone, tiles shared alike."""
    with open_raster(image) as raster:
        asker = Asker.of(model, features=FeatureCache(), **how)
        together = ask_together(asker, raster, questions)
        features = FeatureCache()
        alone = [
            ask(raster, text, model=model, features=features, choices=some or None, **how)
            for text, some in questions
        ]
    return together, alone


@pytest.mark.parametrize(
    ("strategy", "budget", "sizes"),
    [
        ("rfm-dip", 60, [3]),
        ("downsample", 60, [3]),
        ("fastv", 60, []),  # tokens leave inside the decoder: caches differ from layer to layer
        ("downsample", "auto:200", [3, 3]),
    ],
)
def test_answers_tokens_and_costs_are_those_of_each_alone(
    vlm, image, strategy, budget, sizes
) -> None:
    model: Any = Watched(vlm)
    together, alone = asked(image, model, QUESTIONS, strategy=strategy, budget=budget)
    assert told(together) == told(alone)
    assert model.sizes[: len(sizes)] == sizes


def test_a_question_that_fails_harms_no_other(vlm, image) -> None:
    with open_raster(image) as raster:
        asker = Asker.of(vlm, budget=60)
        found = ask_together(asker, raster, [QUESTIONS[0], ("", ()), QUESTIONS[2]])
    assert isinstance(found[1], QuestionError)
    assert [type(each).__name__ for each in found] == ["Answer", "QuestionError", "Answer"]


def test_where_memory_runs_out_fewer_are_written_at_once(vlm, image) -> None:
    model: Any = Watched(vlm, room=2)
    questions = [QUESTIONS[0], *QUESTIONS[2:], ("where?", ())]
    with pytest.warns(SmallerBatchWarning, match="4 answers written at once"):
        together, alone = asked(image, model, questions, budget=60)
    assert model.sizes == [4, 2, 2]
    assert told(together) == told(alone)


def test_halves_share_the_prefix_that_a_failed_try_left(vlm, image) -> None:
    model: Any = Watched(vlm, room=2)
    questions = [QUESTIONS[0], *QUESTIONS[2:], ("where?", ())]
    asker = Asker.of(model, strategy="downsample", budget=60, prefix=Prefix())
    with open_raster(image) as raster:
        with pytest.warns(SmallerBatchWarning):
            found = ask_together(asker, raster, questions)
        how: Any = {"model": vlm, "strategy": "downsample", "budget": 60}
        alone = [ask(raster, text, **how).text for text, _ in questions]
    assert [answer.text for answer in found if isinstance(answer, Answer)] == alone


def test_what_fails_together_is_tried_by_itself(vlm, image, monkeypatch) -> None:
    model: Any = Watched(vlm, room=0, error=RuntimeError("a mistake of ours"))
    real = type(vlm).generate
    calls: list[int] = []

    def generate(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("a mistake of ours")
        return real(*args)

    monkeypatch.setattr(type(vlm), "generate", generate)
    with open_raster(image) as raster:
        found = ask_together(Asker.of(model, budget=60), raster, QUESTIONS)
    assert sorted(type(each).__name__ for each in found) == ["Answer"] * 3 + ["RuntimeError"]


def test_bad_choices_are_the_fault_of_their_question(vlm, image) -> None:
    with open_raster(image) as raster:
        found = ask_together(Asker.of(vlm, budget=60), raster, [QUESTIONS[0], ("?", ("a", "a"))])
    assert [type(each).__name__ for each in found] == ["Answer", "ConfigError"]


def test_an_answer_that_cannot_be_written_fails_alone(vlm, image, monkeypatch) -> None:
    def choose(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(vlm), "choose", choose)
    with open_raster(image) as raster:
        found = ask_together(Asker.of(vlm, budget=60), raster, QUESTIONS)
    assert [type(each).__name__ for each in found] == ["Answer", "MemoryError", "Answer", "Answer"]
