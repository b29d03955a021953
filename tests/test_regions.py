"""Regions: partitions that depend on nothing but their arguments."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from uhrqa import points, regions
from uhrqa.points import means
from uhrqa.regions import grid_regions, kmeans_regions, kmeans_rounds


def raster_grid(side: int) -> Tensor:
    """`[side^2, 2]` cell centres in [0, 1], raster order."""
    line = (torch.arange(side) + 0.5) / side
    return torch.stack([line.repeat(side), line.repeat_interleave(side)], dim=1)


def noise(n: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def same_partition(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a[:, None] == a, b[:, None] == b)


def plain_lloyd(points: Tensor, start: Tensor, iterations: int) -> Tensor:
    """The textbook, one point at a time, in float64."""
    points = points.double()
    middles = points[start].clone()
    labels = torch.stack([(p - middles).square().sum(1).argmin() for p in points])
    for _ in range(iterations):
        for j in range(len(middles)):
            if (labels == j).any():
                middles[j] = points[labels == j].mean(0)
        labels = torch.stack([(p - middles).square().sum(1).argmin() for p in points])
    return labels


@pytest.mark.parametrize("iterations", [0, 1, 3, 10])
def test_kmeans_is_lloyd_on_unit_features_and_weighted_places(iterations: int) -> None:
    features, place = noise(100, 6), raster_grid(10)
    labels = kmeans_regions(features, place, 7, seed=3, iterations=iterations)
    unit = features / features.norm(dim=1, keepdim=True)
    points = torch.cat([unit, 0.05 * place], dim=1)
    start = torch.randperm(100, generator=torch.Generator().manual_seed(3))[:7].sort().values
    assert same_partition(labels, plain_lloyd(points, start, iterations))


def test_length_of_a_feature_does_not_matter() -> None:
    features, place = noise(64, 5), raster_grid(8)
    scaled = features * torch.logspace(-2, 2, 64)[:, None]
    expected = kmeans_regions(features, place, 6, seed=1)
    assert torch.equal(kmeans_regions(scaled, place, 6, seed=1), expected)


def test_three_kinds_of_token_become_three_regions() -> None:
    kind = torch.arange(90) % 3
    features = torch.eye(3)[kind] + 0.01 * noise(90, 3)
    place = torch.full((90, 2), 0.5)
    found = [kmeans_regions(features, place, 3, seed=s) for s in range(20)]
    assert any(torch.equal(labels, kind) for labels in found)  # a start may fall in one kind


def test_place_decides_between_equal_features() -> None:
    # Two tile-like halves with the same content: image coordinates tell them apart.
    features = torch.ones(64, 4)
    labels = kmeans_regions(features, raster_grid(8), 2, seed=0, iterations=50)
    sides = [raster_grid(8)[labels == i] for i in (0, 1)]
    assert max(float(side.std(0).min()) for side in sides) < 0.2  # each about half as wide
    assert min(len(side) for side in sides) >= 24


def test_without_weight_place_does_not_matter() -> None:
    features = noise(64, 4)
    here = kmeans_regions(features, raster_grid(8), 5, seed=0, coord_weight=0)
    there = kmeans_regions(features, raster_grid(8).flip(0), 5, seed=0, coord_weight=0)
    assert torch.equal(here, there)


def test_no_features_leaves_places_alone() -> None:
    labels = kmeans_regions(torch.empty(400, 0), raster_grid(20), 16, seed=0)
    assert labels.max() == 15
    assert int(labels.bincount().min()) >= 4


def test_an_empty_region_keeps_its_middle_and_gets_no_label() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(10, 1)
    labels = kmeans_regions(features, torch.full((20, 2), 0.5), 5, seed=0)
    assert labels.tolist() == [0, 1] * 10


def test_an_empty_region_can_win_tokens_back() -> None:
    sums = torch.tensor([[1.0], [0.0], [10.0]])
    middles = torch.tensor([[0.5], [4.0], [10.0]])
    labels = torch.tensor([0, 0, 2])
    assert means(sums, labels, middles).tolist() == [[0.5], [4.0], [10.0]]


def test_same_seed_same_labels_whatever_the_global_state() -> None:
    features, place = noise(144, 8), raster_grid(12)
    torch.manual_seed(1)
    first = kmeans_regions(features, place, 9, seed=5)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(kmeans_regions(features, place, 9, seed=5), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(kmeans_regions(features, place, 9, seed=6), first)


def test_distances_in_parts_are_the_distances_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, place = noise(400, 8), raster_grid(20)
    whole = kmeans_regions(features, place, 12, seed=0)
    monkeypatch.setattr(points, "CELLS", 12 * 37)
    assert torch.equal(kmeans_regions(features, place, 12, seed=0), whole)


def test_no_more_than_a_part_of_the_distances_is_held() -> None:
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            largest = max([largest] + [o.numel() for o in [out] if isinstance(o, Tensor)])
            return out

    n, k = 30_000, 1_000  # 30 M distances
    with Watch():
        kmeans_regions(noise(n, 2), torch.rand(n, 2), k, seed=0, iterations=1)
    assert largest <= points.CELLS


def test_inputs_are_left_alone() -> None:
    features, place = noise(64, 4), raster_grid(8)
    copies = features.clone(), place.clone()
    kmeans_regions(features, place, 5, seed=0)
    grid_regions(place, 5)
    assert torch.equal(features, copies[0])
    assert torch.equal(place, copies[1])


@pytest.mark.parametrize("k", [5, 6, 1000])
def test_as_many_regions_as_tokens_or_more_gives_each_its_own(k: int) -> None:
    labels = kmeans_regions(torch.ones(5, 3), torch.zeros(5, 2), k, seed=0)
    assert labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("k", [0, -1])
def test_no_regions_at_all_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="ask for 1 or more"):
        kmeans_regions(torch.ones(5, 3), torch.zeros(5, 2), k, seed=0)
    with pytest.raises(ValueError, match="ask for 1 or more"):
        grid_regions(torch.zeros(5, 2), k)


def test_half_precision_features_that_require_grad_are_taken() -> None:
    features = noise(64, 4).bfloat16().requires_grad_()
    labels = kmeans_regions(features, raster_grid(8), 4, seed=0)
    assert labels.dtype == torch.int64
    assert len(labels) == 64


def test_grid_of_four_is_the_four_quarters() -> None:
    labels = grid_regions(raster_grid(4), 4).reshape(4, 4)
    assert labels.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_grid_edge_belongs_to_the_last_cell() -> None:
    assert grid_regions(torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.9, 0.9]]), 9).tolist() == [0, 1, 1]


@given(st.integers(0, 60), st.integers(1, 80), st.integers(0, 3), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_labels_are_dense_in_order_of_appearance(n: int, k: int, width: int, seed: int) -> None:
    place = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))
    for labels in (
        kmeans_regions(noise(n, width, seed), place, k, seed=seed, iterations=3),
        grid_regions(place, k),
    ):
        assert labels.shape == (n,)
        assert labels.dtype == torch.int64
        fresh = list(dict.fromkeys(labels.tolist()))
        assert fresh == list(range(len(fresh)))
        assert len(fresh) <= k


@pytest.fixture
def wide_scene(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """`[900, 600]` features that change smoothly over the image, with noise, and their places."""
    monkeypatch.setattr(regions, "FOLLOWED", 20)
    place = raster_grid(30)
    fields = (place @ noise(2, 20) * 6).cos() @ noise(20, 600, 1)
    return fields + 0.3 * noise(900, 600, 2), place


def agreement(a: Tensor, b: Tensor) -> float:
    """Share of the pairs that are in one region in either partition and are so in both."""
    together, too = a[:, None] == a, b[:, None] == b
    return float((together & too).sum() / (together | too).sum())


def test_following_moves_of_middles_finds_the_regions_of_plain_lloyd(wide_scene) -> None:
    features, place = wide_scene
    for seed in range(3):
        plain = kmeans_regions(features, place, 30, seed=seed, plain=True)
        begun = kmeans_regions(features, place, 30, seed=seed, iterations=1, plain=True)
        assert agreement(kmeans_regions(features, place, 30, seed=seed), plain) > 0.95
        assert agreement(begun, plain) < 0.6  # there were moves to follow


def test_wide_features_are_looked_at_whole_now_and_then(wide_scene, monkeypatch) -> None:
    features, place = wide_scene
    seen, part = 0, points.Points.part

    def count(self: points.Points, which: slice | Tensor) -> Tensor:
        nonlocal seen
        found = part(self, which)
        seen += len(found)
        return found

    monkeypatch.setattr(points.Points, "part", count)
    kmeans_regions(features, place, 30, seed=0, plain=True)
    plain, seen = seen, 0
    kmeans_regions(features, place, 30, seed=0)
    assert seen < 6 * len(features) < plain  # their mean, the start, two looks; and moves


def test_more_products_than_may_be_held_are_not(wide_scene, monkeypatch) -> None:
    features, place = wide_scene
    monkeypatch.setattr(regions, "HELD", 900 * 30 - 1)
    monkeypatch.setattr(regions, "_Followed", None)  # would fail
    kmeans_regions(features, place, 30, seed=0)


def test_birch_finds_kinds_of_tokens_and_no_more_regions_than_asked() -> None:
    pytest.importorskip("sklearn", reason="needs uhrqa[regions]")
    kind = torch.arange(300) % 3
    features = torch.eye(3)[kind].repeat(1, 40) + 0.01 * noise(300, 120)
    place = torch.full((300, 2), 0.5)
    assert torch.equal(regions.birch_regions(features, place, 3, seed=0), kind)
    assert int(regions.birch_regions(noise(300, 5), place, 20, seed=0).max()) == 19
    assert regions.birch_regions(noise(4, 5), place[:4], 9, seed=0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "rounds"),
    [
        ((1000, 600, 80, 10, False), ((3, 602 + 64), (8, 64))),  # the start and two looks
        ((1000, 600, 80, 2, False), ((2, 602 + 64), (1, 64))),
        ((1000, 600, 80, 100, True), ((101, 602),)),
        ((1000, 60, 80, 100, False), ((32, 62),)),  # narrow features are looked at every time
        ((80, 600, 80, 10, False), ()),
    ],
)
def test_passes_are_foreseen_as_they_are_made(asked, rounds) -> None:
    *numbers, plain = asked
    assert kmeans_rounds(*numbers, plain=plain) == rounds
