from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uhrqa.budget import Budget
from uhrqa.drops import Drop, Stage, stages
from uhrqa.errors import ConfigError
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.selection import select, select_within_context
from uhrqa.strategies import make_strategy
from uhrqa.strategies.in_decoder import drops_of
from uhrqa.vlm.card import load_card


def scene_of(vlm, size: tuple[int, int] = (500, 500)) -> Scene:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    return Scene(open_raster(image), vlm, "how many?")


def test_each_drop_leaves_a_share_of_what_is_there() -> None:
    assert drops_of(10, (2, 3, 5), 0.5) == (Drop(2, 5), Drop(3, 2), Drop(5, 1))
    assert drops_of(10, (1,), 0.3) == (Drop(1, 3),)  # 10 * 0.3 is a little above 3 or below
    assert drops_of(1, (1, 2), 0.1) == (Drop(1, 1), Drop(2, 1))


@pytest.mark.parametrize("name", ["fastv", "pyramiddrop"])
def test_one_token_more_would_be_above_the_budget(vlm, name) -> None:
    layers, at = vlm.card.dims.decoder.layers, {"fastv": (2,), "pyramiddrop": (1, 2, 3)}[name]
    assert layers == 4
    for budget in (20, 33, 47, 90):
        scene = scene_of(vlm)
        selection = select(make_strategy(name), scene, Budget(budget))
        entering = len(selection.tokens)
        assert selection.load(layers) <= budget < entering
        assert selection.drops == drops_of(entering, at, 0.5)


def test_pyramiddrop_stands_between_equal_parts_of_the_decoder() -> None:
    found = plan(Size(4000, 4000), load_card("llava-v1.6-vicuna-7b"), "pyramiddrop", 1000)
    assert [part.layers for part in found.counts.stages] == [8, 8, 8, 8]  # of Vicuna's 32
    first, *rest = (part.tokens for part in found.counts.stages)
    assert rest == [first // 2, first // 4, first // 8]
    assert found.counts.kept <= 1000 < first


def test_no_more_enter_than_the_context_has_room_for(vlm) -> None:
    scene = scene_of(vlm)
    room = vlm.card.context - len(scene.prompt) - 4
    strategy = make_strategy("fastv", {"keep_ratio": 0.01})
    selection, held, _ = select_within_context(strategy, scene, Budget(room), 4)
    assert held.entering == room
    assert len(selection.tokens) <= room
    assert selection.limits == ("level", "keep_ratio")  # all of the level entered
    tight = Budget(1000, entering=40)
    cramped = select(strategy, scene_of(vlm), tight)
    assert len(cramped.tokens) <= 40
    assert cramped.limits == ("keep_ratio",)
    assert select(make_strategy("fastv"), scene_of(vlm), Budget(60)).limits == ()


def test_a_greedy_strategy_with_drops_is_cut_by_the_mean_over_layers(vlm) -> None:
    class Greedy:
        def select(self, scene: Scene, budget: Budget):
            found = make_strategy("full").select(scene, Budget(10**6))
            from dataclasses import replace

            return replace(found, drops=(Drop(3, 5),))

    scene = scene_of(vlm)
    selection = select(Greedy(), scene, Budget(30))
    assert len(selection.tokens) == 30
    assert stages(30, selection.drops, 4) == (Stage(3, 30), Stage(1, 5))
    assert "cut" in selection.steps[0]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("fastv", {"layer": 4}, "layer=4: give 1 to 3"),
        ("pyramiddrop", {"stages": 5}, "stages=5: this model's decoder has 4 layers"),
        ("fastv", {"level": 9}, "level=9"),
    ],
)
def test_layers_there_are_not_are_refused(vlm, name, options, words) -> None:
    scene = scene_of(vlm)
    with pytest.raises(ConfigError, match=words):
        make_strategy(name, options).select(scene, Budget(100))
    assert scene.ledger.encoded.total() == 0


@given(st.integers(26, 400), st.integers(1, 3), st.floats(0.05, 1))
def test_the_mean_over_layers_is_never_above_the_budget(vlm, budget, layer, ratio) -> None:
    planned = plan(
        Size(700, 900), vlm.card, "fastv", budget, options={"layer": layer, "keep_ratio": ratio}
    )
    spent = sum(part.layers * part.tokens for part in planned.counts.stages)
    assert spent <= budget * 4
