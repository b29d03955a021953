from __future__ import annotations

import json

import numpy as np
import pytest

from uhrqa import ask
from uhrqa.budget import Budget
from uhrqa.cost import prefill_flops, relevance_flops, vision_flops
from uhrqa.errors import BudgetError, UnknownNameError
from uhrqa.features import FeatureCache
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.strategies import STRATEGIES


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)


def test_an_answer_says_what_was_asked_what_it_cost_and_where_it_looked(vlm, image) -> None:
    answer = ask(image, "how many?", model=vlm, budget=100, options={"max_tiles": 6}, seed=4)
    record = json.loads(json.dumps(answer.to_dict()))
    assert record["schema"] == "uhrqa.answer/1"
    assert record["strategy"]["name"] == "rfm-dip"
    assert record["strategy"]["options"]["max_tiles"] == 6
    assert (record["seed"], record["image"]["width"], record["image"]["height"]) == (4, 300, 420)
    assert record["versions"]["torch"]
    assert set(record["tflops"]) == {
        "vision", "projector", "relevance", "prefill", "decode", "total",
    }  # fmt: skip
    assert set(record["seconds"]) == {
        "read", "encode", "relevance", "select", "prefill", "decode",
    }  # fmt: skip
    kept = record["counts"]["kept"] - record["counts"]["separators"]
    assert len(record["evidence"]) == kept
    assert any(entry["relevance"] is not None for entry in record["evidence"])
    for entry in record["evidence"]:
        x0, y0, x1, y1 = entry["box"]
        assert 0 <= x0 < x1 <= 300
        assert 0 <= y0 < y1 <= 420


def test_counts_add_up_and_the_cost_follows_from_them(vlm, image) -> None:
    answer = ask(image, "how many?", model=vlm, budget=100)
    counts, dims = answer.counts, vlm.card.dims
    assert sum(level.kept for level in counts.levels) + counts.separators == counts.kept <= 100
    assert counts.tiles_encoded == sum(level.encoded for level in counts.levels)
    assert answer.cost.vision == vision_flops(dims, counts.tiles_encoded)
    assert answer.cost.prefill == prefill_flops(dims.decoder, counts.kept + counts.text)
    passes = counts.relevance_passes
    one_pass = relevance_flops(dims.decoder, counts.relevance_tokens // passes, 1)
    assert answer.cost.relevance > one_pass
    assert answer.cost.total == sum(
        getattr(answer.cost, part)
        for part in ("vision", "projector", "relevance", "prefill", "decode")
    )


def test_a_second_question_on_the_image_encodes_what_is_new_alone(vlm, image) -> None:
    features = FeatureCache()
    first = ask(image, "how many?", model=vlm, budget=100, features=features)
    again = ask(image, "how many?", model=vlm, budget=100, features=features)
    assert first.counts.tiles_reused == 0
    assert (again.counts.tiles_encoded, again.cost.vision) == (0, 0)
    assert again.counts.tiles_reused == first.counts.tiles_encoded
    assert again.text == first.text


def test_the_plan_counts_what_really_happens_where_nothing_depends_on_pixels(vlm, image) -> None:
    for name in ("thumbnail", "downsample", "uniform", "random", "attention-topk", "full"):
        real = ask(image, "how many?", model=vlm, strategy=name, budget=1500)
        planned = plan(
            Size(420, 300), vlm.card, name, Budget(1500),
            question_tokens=real.counts.text, steps=real.counts.steps,
        )  # fmt: skip
        assert planned.cost == real.cost, name
        assert planned.counts.kept == real.counts.kept


@pytest.mark.parametrize("name", ["rfm-dip", "region-merge"])
def test_the_plan_is_an_upper_bound_where_pixels_decide(vlm, image, name: str) -> None:
    real = ask(image, "how many?", model=vlm, strategy=name, budget=100, max_new_tokens=4)
    planned = plan(Size(420, 300), vlm.card, name, Budget(100))
    assert planned.counts.tiles_encoded >= real.counts.tiles_encoded
    assert planned.cost.total >= real.cost.total


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_plan_needs_no_weights_even_for_a_100k_image(name: str) -> None:
    from uhrqa.vlm.card import load_card

    card = load_card("llava-v1.6-mistral-7b")
    if name == "full":
        with pytest.raises(BudgetError, match="use -b"):
            plan(Size(20_000, 20_000), card, name, Budget(4000))
        return
    planned = plan(Size(100_000, 90_000), card, name, Budget(4000))
    assert planned.counts.kept <= 4000
    assert planned.cost.total > 0


def test_an_unknown_strategy_is_refused_before_the_image_is_opened(vlm) -> None:
    with pytest.raises(UnknownNameError):
        ask("there is no such file.tif", "how many?", model=vlm, strategy="dip")


def test_the_budget_counts_separators(vlm, image) -> None:
    for tokens in range(20, 60):
        assert ask(image, "how many?", model=vlm, budget=tokens, max_new_tokens=1).counts.kept <= (
            tokens
        )
