"""zoom-cover: what rfm-dip keeps, and coarser tokens where nothing finer was looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uhrqa.budget import Budget
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.selection import Selection, select
from uhrqa.strategies import make_strategy
from uhrqa.strategies.zoom_cover import fit_thumbnail, left_behind

QUESTION = "how many ships?"


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (900, 700, 3), dtype=np.uint8)


def scene_of(vlm, image) -> Scene:
    return Scene(open_raster(image), vlm, QUESTION)


def _places(found: Selection) -> set[tuple[float, ...]]:
    return {tuple(box) for box in found.tokens.box[found.tokens.weight == 1].tolist()}


def test_the_budget_is_filled_where_rfm_dip_leaves_some(vlm, image) -> None:
    zoom = {"max_tiles": 2}
    plain = select(make_strategy("rfm-dip", zoom), scene_of(vlm, image), Budget(200))
    cover = select(make_strategy("zoom-cover", zoom), scene_of(vlm, image), Budget(200))
    assert len(plain.tokens) < 190
    seen = int((cover.tokens.level == cover.tokens.level.max()).sum())
    assert len(plain.tokens) < len(cover.tokens) <= 200
    assert seen > int((plain.tokens.level == plain.tokens.level.max()).sum())
    assert _places(plain) <= _places(cover)
    more = make_strategy("zoom-cover", {**zoom, "cover": 0.25})
    assert 195 <= len(select(more, scene_of(vlm, image), Budget(200)).tokens) <= 200


def test_no_coarse_token_is_kept_where_finer_ones_were_seen(vlm, image) -> None:
    scene = scene_of(vlm, image)
    strategy = make_strategy("zoom-cover", {"max_tiles": 2, "newlines": False, "cover": 0.25})
    found = select(strategy, scene, Budget(400))
    top = found.tokens.level == 1
    finer = found.tokens.level > 1
    assert top.any()
    assert finer.any()
    centres = found.tokens.take(finer).centres()
    for box in found.tokens.box[top]:
        inside = (centres > box[:2]).all(1) & (centres < box[2:]).all(1)
        assert not inside.any()


def test_what_was_left_behind_counts_by_what_pointed_there(vlm, image) -> None:
    scene = scene_of(vlm, image)
    from uhrqa.strategies.rfm_dip import RfmDip

    trail = RfmDip(max_tiles=2).zoom_in(scene, scene.tokens(scene.pyramid.thumbnail))
    index = left_behind(trail, scene)
    (first, scores), (second, _) = trail.sights[:2]
    assert len(trail.sights) >= 3
    inner = index[index < len(first)]
    assert scores[inner].tolist() == sorted(scores[inner].tolist(), reverse=True)
    tile = scene.pyramid[2].tile / scene.pyramid[2].scale[0]
    seen = {(int(x // tile), int(y // tile)) for x, y in second.centres().tolist()}
    for x, y in first.take(inner).centres().tolist():
        assert (int(x // tile), int(y // tile)) not in seen
    assert len(inner) + sum(
        (int(x // tile), int(y // tile)) in seen for x, y in first.centres().tolist()
    ) == len(first)


@pytest.mark.parametrize("budget", [3, 16, 40, 64, 150])
def test_a_small_budget_gets_a_pooled_thumbnail(vlm, image, budget) -> None:
    scene = scene_of(vlm, image)
    found = select(make_strategy("zoom-cover"), scene, Budget(budget))
    assert 1 < len(found.tokens) <= budget
    thumbnail = found.tokens.level == 0
    assert 1 <= int(thumbnail.sum()) <= max(1, budget // 4)
    whole = scene.token_count(scene.pyramid.thumbnail)
    assert int(found.tokens.weight[thumbnail].sum()) == whole


def test_a_pooled_thumbnail_is_the_mean_of_its_tokens(vlm, image) -> None:
    scene = scene_of(vlm, image)
    thumbnail = scene.tokens(scene.pyramid.thumbnail)
    one = fit_thumbnail(thumbnail, 1)
    assert len(one) == 1
    assert torch.allclose(one.embed[0], thumbnail.embed.float().mean(0), atol=1e-5)
    assert fit_thumbnail(thumbnail, len(thumbnail)) is thumbnail
