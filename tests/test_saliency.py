from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from uhrqa.saliency import (
    dominant_and_contextual,
    evenly,
    most_alike,
    neighbours,
    outliers,
)

AXES = torch.eye(3)


def test_the_most_attended_stay_and_others_join_the_centre_their_key_is_like() -> None:
    saliency = torch.tensor([0.1, 0.9, 0.2, 0.8, 0.1, 0.1, 0.1])
    unit = AXES[[0, 0, 1, 1, 0, 1, 0]]  # of the others, 0 2 4 5 6, centres are the 2nd and the 4th
    kept, others, group = dominant_and_contextual(saliency, unit, room=4, contextual=2)
    assert kept.tolist() == [1, 3]
    assert others.tolist() == [0, 2, 4, 5, 6]
    assert evenly(2, 5).tolist() == [1, 3]
    assert group.tolist() == [0, 0, 0, 1, 0]  # all keys: of two equal centres the first one


def test_a_centre_stays_its_own_where_another_is_just_like_it() -> None:
    unit = AXES[[0, 0, 0, 0]]
    _, _, group = dominant_and_contextual(torch.zeros(4), unit, room=3, contextual=2)
    assert sorted(set(group.tolist())) == [0, 1]


def test_without_groups_nothing_is_merged() -> None:
    kept, others, group = dominant_and_contextual(torch.tensor([1.0, 3.0, 2.0]), AXES, 2, 0)
    assert kept.tolist() == [1, 2]
    assert len(others) == len(group) == 0


def test_an_outlier_is_far_above_the_rest_of_its_own_tile() -> None:
    one = [1.0, 2.0, 3.0, 4.0, 100.0]  # quartiles 2 and 4: above 7
    two = [10.0, 20.0, 30.0, 40.0, 69.0]  # quartiles 20 and 40: above 70
    saliency = torch.tensor([one, two]).T.flatten()  # the tiles' tokens lie among each other
    tile = torch.tensor([0, 1]).repeat(5)
    assert outliers(saliency, tile).nonzero().flatten().tolist() == [8]
    assert not outliers(torch.ones(9), torch.zeros(9, dtype=torch.int64)).any()


def test_neighbours_are_the_most_alike_of_the_same_tile_that_are_not_kept() -> None:
    angle = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.05, 1.0])
    unit = torch.stack([angle.cos(), angle.sin()], 1)
    tile = torch.tensor([0, 0, 0, 0, 1, 1])
    member, group = neighbours(unit, tile, torch.tensor([0, 3, 4]), count=1)
    pairs = sorted(zip(group.tolist(), member.tolist(), strict=True))
    assert pairs == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]
    alone, _ = neighbours(unit, tile, torch.tensor([0, 3, 4]), count=0)
    assert alone.tolist() == [0, 3, 4]


def test_similarities_made_in_parts_are_those_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    unit = normalize(torch.randn(9000, 8, generator=generator), dim=1)
    assert torch.equal(most_alike(unit, unit[:50]), (unit @ unit[:50].T).argmax(1))


@given(st.integers(1, 200), st.integers(0, 300))
def test_an_even_sample_has_no_index_twice(count, more) -> None:
    found = evenly(count, count + more)
    assert len(set(found.tolist())) == count
    assert 0 <= int(found[0]) <= int(found[-1]) < count + more
