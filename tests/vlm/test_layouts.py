"""Original LLaVA checkpoints: every release is told by its keys and acts as trained."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.originals import (
    NEWLINE,
    PATCH,
    RFM_LAYERS,
    SIDES,
    TILE,
    WIDTH,
    configure,
    edit,
    original_key,
    own_tensors,
    same,
    stock_model,
)
from uhrqa import ask, load_model
from uhrqa.errors import CheckpointError
from uhrqa.pyramid import Pyramid
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.vlm import card as cards
from uhrqa.vlm.card import load_card
from uhrqa.vlm.convert import convert
from uhrqa.vlm.stock_config import vision_config

IMAGE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
QUESTION = "how many ships are there?"


def answer_of(path: Path) -> tuple[str, list[Any]]:
    """What a checkpoint writes with its own defaults, and where it looked."""
    told = ask(IMAGE, QUESTION, model=load_model(str(path), device="cpu"), budget=150,
               max_new_tokens=8)  # fmt: skip
    return told.text, [(entry.box, entry.level, entry.relevance) for entry in told.evidence]


@pytest.mark.parametrize(
    ("release", "layout", "card"),
    [
        ("llava-1.5", "llava", {"row_ends": False, "pool": 1, "stretch_thumbnail": False}),
        ("llava-1.6-qwen", "llava", {"row_ends": True, "pool": 1, "stretch_thumbnail": True}),
        ("lrs-vqa-qwen2", "lrs-vqa", {"row_ends": True, "pool": 2, "pool_thumbnail": False,
                                      "between": ":", "packing": "raster",
                                      "stretch_thumbnail": False, "rfm_layers": RFM_LAYERS}),
        ("longva", "longva", {"row_ends": False, "pool": 2, "pool_thumbnail": True,
                              "packing": "tiles"}),
        ("uhr-bat", "uhr-bat", {"row_ends": False, "pool": 1, "packing": "tiles", "budget": 3000,
                                "strategy": "region-merge"}),
        ("geollava-8k", "geollava-8k", {"row_ends": False, "pool": 2, "packing": "tiles"}),
    ],
)  # fmt: skip
def test_a_release_is_told_by_its_keys_and_brings_its_defaults(
    release, layout, card, copy_of, tmp_path
) -> None:
    path = copy_of(release).rename(tmp_path / "any-name")
    found = load_card(str(path))
    assert (found.layout, found.template) == (layout, False)
    assert {key: getattr(found, key) for key in card} == card
    assert found.family == ("llava_next" if release in NEWLINE else "llava")


SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
VICUNA = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions. USER: "
)
REPLY = "<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("release", "text"),
    [
        ("lrs-vqa-qwen2", f"{SYSTEM}|\nhow many?\n{REPLY}"),
        ("lrs-vqa-vicuna", f"{VICUNA}|\nhow many?\n ASSISTANT:"),
        ("longva", f"{SYSTEM}|\nhow many?{REPLY}"),
        ("llava-1.5", f"{VICUNA}|\nhow many? ASSISTANT:"),
        ("llava-1.6-mistral", "[INST] |\nhow many? [/INST]"),
    ],
)
def test_the_prompt_is_the_releases_and_not_the_tokenizers(release, text, originals) -> None:
    model: Any = load_model(str(originals[release]), device="cpu")
    assert model.tokenizer.chat_template
    prompt = model.build_prompt("how many?")
    before, after = model.tokenizer.decode(prompt.before), model.tokenizer.decode(prompt.after)
    assert f"{before}|{after}" == text
    colon = model.tokenizer(":").input_ids if release.startswith("lrs") else []
    assert list(prompt.between) == colon


def test_the_rotary_base_is_the_configurations(originals) -> None:
    model: Any = load_model(str(originals["longva"]), device="cpu")
    decoder = model.model.get_decoder()
    assert torch.allclose(decoder.rotary_emb.inv_freq, 1e9 ** (-torch.arange(0, 12, 2) / 12))


def test_the_rfm_is_read_from_the_checkpoints_own_shards(originals, tmp_path: Path) -> None:
    path = originals["lrs-vqa-qwen2"]
    prefix = "model.mm_projector.token_pruner."
    stored = own_tensors("lrs-vqa-qwen2", stock_model("lrs-vqa-qwen2"))
    wanted = {name.removeprefix(prefix): value for name, value in stored.items()}
    del wanted["norm.weight"]
    for place in (path, convert(str(path), tmp_path / "out").path):
        model: Any = load_model(str(place), device="cpu")
        assert same(model.rfm.state_dict(), wanted)
        assert (model.rfm_layers, model.card.rfm_layers) == (RFM_LAYERS, RFM_LAYERS)
        told = ask(IMAGE, QUESTION, model=model, max_new_tokens=1)
        assert {(part.source, part.full_layers) for part in told.relevance} == {("rfm", 2)}


def test_uhr_bat_adds_the_map_of_a_tokens_view_to_every_tile(originals) -> None:
    tables = own_tensors("uhr-bat", stock_model("uhr-bat"))
    model: Any = load_model(str(originals["uhr-bat"]), device="cpu")
    scene = Scene(open_raster(IMAGE), model, QUESTION)
    side = TILE // PATCH
    for level in Pyramid.views(scene.size, TILE, SIDES).levels[1:]:
        with_map = scene.tokens(level)
        bare = Scene(open_raster(IMAGE), dataclasses.replace(model, placement=None), QUESTION)
        table = tables[f"model.scale_pos_residuals.{max(level.size)}"]
        own = int(table.shape[1] ** 0.5)
        grid = table.reshape(1, own, own, WIDTH).permute(0, 3, 1, 2)
        tile = functional.interpolate(grid, size=(side, side), mode="bilinear")[0]
        wanted = tile[:, with_map.row % side, with_map.col % side].T
        added = with_map.embed - bare.tokens(level).embed
        torch.testing.assert_close(added, wanted, rtol=0, atol=1e-4)


def test_uhr_bats_mlp_takes_the_visual_tokens_of_the_answer_alone(originals) -> None:
    tables = own_tensors("uhr-bat", stock_model("uhr-bat"))
    w0, b0, w2, b2 = (tables[f"model.multiscale_token_mlp.{part}"]
                      for part in ("0.weight", "0.bias", "2.weight", "2.bias"))  # fmt: skip
    model: Any = load_model(str(originals["uhr-bat"]), device="cpu")
    scene = Scene(open_raster(IMAGE), model, QUESTION)
    sequence = model.assemble(scene.prompt, scene.tokens(scene.pyramid.thumbnail))
    by_hand = sequence.embeds.clone()
    kept = by_hand[0, sequence.visual]
    by_hand[0, sequence.visual] = functional.gelu(kept @ w0.T + b0) @ w2.T + b2
    bare = dataclasses.replace(model, placement=None)
    wanted = bare.generate(dataclasses.replace(sequence, embeds=by_hand), 8).ids
    assert model.generate(sequence, 8).ids == wanted
    assert bare.generate(sequence, 8).ids != wanted


def test_uhr_bats_mlp_may_lie_without_its_prefix(copy_of) -> None:
    path = copy_of("uhr-bat")
    before = answer_of(path)

    def bare(state: dict[str, Tensor]) -> None:
        for name in [name for name in state if "multiscale" in name]:
            state[name.removeprefix("model.")] = state.pop(name)

    edit(path, bare)
    assert answer_of(path) == before


def test_a_tower_takes_the_pixels_and_gives_the_state_it_was_trained_with(originals) -> None:
    models: list[Any] = [load_model(str(originals[name]), device="cpu")
                         for name in ("llava-1.6-qwen", "llava-siglip")]  # fmt: skip
    clip, siglip = (model.model.config for model in models)
    assert (clip.vision_feature_layer, clip.vision_feature_select_strategy) == (-2, "default")
    assert (siglip.vision_feature_layer, siglip.vision_feature_select_strategy) == (-1, "full")
    assert models[1].fill == (128, 128, 128)
    assert load_card(str(originals["llava-siglip"])).tokens_per_tile == (TILE // PATCH) ** 2


def test_a_siglip_tower_is_told_by_its_shapes() -> None:
    inner = "model.vision_tower.vision_tower.vision_model."
    shapes = {
        f"{inner}embeddings.patch_embedding.weight": (1152, 3, 14, 14),
        f"{inner}embeddings.position_embedding.weight": (729, 1152),
    }
    for layer in range(26):
        shapes[f"{inner}encoder.layers.{layer}.mlp.fc1.weight"] = (4304, 1152)
    named = {"mm_vision_tower": "google/siglip-so400m-patch14-384"}
    found = vision_config(named, shapes, None)
    assert found == vision_config(named, {}, None) | {"num_hidden_layers": 26}
    with pytest.raises(CheckpointError, match="'x/none' is not stored and not known"):
        vision_config({"mm_vision_tower": "x/none"}, {}, None)


@pytest.mark.parametrize(("release", "decoder"), [("llava-1.5", "llama"), ("longva", "qwen2")])
def test_where_the_class_is_just_llava_the_keys_tell_the_decoder(release, decoder, copy_of) -> None:
    path = copy_of(release)
    configure(path, architectures=["LlavaForCausalLM"], model_type="llava")
    assert load_card(str(path)).config["text_config"]["model_type"] == decoder


def test_reading_an_original_card_imports_no_torch(originals) -> None:
    path = str(originals["lrs-vqa-qwen2"])
    code = (
        "import sys; from uhrqa.vlm.card import load_card; "
        f"assert load_card({path!r}).rfm_layers == {RFM_LAYERS}; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_released_card_holds_for_the_original_files(copy_of, monkeypatch, tmp_path: Path) -> None:
    path = copy_of("lrs-vqa-qwen2")
    whole = load_card("lrs-vqa-qwen2")
    config = load_card(str(path)).config
    file = {"weights": "hub:some/lrs", "layout": whole.layout, "rfm_layers": RFM_LAYERS,
            "config": config}  # fmt: skip
    (tmp_path / "own.yaml").write_text(json.dumps(file))
    monkeypatch.setattr(cards, "PLACES", (tmp_path,))
    for module in ("source", "card", "card_fields"):
        monkeypatch.setattr(f"uhrqa.vlm.{module}.cached_snapshot", lambda hub_id: path)
    assert (whole.pool, whole.between, whole.rfm_layers) == (2, ":", 5)
    model: Any = load_model("own", device="cpu")
    assert (model.rfm_layers, model.card.pool, model.card.between) == (RFM_LAYERS, 2, ":")


def test_original_keys_are_those_of_the_releases() -> None:
    tower = "model.vision_tower.encoder.layers.0.mlp.fc1.weight"
    assert original_key(tower, "longva") == (
        "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight"
    )
    first = "model.multi_modal_projector.linear_1.weight"
    assert original_key(first, "longva") == "model.mm_projector.0.weight"
    assert original_key(first, "lrs-vqa-qwen2") == "model.mm_projector.mlp_projector.0.weight"
    assert original_key("model.language_model.norm.weight", "longva") == "model.norm.weight"
