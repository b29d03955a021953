"""Batches keep what is asked about, and attention targets point at it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from uhrqa.synth.questions import Question
from uhrqa.training.layout import arrange
from uhrqa.training.packing import pack
from uhrqa.training.views import View
from uhrqa.training.wanted import ASKED_SHARE, SINK_WEIGHT

ASSISTANT = 2


def make_view(kind: str = "fine") -> View:
    """A 2 x 2 thumbnail and a level of 8 x 8; two objects at (1, 1) and (5, 6), one question."""
    rows, cols = (axis.ravel() for axis in np.meshgrid(range(8), range(8), indexing="ij"))
    level = np.array([0] * 4 + [1] * 64)
    spots = [4 + 1 * 8 + 1, 4 + 5 * 8 + 6]
    pairs = np.array(list(enumerate(spots)))
    asked = [Question("how many cars?", "2", "count", things=(0, 1))]
    asked += [Question("is there a ship?", "no", "existence", ())]
    asked += [Question("is it rural?", "rural", "rural/urban", ())]
    return View(
        features=np.random.default_rng(0).normal(size=(68, 6)).astype(np.float16),
        tempting=np.zeros(68, np.float32),
        level=level,
        row=np.concatenate([[0, 0, 1, 1], rows]),
        col=np.concatenate([[0, 1, 0, 1], cols]),
        centre=np.full((68, 2), 0.5, np.float32),
        depth=np.full(68, 3.0, np.float32),
        full={0: 4, 1: 2560},
        scale={0: 0.1, 1: 1.0},
        kind=kind,
        thing_hits=pairs,
        centres=pairs,
        parts=np.concatenate([pairs, [[1, 4 + 5 * 8 + 7]]]),
        part_share=np.array([1.0, 0.6, 0.4], np.float32),
        site_hits=np.zeros((0, 2), np.int64),
        length=np.array([10.0, 12.0]),
        asked=asked,
        ids=[([9, 10, 11], [12, 0]), ([13, 14], [15, 0]), ([16], [17, 18, 0])],
    )


@pytest.mark.parametrize("kind", ["fine", "views"])
@pytest.mark.parametrize("seed", range(12))
def test_tokens_of_objects_asked_about_are_kept_alone_and_found(kind: str, seed: int) -> None:
    view = make_view(kind)
    layout = arrange(view, np.random.default_rng(seed), 3)
    at = layout.chosen.index(0)
    wanted = layout.ground[at].nonzero()[0]
    assert set(wanted) <= set(layout.count[at].nonzero()[0][1:])
    sources = [layout.mix[column - 1].nonzero()[0].tolist() for column in wanted]
    assert sorted(sources) == [[13], [50]]
    assert layout.ground[at].sum() == pytest.approx(1)


def test_the_count_target_leaves_a_fixed_part_on_the_first_token() -> None:
    layout = arrange(make_view(), np.random.default_rng(0), 3)
    row = layout.count[layout.chosen.index(0)]
    assert row[0] == pytest.approx(SINK_WEIGHT / (SINK_WEIGHT + 2))
    assert sorted(row[row > 0][1:]) == pytest.approx([1 / (SINK_WEIGHT + 2)] * 2)


def test_no_object_means_all_attention_on_the_first_token_and_the_whole_scene_means_any() -> None:
    layout = arrange(make_view(), np.random.default_rng(0), 3)
    assert layout.ground[layout.chosen.index(1)][0] == 1
    assert not layout.ground[layout.chosen.index(2)].any()


def test_diluted_tokens_stand_for_all_that_were_dropped() -> None:
    view = make_view()
    layout = arrange(view, np.random.default_rng(1), 3, dilute=1.0)
    biased = layout.bias > 0
    assert np.exp(layout.bias[biased]).sum() == pytest.approx(2560, rel=1e-3)
    assert (np.diff(layout.position) > 0).all()
    assert layout.start > 2500
    plain = arrange(view, np.random.default_rng(1), 3, dilute=0.0)
    assert not plain.bias.any()
    assert plain.position.tolist() == list(range(1, len(plain.position) + 1))


def test_every_row_of_a_level_ends_in_a_separator_when_there_are_any() -> None:
    view = make_view()
    layout = arrange(view, np.random.default_rng(3), 3)
    assert layout.newline.any()
    rows = {(view.level[m.argmax()], view.row[m.argmax()]) for m in layout.mix[layout.visual]}
    assert layout.newline.sum() == len(rows)


def test_merged_tokens_are_means_and_cover_each_kept_token_once() -> None:
    for seed in range(20):
        layout = arrange(make_view("views"), np.random.default_rng(seed), 3)
        sums = layout.mix.sum(1)
        assert np.allclose(sums[~layout.newline], 1)
        assert ((layout.mix > 0).sum(0) <= 1).all()


def test_a_batch_labels_each_answer_token_where_it_must_be_said() -> None:
    view = make_view()
    layout = arrange(view, np.random.default_rng(2), 3)
    batch = pack([view], [layout], ASSISTANT)
    start = 1 + batch.mix.shape[1]
    for (_, at), label, row in zip(batch.answers, batch.labels, batch.of, strict=True):
        _, answer = view.ids[batch.source[int(row)][1]]
        offset = int(at) - int(batch.asks[row, 1])
        assert answer[offset] == int(label)
        said = int(batch.text[0, int(at) - start])
        assert said == (ASSISTANT if offset == 0 else answer[offset - 1])
        assert int(batch.segment[0, at]) == layout.chosen.index(batch.source[int(row)][1]) + 1


def test_padding_belongs_to_no_segment() -> None:
    views = [make_view(), make_view()]
    layouts = [arrange(views[0], np.random.default_rng(s), 3) for s in (0, 5)]
    batch = pack(views, layouts, ASSISTANT)
    used = [1 + len(lay.newline) for lay in layouts]
    for b, count in enumerate(used):
        assert (batch.segment[b, :count] == 0).all()
        assert (batch.segment[b, count : 1 + batch.mix.shape[1]] == -1).all()
    assert batch.position.max() < 4000
    assert math.isfinite(float(batch.bias.sum()))
    assert batch.weight.dtype == torch.float32


def test_a_blind_sample_has_no_visual_token_and_packs_beside_others() -> None:
    views = [make_view(), make_view()]
    seen = arrange(views[0], np.random.default_rng(0), 3)
    blind = arrange(views[1], np.random.default_rng(0), 3, blind=1.0)
    assert len(blind.newline) == 0
    batch = pack(views, [seen, blind], ASSISTANT)
    width = 1 + batch.mix.shape[1]
    assert (batch.segment[1, 1:width] == -1).all()
    assert not batch.ground[len(seen.chosen) :].any()


def test_an_object_told_from_others_gets_most_of_the_attention() -> None:
    view = make_view()
    view.asked[0] = Question("the largest car?", "red", "color", things=(1,), among=(0,))
    layout = arrange(view, np.random.default_rng(0), 3)
    row = layout.ground[layout.chosen.index(0)]
    assert sorted(row[row > 0].tolist()) == pytest.approx([1 - ASKED_SHARE, ASKED_SHARE])
