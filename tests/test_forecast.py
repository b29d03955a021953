"""Memory and seconds of a plan, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.test_conventions import counts_of, passes_of
from tests.test_cost import BIG, QWEN
from uhrqa.cost import Cost, kv_bytes, weight_bytes
from uhrqa.drops import Stage
from uhrqa.features import FEATURE_BYTES
from uhrqa.forecast import Setup, Workload, held_bytes, memory_of, seconds_of
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.rates import Rates
from uhrqa.vlm.card import load_card

HALF = Setup("cuda", "bfloat16", 2, is_shared=False)
RATES = Rates("a machine", {1024: 1e12, 3584: 2e12}, 1e10, 1e-3, 1e6, 400)


def work_of(tokens: int = 1000, tiles: int = 100, seen: int = 0, steps: int = 3) -> Workload:
    counts = counts_of((Stage(28, tokens),), tiles=tiles, text=20, steps=steps)
    passes = passes_of(seen, layers=4) if seen else ()
    cost = Cost(vision=2 * 10**12, projector=4 * 10**12, relevance=6 * 10**12, prefill=8 * 10**12)
    return Workload(counts, cost, passes, tiles * 576 * 3584, tiles * 336**2, 5000)


def test_weights_are_all_matrices_and_quantised_layers_are_smaller() -> None:
    whole = held_bytes(BIG, HALF)
    assert whole == weight_bytes(BIG, 2)
    layers = 28 * QWEN.held_weights
    eight = held_bytes(BIG, replace(HALF, quantize="8bit"))
    four = held_bytes(BIG, replace(HALF, quantize="4bit"))
    assert whole - eight == layers
    assert eight - four == pytest.approx(layers * (1 - 0.5625))
    assert 5.5e9 < four < 6.5e9  # towers, tables and head stay as they are
    mixed = replace(BIG, decoder=replace(QWEN, experts=4, active=2))
    assert held_bytes(mixed, HALF) == held_bytes(mixed, replace(HALF, quantize="8bit"))


def test_the_cache_holds_prompt_and_answer_of_the_layers_that_see_them() -> None:
    assert memory_of(BIG, work_of(), HALF).cache == kv_bytes(QWEN, 1023)
    dropped = counts_of((Stage(14, 1000), Stage(14, 100)), text=20, steps=3)
    halves = memory_of(BIG, replace(work_of(), counts=dropped), HALF).cache
    assert halves == kv_bytes(QWEN, 1023) // 2 + kv_bytes(QWEN, 123) // 2


def test_activations_are_those_of_the_largest_step() -> None:
    long = memory_of(BIG, work_of(seen=30_000), HALF).activations
    assert long == 2 * 30_000 * (2 * 3584 + 3 * 18_944 + 3584)
    towers = memory_of(BIG, work_of(tokens=10), HALF).activations
    assert towers == 2 * 32 * 577 * (2 * 1024 + 2 * 4096)
    states = memory_of(BIG, work_of(tokens=10), replace(HALF, keeps_states=True)).activations
    assert states - towers == 2 * 32 * 577 * 24 * 1024


def test_features_stop_at_what_the_cache_keeps() -> None:
    assert memory_of(BIG, work_of(tiles=10), HALF).features == 10 * 576 * 3584 * 2
    assert memory_of(BIG, work_of(tiles=10_000), HALF).features == FEATURE_BYTES
    work = work_of(tiles=10)
    level = replace(work.counts.levels[0], seen=500)
    seen = replace(work, counts=replace(work.counts, levels=(level,)))
    assert memory_of(BIG, seen, HALF).features == (10 * 576 + 2 * 500) * 3584 * 2


def test_the_program_itself_counts_where_memory_is_shared() -> None:
    shared = replace(HALF, is_shared=True)
    assert memory_of(BIG, work_of(), HALF, RATES).process == 0
    assert memory_of(BIG, work_of(), shared).process == 5000
    assert memory_of(BIG, work_of(), shared, RATES).process == 5400
    memory = memory_of(BIG, work_of(), shared, RATES)
    assert memory.total == sum(getattr(memory, name) for name in memory.__slots__)


def test_seconds_by_stage() -> None:
    seconds = seconds_of(BIG, work_of(seen=900), HALF, RATES)
    assert seconds["read"] == pytest.approx(100 * 336**2 / 1e6)
    assert seconds["encode"] == pytest.approx(2 + 2 + 4 * 24 * 1e-3)  # 4 batches of tiles
    assert seconds["relevance"] == pytest.approx(3 + 4e-3)
    assert seconds["prefill"] == pytest.approx(4 + 28e-3)
    going_by = 2 * (28 * QWEN.layer_weights + QWEN.vocab * QWEN.width)
    assert seconds["decode"] == pytest.approx(3 * (going_by / 1e10 + 28e-3))


def test_a_plan_holds_what_a_forecast_needs() -> None:
    card = load_card("llava-v1.6-vicuna-7b")
    found = plan(Size(2016, 2016), card, "downsample", 1000)
    side = card.dims.vision.side
    tiles = found.counts.tiles_encoded
    assert found.work.pixels == tiles * 336**2
    assert found.work.feature_values == tiles * side**2 * card.dims.token_width
    assert found.bytes_read is None
    memory = memory_of(card.dims, found.work, HALF)
    assert 13e9 < memory.weights < 15e9
    assert torch.bfloat16.itemsize == HALF.value_bytes
