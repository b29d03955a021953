"""The last stage: examples come from real strategies, and answers are what is learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.questions import make_questions
from uhrqa.training.decoder import Learner
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.practice import (
    Example,
    ExampleMaker,
    answer_logits,
    collate,
    exam,
    practice_step,
    readable_in,
)
from uhrqa.training.progress import Stage
from uhrqa.training.shape import Shape
from uhrqa.training.vocabulary import learn_tokenizer

SMALL = Shape(width=32, vision_layers=1, vision_heads=2, vision_ffn=48, layers=2, heads=4, ffn=48,
              vocabulary=640)  # fmt: skip


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner.fresh(SMALL, 0, learn_tokenizer(0, SMALL.vocabulary))


def made_up(length: int, answer: list[int], seed: int = 0) -> Example:
    embeds = np.random.default_rng(seed).normal(size=(length, 32)).astype(np.float16)
    return Example(embeds, answer, 1.0, "count")


def test_labels_stand_where_the_answer_is_to_be_said(learner: Learner) -> None:
    table = learner.model.get_input_embeddings()
    embeds, mask, labels, weights = collate([made_up(4, [7, 8, 9]), made_up(3, [5])], table)
    assert embeds.shape == (2, 6, 32)
    assert mask.tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert labels.tolist() == [[-100, -100, -100, 7, 8, 9], [-100, -100, 5, -100, -100, -100]]
    assert torch.equal(weights > 0, labels >= 0)
    assert torch.equal(embeds[0, 4:], table(torch.tensor([7, 8])))


def test_padding_changes_no_answer(learner: Learner) -> None:
    short, long = made_up(5, [4, 6]), made_up(11, [9], seed=1)
    with torch.no_grad():
        alone = answer_logits(learner, [short])[0]
        beside = answer_logits(learner, [short, long])[0][:2]
    assert torch.allclose(alone, beside, atol=1e-4)


def test_practice_learns_answers_and_moves_the_layers_alone(
    tmp_path: Path, learner: Learner
) -> None:
    examples = [made_up(6, [number, 0], seed=number) for number in range(10, 14)]
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    stage = Stage(tmp_path / "x.pt", 100, {}, step=10)
    optimizer = LayerOptimizer([learner.decoder.layers])
    losses = [practice_step(learner, optimizer, stage, examples) for _ in range(40)]
    assert losses[-1] < losses[0] - 0.5
    moved = {n for n, v in learner.model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved
    assert all("language_model.layers" in name for name in moved)
    assert 0 <= exam(learner, examples)["all"] <= 1


def test_an_example_is_what_the_model_would_be_asked() -> None:
    maker = ExampleMaker("tiny", seed=0)
    first, again = maker(5), maker(5)
    assert 1 <= len(first) <= 8
    assert all(np.array_equal(a.embeds, b.embeds) for a, b in zip(first, again, strict=True))
    for example in first:
        assert example.embeds.shape[1] == 160
        assert 0 < example.weight <= 1
        assert len(example.answer) >= 2


def test_objects_too_small_to_read_are_told() -> None:
    scene = draw_scene(3, 2048)
    for question in make_questions(scene, 0):
        if question.category == "count" and question.things:
            assert readable_in(scene, question)
            break
    else:
        pytest.fail("no count question")
