from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uhrqa.budget import Budget
from uhrqa.errors import ConfigError
from uhrqa.features import FeatureCache
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.selection import select
from uhrqa.strategies import make_strategy
from uhrqa.strategies.by_tower import tiles_of

NAMES = ["visionzip", "prumerge+"]
IMAGE = np.random.default_rng(0).integers(0, 255, (300, 420, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def features() -> FeatureCache:
    return FeatureCache()


@pytest.fixture(scope="module")
def raster():
    return open_raster(IMAGE)


@given(budget=st.integers(20, 700), part=st.floats(0, 0.99), near=st.integers(0, 40))
def test_the_room_is_filled_and_every_token_stands_for_some(
    vlm, raster, features, budget, part, near
) -> None:
    for name, options in (
        ("visionzip", {"contextual": part}),
        ("prumerge+", {"outliers": part, "neighbours": near}),
    ):
        scene = Scene(raster, vlm, "how many?", features=features)
        found = select(make_strategy(name, options), scene, Budget(budget)).tokens
        whole = sum(scene.token_count(scene.pyramid[level]) for level in (0, 1))
        assert len(found) == min(budget, whole)
        assert int(found.weight.min()) >= 1
        if name == "visionzip" and int(part * (budget - int((found.level == 0).sum()))):
            assert int(found.weight.sum()) == whole  # nothing is lost, nothing counted twice


def test_visionzip_keeps_the_tokens_the_tower_looks_at_most(vlm, raster, features) -> None:
    scene = Scene(raster, vlm, "how many?", features=features)
    tokens, traits = scene.watched(scene.pyramid[1])
    room = 50
    budget = Budget(room + scene.token_count(scene.pyramid[0]))
    found = select(make_strategy("visionzip", {"contextual": 0.2}), scene, budget).tokens
    fine = found.take(found.level == 1)
    best = traits[:, 0].argsort(descending=True, stable=True)[:40].sort().values
    kept = fine.take(fine.weight == 1)
    places = {tuple(box) for box in kept.box.tolist()}
    assert {tuple(box) for box in tokens.box[best].tolist()} <= places
    assert len(fine) == room
    merged = fine.take(fine.weight > 1)
    assert int(merged.weight.sum()) + len(kept) == len(tokens)
    whole = (tokens.embed.float().sum(0), (fine.embed.float() * fine.weight[:, None]).sum(0))
    torch.testing.assert_close(*whole, atol=1e-3, rtol=1e-3)


def test_prumerge_merges_by_attention_inside_a_tile(vlm, raster, features) -> None:
    scene = Scene(raster, vlm, "how many?", features=features)
    tokens, traits = scene.watched(scene.pyramid[1])
    tile = tiles_of(scene, tokens)
    budget = Budget(30 + scene.token_count(scene.pyramid[0]))
    options = {"outliers": 0.0, "neighbours": 1}
    found = select(make_strategy("prumerge+", options), scene, budget).tokens
    fine = found.take(found.level == 1)
    from uhrqa.saliency import evenly

    kept = evenly(30, len(tokens))
    unit = torch.nn.functional.normalize(traits[:, 1:], dim=1)
    free = [i for i in range(len(tokens)) if i not in kept]
    expected = []
    for index in kept.tolist():
        near = max(
            (i for i in free if tile[i] == tile[index]), key=lambda i: float(unit[i] @ unit[index])
        )
        a, b = traits[index, 0], traits[near, 0]
        expected.append((a * tokens.embed[index] + b * tokens.embed[near]) / (a + b))
    mine = sorted(fine.embed.tolist())
    torch.testing.assert_close(
        torch.tensor(mine), torch.stack(sorted(expected, key=lambda row: row.tolist()))
    )
    assert fine.weight.tolist() == [2] * 30


@pytest.mark.parametrize("name", NAMES)
def test_tiles_a_question_encoded_unwatched_are_encoded_again_and_answer_the_same(
    vlm, raster, name
) -> None:
    shared = FeatureCache()
    first = Scene(raster, vlm, "how many?", features=shared)
    first.tokens(first.pyramid[1])
    held = shared.held
    again = Scene(raster, vlm, "how many?", features=shared)
    found = select(make_strategy(name), again, Budget(60))
    assert again.ledger.watched == again.ledger.encoded[again.pyramid[1]] > 0
    alone = select(make_strategy(name), Scene(raster, vlm, "how many?"), Budget(60))
    assert torch.equal(found.tokens.embed, alone.tokens.embed)
    third = Scene(raster, vlm, "which color?", features=shared)
    select(make_strategy(name), third, Budget(60))
    assert third.ledger.encoded.total() == third.ledger.watched == 0
    parts = [part.nbytes for part in shared._features.values()]
    assert held < shared.held == sum(parts)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("visionzip", {"contextual": 1.0}),
        ("visionzip", {"contextual": -0.1}),
        ("prumerge+", {"outliers": 1.0}),
        ("prumerge+", {"neighbours": -1}),
    ],
)
def test_options_out_of_range_are_refused(name, options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_strategy(name, options)
