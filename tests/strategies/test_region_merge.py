from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uhrqa.budget import Budget
from uhrqa.geometry import Size
from uhrqa.pyramid import Level
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.selection import select
from uhrqa.strategies.preserving import allot, group_by_region, preserve_and_merge, transfer
from uhrqa.strategies.region_merge import RegionMerge
from uhrqa.tokens import VisualTokens


@given(
    st.integers(4, 5000),
    st.lists(st.integers(1, 4000), min_size=1, max_size=4),
)
def test_budgets_of_the_views_add_up_and_none_lies_idle(budget: int, counts: list[int]) -> None:
    shares = (80, 320, 600, 2000)[: len(counts)]
    allotted = allot(budget, counts, shares)
    assert all(1 <= got <= count for got, count in zip(allotted, counts, strict=True))
    assert sum(allotted) == min(budget, sum(counts))


def test_the_papers_default_budgets_come_out_of_its_shares() -> None:
    # appendix A: 80 / 320 / 600 / 2000 of 3000, on 48, 96, 192 and 288 tokens a side
    counts = [2304, 9216, 36864, 82944]
    assert allot(3000, counts, (80, 320, 600, 2000)) == pytest.approx([80, 320, 600, 2000], abs=3)


def test_a_region_preserves_its_members_at_or_above_the_mean() -> None:
    importance = torch.tensor([0.1, 0.5, 0.3, 0.9, 0.2])
    kept, merged = preserve_and_merge(torch.tensor([0, 1, 2, 4]), importance, 10)
    assert kept.tolist() == [1, 2]  # mean 0.275; the more important first
    assert sorted(merged.tolist()) == [0, 4]


def test_equal_scores_are_all_preserved() -> None:
    # Eq. 9 says "no lower than": with > instead of >= such a region would keep nothing
    kept, merged = preserve_and_merge(torch.arange(3), torch.full((3,), 0.1), 10)
    assert (len(kept), len(merged)) == (3, 0)


def test_what_does_not_fit_is_merged_not_lost() -> None:
    kept, merged = preserve_and_merge(torch.arange(4), torch.tensor([4.0, 3.0, 2.0, 1.0]), 2)
    assert kept.tolist() == [0]
    assert merged.tolist() == [1, 2, 3]
    kept, merged = preserve_and_merge(torch.arange(4), torch.tensor([4.0, 3.0, 2.0, 1.0]), 1)
    assert (len(kept), len(merged)) == (0, 4)


def test_regions_come_by_mean_importance_and_ties_by_label() -> None:
    groups, order = group_by_region(
        torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0.1, 0.4, 0.6, 0.5, 0.1])
    )
    assert [group.tolist() for group in groups] == [[0, 4], [1, 2], [3]]
    assert order == [1, 2, 0]


def tokens_at(points: list[tuple[float, float]]) -> VisualTokens:
    box = torch.tensor([[x - 1, y - 1, x + 1, y + 1] for x, y in points])
    ones = torch.ones(len(points), dtype=torch.int64)
    return VisualTokens(
        torch.zeros(len(points), 1), box, ones, ones, ones, ones[:, None].expand(-1, 2), ones
    )


def test_importance_is_carried_bilinearly_between_views() -> None:
    anchor = Level(1, Size(200, 200), Size(28, 28), 56)  # 2 x 2 tokens of 14 px
    importance = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    # token centres of the anchor lie at 50 and 150 px; half way between them the mean
    carried = transfer(importance, tokens_at([(50, 50), (150, 50), (100, 100), (0, 0)]), anchor, 14)
    torch.testing.assert_close(carried, torch.tensor([0.0, 1.0, 1.5, 0.0]))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (500, 400, 3), dtype=np.uint8)


def test_every_region_keeps_a_token_and_every_token_is_accounted_for(vlm, image) -> None:
    scene = Scene(open_raster(image), vlm, "how many?")
    selection = select(RegionMerge(regions=10, coverage="all"), scene, Budget(100))
    weights = selection.tokens.weight
    for level, seen in scene.ledger.seen.items():
        assert int(weights[selection.tokens.level == level.index].sum()) == seen


def test_by_default_the_list_is_cut_as_in_algorithm_1(vlm, image) -> None:
    scene = Scene(open_raster(image), vlm, "how many?")
    selection = select(RegionMerge(), scene, Budget(100))
    assert len(selection.tokens) == 100
    assert int(selection.tokens.weight.sum()) < sum(scene.ledger.seen.values())


def test_one_relevance_pass_over_the_coarsest_view_serves_all(vlm, image) -> None:
    scene = Scene(open_raster(image), vlm, "how many?")
    select(RegionMerge(), scene, Budget(100))
    (only,) = scene.ledger.passes
    rows, cols = scene.token_grid(RegionMerge()._views(scene)[0])
    assert only.seen == rows * (cols + 1)  # with row ends


def test_raster_order_sorts_by_level_then_row(vlm, image) -> None:
    scene = Scene(open_raster(image), vlm, "how many?")
    selection = select(RegionMerge(order="raster"), scene, Budget(100))
    centres, levels = selection.tokens.centres().tolist(), selection.tokens.level.tolist()
    keys = [(level, y, x) for level, (x, y) in zip(levels, centres, strict=True)]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    "wrong",
    [
        {"partition": "sam"},
        {"rows": "first"},
        {"order": "up"},
        {"shares": ()},
        {"scales": (0,)},
        {"scales": ()},
        {"scales": (10**8,)},
    ],
)
def test_options_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RegionMerge(**wrong)
