from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from uhrqa import diversity
from uhrqa.diversity import (
    conditional_dpp,
    farthest_apart,
    least_alike,
    quotas,
    unit_features,
)


def clusters(sizes: list[int], width: int = 16) -> torch.Tensor:
    """Tight groups of directions at right angles to each other."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for index, size in enumerate(sizes):
        centre = torch.zeros(width)
        centre[index] = 1
        parts.append(centre + 0.01 * torch.randn(size, width, generator=generator))
    return normalize(torch.cat(parts), dim=1)


def test_farthest_apart_takes_one_of_each_group_before_a_second_of_any() -> None:
    unit = clusters([30, 2, 9, 1])
    owner = torch.repeat_interleave(torch.arange(4), torch.tensor([30, 2, 9, 1]))
    assert sorted(owner[farthest_apart(unit, 4)].tolist()) == [0, 1, 2, 3]


def test_farthest_apart_is_greedy_max_min() -> None:
    unit = normalize(torch.randn(40, 6, generator=torch.Generator().manual_seed(1)), dim=1)
    chosen = farthest_apart(unit, 12).tolist()
    distance = 1 - unit @ unit.T
    for step in range(1, 12):
        nearest = distance[:, chosen[:step]].min(1).values
        nearest[chosen[:step]] = -1
        assert chosen[step] == int(nearest.argmax())
    assert len(set(chosen)) == 12


def test_a_conditional_dpp_is_greedy_in_the_determinant_of_its_kernel() -> None:
    generator = torch.Generator().manual_seed(2)
    unit = normalize(torch.randn(9, 12, generator=generator), dim=1).double()
    relevance = torch.rand(9, generator=generator).double()
    r = (relevance - relevance.min()) / (relevance.max() - relevance.min())
    kernel = r[:, None] * (unit @ unit.T) * r[None]
    chosen: list[int] = []
    for _ in range(5):
        best = max(
            (i for i in range(9) if i not in chosen),
            key=lambda i: float(torch.linalg.det(kernel[[*chosen, i]][:, [*chosen, i]])),
        )
        chosen.append(best)
    assert conditional_dpp(unit, relevance, 5).tolist() == chosen


def test_of_two_equal_tokens_a_dpp_takes_one_and_a_less_relevant_other() -> None:
    unit = clusters([2, 1, 1])
    unit[1] = unit[0]
    relevance = torch.tensor([0.9, 0.89, 0.5, 0.0])
    assert conditional_dpp(unit, relevance, 2).tolist() == [0, 2]
    assert sorted(conditional_dpp(unit, relevance, 4).tolist()) == [0, 1, 2, 3]  # then by relevance


def test_dart_keeps_its_pivots_and_what_is_least_like_them() -> None:
    unit = clusters([5, 5, 5])
    chosen = least_alike(unit, torch.tensor([0]), 7).tolist()
    assert chosen[0] == 0
    assert not set(chosen[1:]) & {1, 2, 3, 4}
    assert len(set(chosen)) == 7


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 400), st.integers(0, 99)
)
def test_quotas_use_the_room_and_no_part_beyond_its_size(sizes, room, seed) -> None:
    scores = torch.rand(len(sizes), generator=torch.Generator().manual_seed(seed))
    whole = torch.tensor(sizes)
    given_ = quotas(scores, whole, room, 0.1)
    assert int(given_.sum()) == min(room, sum(sizes))
    assert bool(((given_ >= 0) & (given_ <= whole)).all())


def test_quotas_grow_with_the_score() -> None:
    given_ = quotas(torch.tensor([0.1, 0.9, 0.5]), torch.tensor([100, 100, 100]), 60, 0.2)
    assert given_[1] > given_[2] > given_[0]


@pytest.mark.parametrize("width", [40, 1000])
def test_projected_features_keep_their_cosines(width: int) -> None:
    features = torch.randn(50, width, generator=torch.Generator().manual_seed(0))
    unit = unit_features(features, seed=3)
    assert unit.shape == (50, min(width, 256))
    exact = normalize(features, dim=1)
    for a, b in itertools.islice(itertools.combinations(range(50), 2), 200):
        assert abs(float(unit[a] @ unit[b]) - float(exact[a] @ exact[b])) < 0.3
    assert torch.equal(unit, unit_features(features, seed=3))


def test_features_are_projected_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))
    whole = unit_features(features, seed=3)
    monkeypatch.setattr(diversity, "CHUNK", 7)
    assert torch.allclose(unit_features(features, seed=3), whole, atol=1e-6)


def test_features_without_width_are_chosen_as_features_that_are_all_nought() -> None:
    scores = torch.rand(50, generator=torch.Generator().manual_seed(0)).sort().values.flip(0)
    scores = scores[torch.randperm(50, generator=torch.Generator().manual_seed(1))]
    none, nought = torch.empty(50, 0), torch.zeros(50, 1)
    assert torch.equal(conditional_dpp(none, scores, 20), conditional_dpp(nought, scores, 20))
    assert torch.equal(farthest_apart(none, 20), farthest_apart(nought, 20))


def test_choosing_for_a_plan_takes_no_step_a_token() -> None:
    count = 200_000  # a factor of so many rows would not fit any memory
    assert len(conditional_dpp(torch.empty(count, 0), torch.rand(count), count)) == count
    assert len(farthest_apart(torch.empty(count, 0), count)) == count
