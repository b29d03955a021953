"""Memory and seconds of a plan, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fixtures_raster import level_raster
from tests.test_conventions import counts_of, passes_of
from tests.test_cost import BIG, QWEN
from uhrqa.budget import Budget
from uhrqa.cost import Cost, kv_bytes, vision_flops, weight_bytes
from uhrqa.drops import Stage
from uhrqa.features import FEATURE_BYTES
from uhrqa.forecast import Reads, Setup, Workload, held_bytes, memory_of, seconds_of
from uhrqa.geometry import Size
from uhrqa.ledger import Choosing, Clustering
from uhrqa.plan import PASS_BYTES, PIXEL_BYTES, plan
from uhrqa.raster import levels, open_raster, serving
from uhrqa.rates import Decoder, Rates
from uhrqa.scene import Scene
from uhrqa.strategies import make_strategy
from uhrqa.vlm.card import load_card

HALF = Setup("cuda", "bfloat16", 2, is_shared=False)
DECODERS = {"tiff": Decoder(0.25, 1e-7, 1e-8), "png": Decoder(0.125, 4e-7, 2e-8)}
RATES = Rates(
    "a machine", {1024: 1e12, 3584: 2e12}, 4e12, 1e10, 1e-3, 1e9, 1e-4, 1e6, 5e6, DECODERS, 0.5, 400
)
READS = Reads(100, 100 * 336**2, 4 * 10**7, 10**7, 10**6, 5000)


def work_of(tokens: int = 1000, tiles: int = 100, seen: int = 0, steps: int = 3) -> Workload:
    counts = counts_of((Stage(28, tokens),), tiles=tiles, text=20, steps=steps)
    passes = passes_of(seen, layers=4) if seen else ()
    cost = Cost(vision=2 * 10**12, projector=4 * 10**12, relevance=6 * 10**12, prefill=8 * 10**12)
    return Workload(counts, cost, passes, (), (), tiles * 576 * 3584, READS)


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
    assert seconds["start"] == 0.5
    tower = 2e12 - vision_flops(BIG, 100, attention=False)  # its attention
    assert seconds["encode"] == pytest.approx(
        (2e12 - tower) / 1e12 + tower / 4e12 + 4e12 / 2e12 + 4 * 24 * 1e-3  # 4 batches of tiles
    )

    def layer(tokens: int) -> int:
        return 4 * (tokens * (tokens + 1) // 2) * 3584

    scored, answered = 3 * layer(900), 28 * layer(1020)
    assert seconds["relevance"] == pytest.approx((6e12 - scored) / 2e12 + scored / 4e12 + 4e-3)
    assert seconds["prefill"] == pytest.approx((8e12 - answered) / 2e12 + answered / 4e12 + 28e-3)
    going_by = 2 * (28 * QWEN.layer_weights + QWEN.vocab * QWEN.width)
    assert seconds["decode"] == pytest.approx(3 * (going_by / 1e10 + 28e-3))


def test_reading_takes_decoding_halving_resampling_and_each_tile() -> None:
    pixels = 100 * 336**2
    tiles = pixels / 1e6 + 100 * 1e-4
    known = 0.25 + 4e7 * 1e-7 + 1e7 / 5e6 + 1e6 * 1e-8
    assert READS.seconds(RATES) == pytest.approx(known + tiles)
    guessed = Reads(100, pixels).seconds(RATES)  # of a size alone
    assert guessed == pytest.approx(0.25 + 4 * pixels * 1e-7 + tiles)


def test_reading_goes_by_the_decoder_or_the_nearest_that_was_measured() -> None:
    def taken(name: str) -> float:
        return Reads(0, 0, 10**6, 0, 10**5, decoder=name).seconds(RATES)

    png = 0.125 + 1e6 * 4e-7 + 1e5 * 2e-8
    assert taken("png") == pytest.approx(png)
    assert taken("png in bands") == pytest.approx(png)  # measured before pyvips was there
    assert taken("gdal") == taken("") == taken("tiff") == pytest.approx(0.25 + 0.1 + 0.001)


def test_choosing_takes_time_by_tokens_seen_and_rounds_of_kmeans() -> None:
    def chosen(seen: int, *clusterings: Clustering) -> float:
        work = replace(work_of(), clusterings=clusterings)
        level = replace(work.counts.levels[0], seen=seen)
        work = replace(work, counts=replace(work.counts, levels=(level,)))
        return seconds_of(BIG, work, HALF, RATES)["select"]

    assert chosen(0) == 0
    assert chosen(1000) == pytest.approx(1000 * (5e-6 + 3 * 3584 * 2 / 1e9))
    rounds = Clustering(1000, 20, 11, 3586)
    distances = 2 * 11 * 1000 * 20 * 3586
    assert chosen(0, rounds) == pytest.approx(distances / 2e12 + 4 * 11 * 1000 * 3586 / 1e9)


def test_choosing_one_by_one_goes_through_all_at_each_pick() -> None:
    def chosen(entry: Choosing) -> tuple[float, int]:
        work = replace(work_of(), choosings=(entry,))
        memory = memory_of(BIG, replace(work, counts=counts_of((Stage(28, 1),), text=1)), HALF)
        return seconds_of(BIG, work, HALF, RATES)["select"], memory.activations

    apart = Choosing(100_000, 500, 3584, 256)
    seconds, held = chosen(apart)
    projected = 2 * 100_000 * 3584 * 256
    assert seconds == pytest.approx(projected / 2e12 + 4 * 500 * 100_000 * 256 / 1e10)
    assert held == 4 * 100_000 * 256
    seconds, held = chosen(Choosing(100_000, 200, 256, 256, has_factor=True))
    assert seconds == pytest.approx(4 * 200 * 100_000 * (256 + 300) / 1e10)
    assert held == 4 * 100_000 * (256 + 200)


@pytest.mark.parametrize("strategy", ["divprune", "cdpruner", "dart"])
def test_a_plan_foresees_the_choosing_of_a_run(vlm, strategy: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (224, 224, 3)).astype(np.uint8)
    found = plan(Size(224, 224), vlm.card, strategy, 40)
    scene = Scene(open_raster(pixels), vlm, "how many?")
    make_strategy(strategy, vlm.card.options.get(strategy, {})).select(scene, Budget(40))
    assert found.work.choosings == tuple(scene.ledger.choosings) != ()


def test_a_plan_holds_what_a_forecast_needs() -> None:
    card = load_card("llava-v1.6-vicuna-7b")
    found = plan(Size(2016, 2016), card, "downsample", 1000)
    side = card.dims.vision.side
    tiles = found.counts.tiles_encoded
    assert found.work.reads == Reads(tiles, tiles * 336**2)
    assert not found.work.clusterings
    assert found.work.feature_values == tiles * side**2 * card.dims.token_width
    assert found.bytes_read is None
    memory = memory_of(card.dims, found.work, HALF)
    assert 13e9 < memory.weights < 15e9
    assert torch.bfloat16.itemsize == HALF.value_bytes


def test_a_plan_foresees_the_clustering_of_a_run(vlm) -> None:
    options = {"scales": (112, 224), "shares": (1, 1), "iterations": 3}
    pixels = np.random.default_rng(0).integers(0, 255, (224, 224, 3)).astype(np.uint8)
    found = plan(Size(224, 224), vlm.card, "region-merge", 40, options=options)
    scene = Scene(open_raster(pixels), vlm, "how many?")
    make_strategy("region-merge", options).select(scene, Budget(40))
    assert found.work.clusterings == tuple(scene.ledger.clusterings) != ()


def test_of_a_window_of_a_png_the_whole_is_decoded_and_held(vlm, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((256, 512, 3), np.uint8)).save(tmp_path / "a.png")
    with open_raster(tmp_path / "a.png", roi="0,0,64,64") as raster:
        reads = plan(raster, vlm.card, "downsample", 40).work.reads
    assert reads.decoded == 256 * 512
    assert reads.held >= 256 * 512 * 3
    assert reads.decoder == "png"


def test_blocks_that_are_only_passed_for_coarser_levels_are_not_held(
    vlm, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(levels, "WINDOW_PIXELS", 2**14)
    monkeypatch.setattr(serving, "WHOLE_PIXELS", 2**14)
    level_raster(tmp_path / "flat.tif", Size(512, 512), [])
    with open_raster(tmp_path / "flat.tif") as raster:
        reads = plan(raster, vlm.card, "thumbnail", 40).work.reads
    assert reads.decoded == reads.halved == 512 * 512
    assert reads.held == PIXEL_BYTES * (512 * 512 // 12) + PASS_BYTES
