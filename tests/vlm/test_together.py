"""Answers written side by side are those of each question alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from tests.families import make_carded
from tests.vlm.test_families import QUESTIONS, image_of, nothing_pruned
from uhrqa import load_model
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.prefix import Prefix
from uhrqa.vlm.sequence import Unanswered
from uhrqa.vlm.together import stacked

NEW = 12


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ours(family: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = make_carded(tmp_path_factory.mktemp("together") / family, family)
    return load_model(str(path), device="cpu")


@pytest.fixture(scope="module")
def sequences(family, ours) -> list:
    return [
        nothing_pruned(ours, image_of(family, seed), question)
        for seed, question in enumerate(QUESTIONS)
    ]


def test_tokens_are_those_of_each_alone(ours, sequences) -> None:
    lengths = {sequence.embeds.shape[1] for sequence in sequences}
    alone = [ours.generate(sequence, NEW) for sequence in sequences]
    found = ours.generate_together([Unanswered(sequence, NEW) for sequence in sequences])
    assert len(lengths) > 1  # so that some are padded
    assert [each.ids for each in found] == [each.ids for each in alone]
    assert [each.text for each in found] == [each.text for each in alone]
    assert [each.steps for each in found] == [each.steps for each in alone]


@pytest.mark.parametrize("number", [None, 0, 1, 2])  # of the sequence whose last new token ends
def test_each_ends_where_it_ends_alone(ours, sequences, monkeypatch, number) -> None:
    if number is not None:
        ids = ours.generate(sequences[number], NEW).ids
        stop = max(ids, key=ids.index)
        monkeypatch.setattr(type(ours._decoding), "stops", frozenset({stop}))
    limits = [NEW, 1, 5]
    alone = [ours.generate(each, most) for each, most in zip(sequences, limits, strict=True)]
    found = ours.generate_together(
        [Unanswered(each, most) for each, most in zip(sequences, limits, strict=True)]
    )
    assert [each.ids for each in found] == [each.ids for each in alone]
    assert [each.steps for each in found] == [each.steps for each in alone]
    assert number is not None or [len(each.ids) for each in found] == limits


def test_what_stands_before_them_is_still_run_once(family, ours) -> None:
    image, prefix = image_of(family, 1), Prefix()
    some = [nothing_pruned(ours, image, question) for question in QUESTIONS]
    alone = [ours.generate(sequence, NEW).ids for sequence in some]
    found = ours.generate_together([Unanswered(each, NEW, prefix) for each in some])
    assert [each.ids for each in found] == alone
    assert [each.held > 0 for each in found] == [False, True, True]


def test_layers_with_a_window_write_one_after_the_other(ours, sequences, monkeypatch) -> None:
    alone = [ours.generate(sequence, NEW).ids for sequence in sequences]
    monkeypatch.setattr(DynamicCache, "is_sliding", [True])
    monkeypatch.setattr("uhrqa.vlm.together.stacked", None)
    found = ours.generate_together([Unanswered(sequence, NEW) for sequence in sequences])
    assert [each.ids for each in found] == alone


def test_time_is_shared_by_passes(ours, sequences) -> None:
    found = ours.generate_together([Unanswered(sequences[0], NEW), Unanswered(sequences[1], 1)])
    assert found[1].decode_seconds == 0
    assert found[0].decode_seconds > 0
    assert all(each.prefill_seconds > 0 for each in found)


def test_no_cache_is_held_twice(ours, sequences) -> None:
    with torch.inference_mode():
        starts = [ours._decoding.prefill(each, (), NEW, None) for each in sequences]
        lengths = [each.embeds.shape[1] for each in sequences]
        together = stacked([start.cache for start in starts], lengths)
    assert [len(start.cache.layers) for start in starts] == [0] * len(starts)
    assert together.get_seq_length() == max(lengths)
