"""Region-merge that encodes only what comes before the cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.strategies.test_contract import HalfMasked
from uhrqa.budget import Budget
from uhrqa.errors import ConfigError
from uhrqa.plan import plan
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.selection import Selection, select
from uhrqa.strategies import make_strategy

OPTIONS = {"regions": 40}


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
    with pytest.raises(ConfigError, match="use coverage=paper"):
        run(vlm, "needed", coverage="all")


def test_a_plan_counts_no_fewer_tiles_than_a_run_encodes(vlm) -> None:
    # scores decide how many are needed: those of a plan are diffuse, and would need fewer
    _, scene = run(vlm, "all")
    planned = plan(scene.size, vlm.card, "region-merge", 100, options={"encode": "needed"})
    assert planned.bound == "at most"
    assert sum(level.encoded for level in planned.counts.levels) == scene.ledger.encoded.total()


@pytest.mark.parametrize(
    "options",
    [
        {"labels": "FILE", "partition": "labels"},
        {"partition": "grid", "scales": "native"},
        {"partition": "grid", "shares": "xlrs"},
        {"partition": "grid", "relevance": "llm"},
    ],
)
def test_other_ways_to_cut_and_to_see_keep_the_same_tokens_too(vlm, options, tmp_path) -> None:
    file = tmp_path / "labels.png"
    y, x = np.mgrid[:64, :70]
    Image.fromarray((y // 8 * 9 + x // 8).astype(np.uint8)).save(file)
    options = {key: str(file) if value == "FILE" else value for key, value in options.items()}
    whole, all_of_it = run(vlm, "all", **options)
    needed, part = run(vlm, "needed", **options)
    assert torch.equal(whole.tokens.box, needed.tokens.box)
    assert torch.equal(whole.tokens.weight, needed.tokens.weight)
    assert part.ledger.encoded.total() < all_of_it.ledger.encoded.total()


def test_plain_lloyd_clusters_the_anchors_features_too(vlm) -> None:
    selection, _ = run(vlm, "needed", partition="lloyd")
    assert len(selection.tokens) == 100


@pytest.mark.parametrize("options", [{"partition": "grid"}, {}])
def test_where_little_of_what_is_needed_shows_image_that_is_kept_whole(vlm, options) -> None:
    raster = HalfMasked((640, 700), left=0.05)
    selection, _ = run(vlm, "needed", raster, budget=400, **options)
    tokens = selection.tokens
    assert float(tokens.box[:, 0].max()) < raster.edge
    assert (tokens.weight == 1).all()


def test_released_encodes_all_views(vlm) -> None:
    with pytest.raises(ConfigError, match="compat=released encodes every view"):
        run(vlm, "needed", compat="released")
