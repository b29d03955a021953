"""Parts on several devices, and weights of few bits: with packages that may be absent."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.families import DECODER, TILE, make_family
from uhrqa import ask, load_model
from uhrqa.errors import ConfigError
from uhrqa.vlm import device

FAMILIES = ("llava_next", "llava_onevision", "qwen2_5_vl", "qwen3_vl_moe", "internvl")
WITH_MAP = importlib.util.find_spec("accelerate") is not None
WITH_BITS = WITH_MAP and importlib.util.find_spec("bitsandbytes") is not None
needs_map = pytest.mark.skipif(not WITH_MAP, reason="needs uhrqa[map]")
needs_bits = pytest.mark.skipif(not WITH_BITS, reason="needs uhrqa[quant]")


def answer(path: Path, family: str, **how: Any) -> str:
    model = load_model(str(path), **how)
    return answer_of(model, family)


def answer_of(model: Any, family: str) -> str:
    side = 3 * TILE[family]
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    found = ask(pixels, "how many?", model=model, strategy="attention-topk", budget=300)
    return found.text


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"device_map": "balanced"}, "unknown device_map 'balanced'"),
        ({"quantize": "3bit"}, "unknown quantize '3bit'"),
        ({"device_map": "auto", "device": "cpu"}, "chooses the devices; leave out device cpu"),
    ],
)
def test_a_wrong_wish_is_one_line(checkpoint: Path, how, fault) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_model(str(checkpoint), **how)


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"device_map": "auto"}, r"accelerate is not installed; pip install 'uhrqa\[map\]'"),
        ({"quantize": "4bit"}, r"bitsandbytes is not installed; pip install 'uhrqa\[quant\]'"),
    ],
)
def test_a_package_that_is_not_there_is_named(checkpoint: Path, monkeypatch, how, fault) -> None:
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=fault):
        load_model(str(checkpoint), **how)


@needs_map
@pytest.mark.parametrize("family", FAMILIES)
def test_a_map_gives_the_same_answer(tmp_path: Path, family: str) -> None:
    path = make_family(tmp_path / family, family)
    assert answer(path, family, device_map="auto") == answer(path, family, device="cpu")


@needs_map
@pytest.mark.parametrize("family", FAMILIES)
def test_parts_that_are_kept_on_the_disk_give_the_same_answer(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_family(tmp_path / family, family)
    kept = {"": "disk"}
    monkeypatch.setattr(
        "uhrqa.vlm.opening.choose_placing",
        lambda *_: {"device_map": kept, "offload_folder": str(tmp_path / "off")},
    )
    model: Any = load_model(str(path))
    assert any(weight.is_meta for weight in model.model.parameters())
    assert str(model.device) == "cpu"
    offloaded = answer_of(model, family)
    monkeypatch.undo()
    assert offloaded == answer(path, family, device="cpu")


@needs_bits
@pytest.mark.filterwarnings("ignore::uhrqa.vlm.device.PrecisionWarning")
@pytest.mark.parametrize(
    ("family", "bits"),
    [*((family, "8bit") for family in FAMILIES), ("llava_next", "4bit"), ("internvl", "4bit")],
)
def test_only_the_decoders_matrices_are_quantised(
    tmp_path: Path, family: str, bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bits == "4bit":  # its blocks are of 64 numbers
        monkeypatch.setitem(DECODER, "hidden_size", 64)
        monkeypatch.setitem(DECODER, "intermediate_size", 128)
    path = make_family(tmp_path / family, family)
    model: Any = load_model(str(path), device="cpu", quantize=bits)
    small = {
        name
        for name, weight in model.model.named_parameters()
        if weight.dtype in (torch.int8, torch.uint8)
    }
    assert small
    assert all(name.startswith("model.language_model.layers.") for name in small)
    assert len(small) % 4 == 0
    held = "nf4" if bits == "4bit" else "int8"
    experts = ", experts float32" if "moe" in family else ""
    assert model.precision == f"{held} (bitsandbytes){experts}"
    assert isinstance(answer_of(model, family), str)


@needs_bits
def test_a_region_focus_module_stays_as_it_is(checkpoint: Path) -> None:
    model: Any = load_model(str(checkpoint), device="cpu", quantize="8bit")
    assert {weight.dtype for weight in model.rfm.parameters()} == {torch.float32}
    pixels = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    assert ask(pixels, "how many?", model=model, strategy="rfm-dip", budget=200).evidence


def decoder_of(*weights: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> Any:
    """A decoder whose one layer holds these weights, quantised or not."""
    layer = torch.nn.ParameterList(
        [torch.nn.Parameter(weight, requires_grad=False) for weight in weights]
    )
    decoder: Any = torch.nn.Module()
    decoder.layers, decoder.dtype = layer, dtype
    return decoder


NORM = torch.ones(8, dtype=torch.bfloat16)
PLAIN = torch.ones(8, 4, dtype=torch.bfloat16)
SMALL = torch.ones(8, 4, dtype=torch.int8)
EXPERTS = torch.ones(2, 8, 4, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ((NORM, PLAIN), "bfloat16"),
        ((NORM, SMALL), "int8 (bitsandbytes)"),
        ((NORM, SMALL, EXPERTS), "int8 (bitsandbytes), experts bfloat16"),
    ],
)
def test_precision_says_what_is_held(weights: tuple[torch.Tensor, ...], told: str) -> None:
    assert device.held_precision(decoder_of(*weights)) == told


def test_experts_that_stay_are_told(recwarn: pytest.WarningsRecorder) -> None:
    device.warn_of_precision(decoder_of(NORM, SMALL), "8bit")
    assert not recwarn
    with pytest.warns(device.PrecisionWarning, match=r"64 of 96 weights .* stay bfloat16"):
        device.warn_of_precision(decoder_of(NORM, SMALL, EXPERTS), "8bit")
    with pytest.warns(device.PrecisionWarning, match=r"64 of 128 weights .* stay bfloat16"):
        device.warn_of_precision(decoder_of(NORM, SMALL, EXPERTS), "4bit")


def test_an_answer_tells_what_the_weights_are_held_in(checkpoint: Path) -> None:
    model: Any = load_model(str(checkpoint), device="cpu", dtype="bfloat16")
    pixels = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    assert ask(pixels, "how many?", model=model, strategy="thumbnail").dtype == "bfloat16"
