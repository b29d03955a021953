"""Original LLaVA checkpoints that are incomplete or damaged: one clear line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.originals import (
    TOWER_WIDTH,
    WIDTH,
    configure,
    edit,
    make_original,
    same,
)
from uhrqa import load_model
from uhrqa.errors import CardError, CheckpointError
from uhrqa.vlm import card as cards
from uhrqa.vlm.card import load_card
from uhrqa.vlm.convert import convert
from uhrqa.vlm.inspecting import inspect_named

IMAGE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
QUESTION = "how many ships are there?"


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(str(path), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("release", "gone", "match"),
    [
        ("uhr-bat", "scale_pos_residuals", "uhr-bat without model.scale_pos_residuals.112, .*224"),
        ("uhr-bat", "residuals.224", "uhr-bat without model.scale_pos_residuals.224; .*untrained"),
        ("uhr-bat", "token_mlp", "without model.multiscale_token_mlp.0.weight"),
        ("uhr-bat", "multiscale_token_mlp.2.bias", "without model.multiscale_token_mlp.2.bias"),
        ("lrs-vqa-qwen2", "token_pruner", "without model.mm_projector.token_pruner.layers.0"),
        ("lrs-vqa-qwen2", "token_pruner.layers.1.mlp.up", "does not fit this model's decoder"),
        ("lrs-vqa-qwen2", "image_newline", "without model.image_newline"),
        ("longva", "mm_projector.2.bias", "1 missing weights, first .*linear_2.bias"),
        ("llava-1.5", "model.layers.2.", "9 missing weights"),
        ("llava-1.5", "encoder.layers.1.mlp.fc2.bias", "1 missing weights, first .*fc2.bias"),
    ],
)
def test_what_is_missing_is_an_error_not_a_random_number(release, gone, match, copy_of) -> None:
    path = copy_of(release)
    edit(path, lambda state: [state.pop(name) for name in list(state) if gone in name])
    refused(path, match)


def test_a_weight_too_many_is_an_error(copy_of) -> None:
    path = copy_of("longva")
    edit(path, lambda state: state.update({"model.stray.weight": torch.zeros(2)}))
    refused(path, "1 unexpected weights, first model.stray.weight")


@pytest.mark.parametrize(
    ("release", "name", "match"),
    [
        ("longva", "model.mm_projector.0.weight",
         rf"linear_1.weight is \[{WIDTH - 1}, {TOWER_WIDTH}\] in the file"),
        ("longva", "model.layers.1.mlp.up_proj.weight", r"up_proj.weight is \[95, 48\] in the"),
        ("uhr-bat", "model.scale_pos_residuals.224", "no usable tables .* no square of tokens"),
        ("uhr-bat", "model.multiscale_token_mlp.0.bias", "no usable tables .*0.bias"),
        ("lrs-vqa-qwen2", "model.mm_projector.token_pruner.layers.1.mlp.up_proj.weight",
         "does not fit .*layers.1.mlp.up_proj.weight"),
    ],
)  # fmt: skip
def test_a_weight_of_another_shape_is_named(release, name, match, copy_of) -> None:
    path = copy_of(release)

    def shrink(state: dict[str, Tensor]) -> None:
        axis = 1 if "residuals" in name else 0
        state[name] = state[name].narrow(axis, 0, state[name].shape[axis] - 1).clone()

    edit(path, shrink)
    refused(path, match)


def test_a_tower_that_is_only_named_must_be_given(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    stock = make_original(tmp_path / "model", "llava-1.5", tower=False)
    refused(tmp_path / "model", "only its name 'openai/.*hf download openai/.*--vision-tower")
    tower = tmp_path / "tower"
    stock.model.vision_tower.save_pretrained(tower)
    convert(str(tmp_path / "model"), tmp_path / "out", vision_tower=tower)
    converted: Any = load_model(str(tmp_path / "out"), device="cpu")
    assert same(converted.model.state_dict(), stock.state_dict())
    (tmp_path / "model.yaml").write_text("weights: model\nvision_tower: tower\n")
    by_card: Any = load_model(str(tmp_path / "model"), device="cpu")
    assert same(by_card.model.state_dict(), stock.state_dict())
    (tmp_path / "model.yaml").unlink()
    configure(tmp_path / "model", mm_vision_tower=str(tower))
    by_name: Any = load_model(str(tmp_path / "model"), device="cpu")
    assert same(by_name.model.state_dict(), stock.state_dict())
    (tower / "model.safetensors").unlink()
    refused(tmp_path / "model", "tower: cannot be loaded")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"architectures": ["LlavaGemmaForCausalLM"]}, "decoder of 'llavagemma.*not supported"),
        ({"architectures": None, "model_type": "llava_mpt"}, "decoder of 'llava_mpt' is not"),
        ({"mm_projector_type": "linear"}, "mm_projector_type 'linear' is not supported"),
        ({"hidden_size": "wide"}, "hidden_size is wide"),
        ({"mm_vision_select_layer": "last"}, "vision_feature_layer"),
        ({"multiscale_target_sizes": "all"}, "multiscale_target_sizes is all"),
    ],
)
def test_a_flat_configuration_that_cannot_be_used_is_one_line(change, match, copy_of) -> None:
    path = copy_of("llava-1.5")
    configure(path, **change)
    refused(path, match)


@pytest.mark.parametrize("release", ["llava-1.5", "lrs-vqa-qwen2", "uhr-bat"])
def test_pickles_are_told_to_be_rewritten_even_where_they_are_allowed(release, copy_of) -> None:
    path = copy_of(release)
    for file in path.glob("model*.safetensors*"):
        file.unlink()
    (path / "pytorch_model.bin").write_bytes(b"not read")
    refused(path, "pickled")
    with pytest.raises(CheckpointError, match=r"original LLaVA .*-stock --allow-pickle"):
        load_model(str(path), device="cpu", allow_pickle=True)


def test_pickled_and_damaged_files_are_refused(copy_of) -> None:
    path = copy_of("longva")
    for file in path.glob("model*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    refused(path, "cut short: 100 bytes, its header alone asks for")
    for file in path.glob("model*"):
        file.unlink()
    (path / "pytorch_model-00001-of-00002.bin").write_bytes(b"\x80\x04not read")
    refused(path, "pickled .*safetensors")


@pytest.mark.parametrize("index", range(3))  # without it the rest looks like another release
def test_a_missing_shard_is_named(index: int, copy_of) -> None:
    path = copy_of("llava-1.6-mistral")  # three files
    shard = sorted(path.glob("model-*.safetensors"))[index]
    shard.unlink()
    told = f"1 of 3 shards that the index names are missing, first {shard.name}"
    refused(path, told)
    with pytest.raises(CheckpointError, match=told):
        inspect_named(str(path))


def test_a_layout_nobody_knows_is_an_error_in_a_card(copy_of, monkeypatch, tmp_path: Path) -> None:
    copy_of("longva")
    (tmp_path / "odd.yaml").write_text("weights: longva\nlayout: longwa\n")
    monkeypatch.setattr(cards, "PLACES", (tmp_path,))
    with pytest.raises(CardError, match="unknown 'longwa'; did you mean 'longva'"):
        load_card("odd")


def test_a_sentencepiece_tokenizer_that_cannot_be_read_names_what_reads_it(copy_of) -> None:
    path = copy_of("llava-1.5")
    for file in path.glob("*token*"):
        file.unlink()
    (path / "tokenizer.model").write_bytes(b"no model")
    refused(path, r"sentencepiece model, .*pip install 'uhrqa\[sentencepiece\]'")


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("lrs-vqa-qwen2", "model.mm_projector.token_pruner.layers.0.mlp.down_proj.weight"),
        ("uhr-bat", "model.scale_pos_residuals.112"),
        ("uhr-bat", "model.multiscale_token_mlp.0.weight"),
    ],
)
def test_what_a_release_brings_besides_must_be_numbers_too(release, name, copy_of) -> None:
    path = copy_of(release)

    def spoil(state: dict[str, Tensor]) -> None:
        state[name].view(-1)[3] = torch.nan

    edit(path, spoil)
    refused(path, "NaN or infinite weights in 1 of")
