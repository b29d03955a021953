"""The controls are what they say: one sees nothing, one sees all that matters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uhrqa import ask
from uhrqa.errors import BudgetError
from uhrqa.evaluation.controls import NO_CAP, Blind, Oracle
from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Pyramid

PIXELS = np.random.default_rng(0).integers(0, 255, (500, 700, 3), np.uint8)


def ask_with(vlm, control, pixels=PIXELS, **options):
    return ask(pixels, "how many?", model=vlm, strategy=control, budget=NO_CAP, **options)


def finest(vlm):
    card = vlm.card
    return Pyramid.build(Size(500, 700), card.tile, card.level_one_side).finest


def test_blind_sees_no_token_and_reads_no_pixel(vlm) -> None:
    answer = ask_with(vlm, Blind())
    assert (answer.counts.kept, answer.counts.tiles_encoded, answer.bytes_read) == (0, 0, 0)
    assert (answer.evidence, answer.counts.levels) == ((), ())
    assert answer.cost.vision == answer.cost.relevance == 0
    assert answer.cost.prefill > 0
    assert answer.text == ask_with(vlm, Blind(), 255 - PIXELS).text


def test_blind_gives_the_text_that_the_decoder_gives_for_the_prompt_alone(vlm) -> None:
    import torch

    from uhrqa.tokens import VisualTokens

    prompt = vlm.build_prompt("how many?")
    sequence = vlm.assemble(prompt, VisualTokens.empty(vlm.card.dims.decoder.width))
    ids = torch.tensor([[*prompt.before, *prompt.after]])
    assert torch.equal(sequence.embeds, vlm.model.get_input_embeddings()(ids))


def test_the_oracle_keeps_every_token_of_the_finest_tiles_that_touch_the_boxes(vlm) -> None:
    boxes = (Box(10, 10, 20, 20), Box(300, 200, 420, 215))
    level = finest(vlm)
    tiles = set().union(*(level.tiles_in(box) for box in boxes))
    answer = ask_with(vlm, Oracle(boxes))
    kept = [entry for entry in answer.evidence if entry.level == level.index]
    whole = Box.whole(Size(500, 700))
    area = sum(level.box(tile).intersect(whole).w * level.box(tile).intersect(whole).h
               for tile in tiles)  # fmt: skip
    assert len(tiles) > 2  # one for the first box, several for the second
    assert math.isclose(sum(e.box.w * e.box.h for e in kept), area, rel_tol=1e-4)
    assert {entry.level for entry in answer.evidence} == {0, level.index}
    assert answer.counts.tiles_encoded == len(tiles) + 1


def test_the_oracle_shows_level_1_where_nothing_in_particular_is_asked_about(vlm) -> None:
    answer = ask_with(vlm, Oracle())
    assert {entry.level for entry in answer.evidence} == {0, 1}
    tokens = {level.level: level for level in answer.counts.levels}
    assert tokens[1].encoded == tokens[1].tiles


def test_an_oracle_that_the_context_has_no_room_for_is_refused_and_not_cut(vlm) -> None:
    room = vlm.card.context - 200
    with pytest.raises(BudgetError, match="the oracle needs"):
        ask_with(vlm, Oracle((Box(0, 0, 700, 500),)), max_new_tokens=room)
