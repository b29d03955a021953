"""What every registered strategy owes: registered means tested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from uhrqa.budget import Budget
from uhrqa.errors import BudgetError, RasterError
from uhrqa.features import FeatureCache
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.raster import Raster, open_raster
from uhrqa.scene import Scene
from uhrqa.selection import Selection, select
from uhrqa.strategies import STRATEGIES, make_strategy
from uhrqa.vlm.placement import Placement

NAMES = sorted(STRATEGIES)
# (h, w): one pixel, thin, below a tile (56 px), one tile, ragged, wide, tall
SHAPES = [(1, 1), (1, 400), (40, 30), (56, 56), (301, 257), (60, 700), (900, 70)]
BUDGETS = [1, 7, 20, 100, 700, 100_000]
SIZES = [Size(1, 1), Size(16_384, 16_384), Size(300, 16_384), Size(16_384, 90)]


@pytest.fixture(scope="module")
def images() -> dict[tuple[int, int], tuple[Raster, FeatureCache]]:
    """Features do not depend on budget or strategy; sharing them keeps this quick."""
    return {shape: (open_raster(picture(shape)), FeatureCache()) for shape in SHAPES}


def picture(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_the_cap_holds_or_the_least_feasible_budget_is_named(vlm, images, name, shape) -> None:
    raster, features = images[shape]
    for tokens in BUDGETS:
        scene = Scene(raster, vlm, "how many?", features=features)
        try:
            selection = make_strategy(name).select(scene, Budget(tokens))
        except BudgetError as error:
            assert error.least is not None
            assert error.least > tokens
            assert str(error.least) in str(error)
            scene = Scene(raster, vlm, "how many?", features=features)
            selection = make_strategy(name).select(scene, Budget(error.least))
            tokens = error.least
        assert 0 < selection.load(scene.decoder_layers) <= tokens
        assert selection.drops or len(selection.tokens) <= tokens
        check(selection, scene)


def check(selection: Selection, scene: Scene) -> None:
    tokens, size = selection.tokens, scene.size
    assert len(selection.relevance) == len(tokens)
    assert torch.isfinite(tokens.embed).all()
    for box, weight in zip(tokens.box, tokens.weight.tolist(), strict=True):
        if weight:
            shown = scene.shown(box)
            assert 0 <= shown.x0 < shown.x1 <= size.w
            assert 0 <= shown.y0 < shown.y1 <= size.h


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_cap_holds_on_large_and_thin_images_too(vlm, name, size) -> None:
    for tokens in (1, 100, 3000):
        try:
            planned = plan(size, vlm.card, name, Budget(tokens))
        except BudgetError as error:
            assert error.least is not None
            assert error.least > tokens
        else:
            assert planned.counts.kept <= tokens


@pytest.mark.parametrize("name", NAMES)
def test_same_input_and_seed_give_the_same_selection_bit_for_bit(vlm, name) -> None:
    def run(seed: int) -> Selection:
        scene = Scene(open_raster(picture((301, 257))), vlm, "how many?", seed=seed)
        return select(make_strategy(name), scene, Budget(1000 if name == "full" else 60))

    first, again = run(0), run(0)
    assert torch.equal(first.tokens.embed, again.tokens.embed)
    assert torch.equal(first.tokens.box, again.tokens.box)
    if name == "random":
        assert not torch.equal(first.tokens.box, run(1).tokens.box)


@pytest.mark.parametrize("name", NAMES)
def test_a_cap_on_tiles_holds_or_names_the_least(vlm, name) -> None:
    for cap in (1, 5, 30, 60):
        scene = Scene(open_raster(picture((500, 500))), vlm, "how many?", max_tiles=cap)
        try:
            select(make_strategy(name), scene, Budget(2000))
        except BudgetError as error:
            assert error.least is not None
            assert error.least > cap
            assert scene.ledger.encoded.total() == 0  # refused before anything was paid for
            again = Scene(scene.raster, vlm, "how many?", max_tiles=error.least)
            select(make_strategy(name), again, Budget(2000))
        assert scene.ledger.encoded.total() <= cap


@pytest.mark.parametrize("name", NAMES)
def test_a_capped_selection_does_not_depend_on_earlier_questions(vlm, name) -> None:
    raster, features = open_raster(picture((301, 257))), FeatureCache()
    cold = Scene(raster, vlm, "how many?", max_tiles=70)
    warm = Scene(raster, vlm, "how many?", max_tiles=70, features=features)
    first = Scene(raster, vlm, "which color?", features=features)
    for level in first.pyramid:
        first.tokens(level)
    budget = Budget(1000 if name == "full" else 60)
    try:
        expected = select(make_strategy(name), cold, budget)
    except BudgetError:
        with pytest.raises(BudgetError):
            select(make_strategy(name), warm, budget)
    else:
        assert torch.equal(
            select(make_strategy(name), warm, budget).tokens.box, expected.tokens.box
        )


def test_a_strategy_that_keeps_too_much_is_cut(vlm) -> None:
    class Greedy:
        def select(self, scene: Scene, budget: Budget) -> Selection:
            tokens = scene.tokens(scene.pyramid.finest)
            return Selection(tokens, torch.rand(len(tokens)))

    scene = Scene(open_raster(picture((301, 257))), vlm, "how many?")
    selection = select(Greedy(), scene, Budget(9))
    assert len(selection.tokens) == len(selection.relevance) == 9
    assert "cut" in selection.steps[-1]


class HalfMasked:
    """A raster whose right part is no-data."""

    has_mask = True

    def __init__(self, shape: tuple[int, int], left: float = 0.45) -> None:
        self.inner = open_raster(picture(shape))
        self.edge = shape[1] * left
        self.reads = 0

    def __getattr__(self, name: str):
        return getattr(self.inner, name)

    def read(self, box, out: Size):
        self.reads += 1
        pixels = self.inner.read(box, out)
        x = box.x0 + (np.arange(out.w) + 0.5) * box.w / out.w
        mask = pixels.mask & (x < self.edge)
        return replace(pixels, array=pixels.array * mask[..., None], mask=mask)


@pytest.mark.parametrize("name", NAMES)
def test_no_kept_token_lies_in_masked_area_and_the_budget_is_filled_from_the_rest(
    vlm, name
) -> None:
    raster = HalfMasked((520, 500))
    scene = Scene(raster, vlm, "how many?")
    options = {"zoom_ratio": 1.0, "keep_ratio": 1.0} if name == "rfm-dip" else {}
    budget = Budget(3000 if name == "full" else 60)
    selection = select(make_strategy(name, options), scene, budget)
    tokens = selection.tokens.take(~selection.tokens.is_separator)
    x0 = tokens.box[:, 0]
    assert float(x0.max()) < raster.edge
    if name not in ("full", "thumbnail"):
        least = {"uniform": 0.75, "downsample": 0.85, "fastv": 0.75, "pyramiddrop": 0.75}.get(
            name, 1.0
        )
        assert len(selection.tokens) >= least * budget.tokens - 1
    assert scene.ledger.encoded.total() > 0
    for level, count in scene.ledger.encoded.items():
        touched = sum(level.box(tile).x0 < raster.edge for tile in level.tiles())
        assert count <= touched  # tiles of no-data alone are not encoded
    assert scene.ledger.blank.total() > 0 or name in ("thumbnail", "downsample")


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_no_data_alone_is_refused(vlm, monkeypatch, name, placed) -> None:
    if placed:  # a model with tables of place, like the embedded one
        monkeypatch.setattr(vlm, "placement", Placement(vlm.card.dims.token_width))
    scene = Scene(HalfMasked((300, 300), left=0), vlm, "how many?")
    with pytest.raises(RasterError, match="nothing to look at"):
        select(make_strategy(name), scene, Budget(2000))
    assert scene.ledger.encoded.total() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_a_raster_that_could_have_a_mask_and_has_none_loses_no_token(vlm, shape) -> None:
    masked = HalfMasked(shape, left=1.0)
    scene, plain = (Scene(raster, vlm, "?") for raster in (masked, masked.inner))
    for level in scene.pyramid:
        assert torch.equal(scene.tokens(level).box, plain.tokens(level).box)
