"""Region-merge that encodes only what comes before the cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.strategies.test_contract import HalfMasked
from uhrqa.budget import Budget
from uhrqa.errors import ConfigError
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.selection import Selection, select
from uhrqa.strategies import make_strategy

OPTIONS = {"coverage": False, "regions": 40}


def run(vlm, encode: str, raster=None, budget: int = 100, **options) -> tuple[Selection, Scene]:
    image = np.random.default_rng(2).integers(0, 255, (640, 700, 3), dtype=np.uint8)
    scene = Scene(raster or open_raster(image), vlm, "how many ships?")
    strategy = make_strategy("region-merge", {**OPTIONS, **options, "encode": encode})
    return select(strategy, scene, Budget(budget)), scene


def kept(selection: Selection) -> set[tuple]:
    tokens = selection.tokens
    columns = tokens.box.tolist(), tokens.level.tolist(), tokens.weight.tolist()
    return {(*box, level, weight) for box, level, weight in zip(*columns, strict=True)}


@pytest.mark.parametrize("budget", [40, 100, 900, 100_000])
def test_by_place_the_same_tokens_are_kept_and_fewer_tiles_encoded(vlm, budget: int) -> None:
    whole, all_of_it = run(vlm, "all", budget=budget, partition="grid")
    needed, part = run(vlm, "needed", budget=budget, partition="grid")
    torch.testing.assert_close(whole.tokens.embed, needed.tokens.embed)  # batches differ
    assert torch.equal(whole.tokens.box, needed.tokens.box)
    assert torch.equal(whole.relevance, needed.relevance)
    spared = part.ledger.encoded.total() / all_of_it.ledger.encoded.total()
    assert spared < 0.6 if budget <= 100 else spared <= 1


def test_by_the_anchors_features_a_part_of_the_tokens_is_the_same(vlm) -> None:
    whole, all_of_it = run(vlm, "all")
    needed, part = run(vlm, "needed")
    assert len(needed.tokens) == len(whole.tokens) == 100
    share = len(kept(whole) & kept(needed)) / len(kept(whole))
    assert 0.1 < share < 1
    assert part.ledger.encoded.total() < all_of_it.ledger.encoded.total()


def test_no_data_is_left_out_here_too(vlm) -> None:
    raster = HalfMasked((640, 700))
    selection, _ = run(vlm, "needed", raster)
    assert float(selection.tokens.box[:, 0].max()) < raster.edge
    assert len(selection.tokens) > 0


def test_coverage_needs_every_region(vlm) -> None:
    with pytest.raises(ConfigError, match="coverage=false"):
        run(vlm, "needed", coverage=True)
