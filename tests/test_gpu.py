"""What only a CUDA device shows: `make test-gpu`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from uhrqa import ask, load_model
from uhrqa.budget import Budget
from uhrqa.ledger import Ledger
from uhrqa.pyramid import Pyramid
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.strategies import make_strategy
from uhrqa.tile_batches import TileBatches
from uhrqa.training.shape import Machine, Shape
from uhrqa.training.tiny import train

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["rfm-dip", "region-merge", "attention-topk"])
def test_float32_on_a_gpu_keeps_nearly_the_tokens_a_cpu_keeps(checkpoint, image, name) -> None:
    boxes = {}
    for device in ("cpu", "cuda"):
        model = load_model(str(checkpoint), device=device, dtype="float32")
        scene = Scene(open_raster(image), model, "how many?")
        kept = make_strategy(name).select(scene, Budget(80)).tokens
        boxes[device] = {tuple(box) for box in kept.box.tolist()}
    shared = boxes["cpu"] & boxes["cuda"]
    assert len(shared) >= 0.9 * len(boxes["cpu"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_answers_and_reports_the_devices_memory(
    checkpoint: Path, image, dtype
) -> None:
    model = load_model(str(checkpoint), device="cuda", dtype=dtype)
    answer = ask(image, "how many?", model=model, budget=80, max_new_tokens=4)
    assert answer.dtype == dtype
    assert answer.device.startswith("cuda")
    assert answer.device_memory is not None
    assert answer.device_memory > 0


def test_the_same_seed_gives_the_same_selection_on_a_gpu(checkpoint: Path, image) -> None:
    model = load_model(str(checkpoint), device="cuda", dtype="float32")
    runs = [
        make_strategy("region-merge").select(
            Scene(open_raster(image), model, "how many?"), Budget(80)
        )
        for _ in range(2)
    ]
    assert torch.equal(runs[0].tokens.box, runs[1].tokens.box)


def test_reading_ahead_on_a_gpu_keeps_the_same_tokens(checkpoint: Path) -> None:
    model = load_model(str(checkpoint), device="cuda", dtype="float32")
    pixels = np.random.default_rng(0).integers(0, 255, (900, 700, 3), dtype=np.uint8)
    kept = []
    for depth in (0, 2):
        scene = Scene(open_raster(pixels), model, "how many?", ahead=depth)
        kept.append(scene.tokens(scene.pyramid[-1]).embed)
    assert torch.equal(*kept)


def test_tiles_are_pinned_for_a_gpu_also_where_some_are_left_out(tmp_path: Path) -> None:
    pixels = np.full((112, 112, 4), 255, np.uint8)
    pixels[:56, :56, 3] = 0
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    with open_raster(tmp_path / "a.tif") as raster:
        level = Pyramid.build(raster.size, 56, 112)[1]
        reads = TileBatches(raster, (0, 0, 0), torch.device("cuda"), Ledger())
        (batch,) = reads.read(level, list(level.tiles()), 4)
    assert batch.seen == [False, True, True, True]
    assert len(batch.pixels) == 3
    assert batch.pixels.is_pinned()


def test_every_stage_of_the_training_takes_a_step_on_a_gpu(tmp_path: Path) -> None:
    shape = Shape(width=32, vision_layers=1, vision_heads=2, vision_ffn=48, layers=3, heads=4,
                  ffn=48, vocabulary=640)  # fmt: skip
    train(tmp_path / "out", tmp_path, (2, 2, 2), 0, Machine("cuda", 2), shape)
    assert (tmp_path / "out" / "rfm.safetensors").is_file()
