from __future__ import annotations

import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.originals import make_original
from tests.strategies.test_contract import HalfMasked
from uhrqa import load_model
from uhrqa.budget import Budget
from uhrqa.errors import BudgetError, ConfigError, RasterError
from uhrqa.geometry import Size
from uhrqa.pyramid import Level, Pyramid
from uhrqa.raster import open_raster
from uhrqa.raster.clip import clip
from uhrqa.raster.ground import Ground
from uhrqa.regions import dense
from uhrqa.scene import Scene
from uhrqa.selection import select, select_within_context
from uhrqa.strategies.preserving import (
    allot,
    compress,
    group_by_region,
    join_least,
    preserve_and_merge,
    transfer,
)
from uhrqa.strategies.region_merge import RegionMerge
from uhrqa.strategies.views import shares_of
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


# ---- the paper's budgets, views and promises ----------------------------------------------------

COUNTS = [2304, 9216, 36864, 82944]  # tokens of 672, 1344, 2688 and 4032 px


@pytest.mark.parametrize(
    ("name", "budgets"),
    [
        ("default", [80, 320, 600, 2000]),
        ("xlrs", [180, 1320, 1600, 8000]),
        ("mme", [80, 320, 1600, 4000]),
        ("rshr", [80, 320, 1600, 4000]),
    ],
)
def test_named_shares_of_their_own_sum_are_the_papers_budgets(name, budgets) -> None:
    assert allot(sum(budgets), COUNTS, shares_of(name, 4)) == budgets


def test_the_papers_square_image_is_228_tiles_and_131_328_tokens(vlm) -> None:
    views = Pyramid.views(Size(4032, 4032), 336, (672, 1344, 2688, 4032)).levels[1:]
    assert [view.tile_count for view in views] == [4, 16, 64, 144]
    assert sum(view.tile_count for view in views) == 228
    tokens = [rows * cols for rows, cols in (view.cells(14) for view in views)]
    assert tokens == COUNTS
    assert sum(tokens) == 131_328


@given(
    st.integers(4, 5000),
    st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 900)), min_size=1, max_size=4),
)
def test_a_views_budget_is_no_less_than_its_regions(budget, views) -> None:
    counts, regions = [n for n, _ in views], [min(r, n) for n, r in views]
    allotted = allot(budget, counts, (80, 320, 600, 2000)[: len(views)], regions)
    assert sum(allotted) == min(budget, sum(counts))
    assert all(1 <= got <= count for got, count in zip(allotted, counts, strict=True))
    if sum(regions) <= budget:
        assert all(got >= r for got, r in zip(allotted, regions, strict=True))


def test_native_views_halve_the_image_from_its_own_resolution(vlm) -> None:
    scene = Scene(open_raster(np.zeros((700, 400, 3), np.uint8)), vlm, "how many?")
    views = RegionMerge(scales="native")._views(scene)
    assert [tuple(view.size) for view in views] == [(88, 50), (175, 100), (350, 200), (700, 400)]
    views = RegionMerge(scales="native")._views(
        Scene(open_raster(np.zeros((3000, 9, 3), np.uint8)), vlm, "how many?")
    )
    assert [view.size.h for view in views] == [94, 188, 375, 750, 1500, 3000]
    assert shares_of("default", 6) == (80, 320, 600, 2000, 4000, 8000)


def members_and_scores(seed: int, count: int, equal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    scores = torch.rand(count, generator=source)
    return torch.arange(count), torch.full_like(scores, 0.1) if equal else scores


@given(st.integers(0, 2**31), st.integers(1, 60), st.booleans())
def test_lemma_1_every_region_preserves_a_token_within_the_error_bound(seed, count, equal) -> None:
    members, scores = members_and_scores(seed, count, equal)
    kept, merged = preserve_and_merge(members, scores, count)
    assert len(kept) >= 1
    assert sorted([*kept.tolist(), *merged.tolist()]) == members.tolist()
    if not len(merged):
        return
    features = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)).double()
    error = (features[merged] - features[merged].mean(0)).square().sum()
    assert error <= (features - features.mean(0)).square().sum() + 1e-9  # K times the variance


@given(st.integers(0, 2**31), st.integers(2, 60), st.integers(1, 9), st.booleans())
@settings(deadline=None)
def test_lemma_2_merging_preserves_the_sum(seed, count, regions, cover) -> None:
    tokens = tokens_at([(float(i), 0.0) for i in range(count)])
    source = torch.Generator().manual_seed(seed)
    tokens = replace(tokens, embed=torch.randn(count, 3, generator=source))
    labels = dense(torch.randint(regions, (count,), generator=source))
    scores = torch.rand(count, generator=source)
    found, importance = compress(tokens, scores, labels, count, cover=cover)  # before the cut
    total = (found.embed.double() * found.weight[:, None]).sum(0)
    torch.testing.assert_close(total, tokens.embed.double().sum(0), atol=1e-4, rtol=1e-4)
    weighed = (importance * found.weight).sum()
    torch.testing.assert_close(weighed, scores.sum(), atol=1e-4, rtol=1e-4)


@given(st.integers(0, 2**31), st.integers(2, 60), st.integers(1, 60))
@settings(deadline=None)
def test_with_cover_no_region_vanishes_however_small_the_budget(seed, count, regions) -> None:
    source = torch.Generator().manual_seed(seed)
    labels = dense(torch.randint(min(regions, count), (count,), generator=source))
    tokens = replace(tokens_at([(0.0, 0.0)] * count), embed=torch.eye(count))
    room = int(labels.max()) + 1
    found, _ = compress(tokens, torch.rand(count, generator=source), labels, room, cover=True)
    assert len(found) == room
    assert int(found.weight.sum()) == count
    shown = {int(labels[row.nonzero()[0]]) for row in found.embed}
    assert shown == set(labels.tolist())


def test_too_many_regions_are_joined_from_the_least_important_on() -> None:
    labels = torch.tensor([0, 1, 2, 3, 3])
    joined = join_least(labels, torch.tensor([0.1, 0.4, 0.2, 0.9, 0.9]), 2)
    assert joined.tolist() == [1, 1, 1, 0, 0]
    assert join_least(labels, torch.ones(5), 4).tolist() == labels.tolist()


def test_labels_of_a_file_are_the_regions(vlm, image, tmp_path) -> None:
    labels = np.zeros((250, 200), np.uint16)
    labels[:, 100:] = 40_000
    path = tmp_path / "labels.png"
    Image.fromarray(labels).save(path)
    scene = Scene(open_raster(image), vlm, "how many?")
    tokens = select(RegionMerge(labels=str(path), coverage="all"), scene, Budget(100)).tokens
    merged = tokens.take((tokens.weight > 1) & (tokens.level == 3))
    assert len(merged) == 2  # one a half, from 0 to 200 and from 200 to 400 px
    halves = sorted((round(float(x0)), round(float(x1))) for x0, _, x1, _ in merged.box)
    np.testing.assert_allclose(halves, [(0, 200), (200, 400)], atol=25)


def test_labels_of_the_whole_image_lie_right_under_a_window(vlm, image, tmp_path) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (50, 40)).astype(np.uint16)  # 10 px each
    Image.fromarray(labels).save(tmp_path / "whole.png")
    Image.fromarray(labels[10:30, 10:30].copy()).save(tmp_path / "part.png")
    window = open_raster(image, roi="100,100,300,300")
    alone = open_raster(np.ascontiguousarray(image[100:300, 100:300]))
    found = [
        RegionMerge(labels=str(tmp_path / name)).select(Scene(raster, vlm, "a?"), Budget(100))
        for raster, name in ((window, "whole.png"), (alone, "part.png"))
    ]
    assert torch.equal(found[0].tokens.box, found[1].tokens.box)
    with pytest.raises(RasterError, match="for an image of 400 x 500 px"):
        RegionMerge(labels=str(tmp_path / "part.png")).select(Scene(window, vlm, "a?"), Budget(100))


def test_labels_must_lie_where_the_image_lies_under_a_window_too(
    vlm, image, tmp_path, monkeypatch
) -> None:
    store = zarr.create_array(tmp_path / "labels.zarr", data=np.ones((50, 40), np.uint8))
    store.attrs.update({"proj:code": "EPSG:32633", "spatial:transform": [10, 0, 0, 0, -10, 0]})
    merge = RegionMerge(labels=str(tmp_path / "labels.zarr"))
    raster = open_raster(image)
    monkeypatch.setattr(raster, "ground", Ground("EPSG:32633", (1, 0, 0, 0, -1, 0)))
    for shown in (raster, clip(raster, "100,100,300,300")):
        assert merge.select(Scene(shown, vlm, "a?"), Budget(100)).tokens
    monkeypatch.setattr(raster, "ground", Ground("EPSG:32633", (1, 0, 100_000, 0, -1, 0)))
    for shown in (raster, clip(raster, "100,100,300,300")):
        with pytest.raises(RasterError, match="labels that lie elsewhere"):
            merge.select(Scene(shown, vlm, "a?"), Budget(100))


def test_regions_that_have_no_room_are_noted(vlm, image) -> None:
    def notes(**options) -> tuple[str, ...]:
        scene = Scene(open_raster(image), vlm, "how many?")
        return select_within_context(RegionMerge(**options), scene, Budget(64), 8)[2]

    (note,) = notes(regions=5000, partition="grid")
    assert "regions=5000: 4 of 4 views have room for fewer tokens (" in note
    assert notes(regions=5000, partition="grid", compat="released") == (note,)
    assert not notes(regions=1, partition="grid")
    assert not notes()


@pytest.mark.parametrize("compat", ["paper", "released"])
def test_a_cap_on_tiles_suggests_fewer_views(vlm, image, compat) -> None:
    scene = Scene(open_raster(image), vlm, "how many?", max_tiles=3)
    with pytest.raises(BudgetError, match=r"allow \d+, give fewer or smaller views \(-o scales="):
        RegionMerge(compat=compat).select(scene, Budget(100))


def test_a_missing_file_is_told_before_anything_is_encoded(vlm, image) -> None:
    scene = Scene(open_raster(image), vlm, "how many?")
    with pytest.raises(RasterError, match="no such file"):
        RegionMerge(labels="none.tif").select(scene, Budget(100))
    assert not scene.ledger.encoded.total()


def test_a_missing_package_is_told_before_anything_is_encoded(vlm, image, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    scene = Scene(open_raster(image), vlm, "how many?")
    with pytest.raises(ConfigError, match="scikit-learn is not installed; pip install"):
        RegionMerge(partition="birch").select(scene, Budget(100))
    assert not scene.ledger.encoded.total()


@pytest.mark.parametrize(("partition", "package"), [("slic", "skimage"), ("birch", "sklearn")])
def test_partitions_of_other_packages(vlm, image, partition, package) -> None:
    pytest.importorskip(package, reason="needs uhrqa[regions]")
    found = []
    for _ in range(2):
        scene = Scene(open_raster(image), vlm, "how many?")
        found.append(select(RegionMerge(partition=partition, coverage="all"), scene, Budget(100)))
    assert torch.equal(found[0].tokens.box, found[1].tokens.box)
    assert int(found[0].tokens.weight.sum()) == sum(scene.ledger.seen.values())
    assert (found[0].tokens.weight > 1).any()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"partition": "labels"}, "give labels=FILE"),
        ({"partition": "grid", "labels": "a.png"}, "leave one out"),
        ({"shares": "sam"}, "shares=sam: give default, xlrs, mme, rshr"),
        ({"scales": "all"}, "scales=all: give native"),
        ({"coverage": "true"}, "coverage=true: give paper or all"),
        ({"compat": "released", "scales": "native"}, "pads to squares"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, fault) -> None:
    with pytest.raises(ValueError, match=fault):
        RegionMerge(**options)


# ---- rasters with no-data, and models with maps for views of their own --------------------------


@pytest.fixture(scope="module")
def uhr_bat(tmp_path_factory):
    path = tmp_path_factory.mktemp("uhr-bat") / "small"
    make_original(path, "uhr-bat")
    return load_model(str(path), device="cpu")


@pytest.mark.parametrize("coverage", ["paper", "all"])
def test_labels_count_and_cut_only_what_shows_image(vlm, tmp_path, coverage) -> None:
    raster = HalfMasked((520, 500))
    file = tmp_path / "labels.png"
    Image.fromarray(np.repeat(np.arange(50, dtype=np.uint8)[None], 52, 0)).save(file)
    scene = Scene(raster, vlm, "how many?")
    tokens = select(RegionMerge(labels=str(file), coverage=coverage), scene, Budget(90)).tokens
    assert len(tokens) == 90
    assert float(tokens.box[:, 0].max()) < raster.edge
    if coverage == "all":
        assert int(tokens.weight.sum()) == sum(scene.ledger.seen.values())


def test_released_takes_no_data_for_image(uhr_bat) -> None:
    scene = Scene(HalfMasked((300, 300)), uhr_bat, "how many?")
    select(RegionMerge(compat="released"), scene, Budget(60))
    assert sorted(scene.ledger.seen.values()) == [64, 256, 1024]
    assert not scene.ledger.blank.total()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"scales": (112, 200)}, "no map for views of 200 px; give some of 112,224,448"),
        ({"scales": (112, 200), "compat": "released"}, "no map for views of 200 px"),
        ({"scales": "native"}, "scales=native: the model has a map"),
    ],
)
def test_views_a_model_has_no_map_for_are_refused(uhr_bat, options, fault) -> None:
    scene = Scene(open_raster(np.zeros((300, 300, 3), np.uint8)), uhr_bat, "how many?")
    with pytest.raises(ConfigError, match=fault):
        RegionMerge(**options).select(scene, Budget(60))
    assert not scene.ledger.encoded.total()


def test_one_view_is_held_at_a_time(vlm, image) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []

    class Watching(Scene):
        def tokens(self, *args, **options):
            assert sum(kept() is not None for kept in alive[1:]) == 0  # the anchor stays
            found = super().tokens(*args, **options)
            alive.append(weakref.ref(found.embed))
            return found

    select(RegionMerge(), Watching(open_raster(image), vlm, "how many?"), Budget(100))
    assert len(alive) > 2
