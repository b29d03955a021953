from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from uhrqa import ask, load_model
from uhrqa.errors import CardError, CheckpointError, ConfigError, UhrqaError, UnknownNameError
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.rfm import rfm_depth
from uhrqa.vlm import card as cards
from uhrqa.vlm.card import load_card
from uhrqa.vlm.device import choose_attention
from uhrqa.vlm.placement import Placement


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(str(path), device="cpu")
    assert "\n" not in str(caught.value)


def edit_weights(path: Path, change) -> None:
    state = load_file(path / "model.safetensors")
    change(state)
    save_file(state, path / "model.safetensors", {"format": "pt"})


def test_a_missing_weight_is_an_error_not_a_random_number(copy: Path) -> None:
    edit_weights(copy, lambda state: state.pop(sorted(state)[-1]))
    refused(copy, "1 missing weights")


def test_a_weight_of_another_shape_is_named_with_both_shapes(copy: Path) -> None:
    def shrink(state: dict[str, torch.Tensor]) -> None:
        name = next(key for key in state if key.endswith("linear_1.weight"))
        state[name] = state[name][:-1].clone()

    edit_weights(copy, shrink)
    refused(copy, r"linear_1.weight is \[47, 32\] in the file, \[48, 32\] by the config; the files")


def test_of_each_kind_of_fault_the_number_and_the_first_names_are_told(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 92
    (copy / "config.json").write_text(json.dumps(config))

    def spoil(state: dict[str, torch.Tensor]) -> None:
        state.update(stray=torch.zeros(2))
        state.pop(next(key for key in state if key.endswith("linear_1.weight")))

    edit_weights(copy, spoil)
    refused(
        copy,
        r"12 misshapen weights, first \S*layers.0.mlp.down_proj.weight is \[48, 96\] in the file, "
        r"\[48, 92\] by the config, .* and 9 more; 1 missing weights, first \S*linear_1.weight; "
        r"1 unexpected weights, first \S*stray; the files do not match config.json \(\S*\); uhrqa "
        r"models inspect \S* lists all",
    )


def test_a_weight_too_many_is_an_error(copy: Path) -> None:
    edit_weights(copy, lambda state: state.update(stray=torch.zeros(2)))
    refused(copy, "unexpected weights, first .*stray")


def test_pickled_weights_are_refused_without_being_read(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04not read")
    refused(copy, "pickled .*safetensors")


def test_a_truncated_file_is_refused(copy: Path) -> None:
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(copy, "cut short: 333,508 bytes, its header asks for 667,016")


def test_a_directory_without_weights_says_so(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    refused(copy, "no model\\*.safetensors")


def test_an_unsupported_family_is_named(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "gemma3"}))
    refused(copy, "'gemma3' is not supported: its image tokens .* both ways, .*; supported: llava")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_config_is_refused(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    refused(copy, "config.json: not")


@pytest.mark.parametrize(
    "change",
    [
        {"vision_feature_layer": "last"},
        {"text_config": {"model_type": "qwen2", "num_attention_heads": 0}},
        {"text_config": {"model_type": "qwen2", "hidden_size": "wide"}},
        {"vision_config": {"image_size": None, "hidden_size": -3}},
    ],
)
def test_values_of_the_wrong_kind_in_a_config_are_refused(copy: Path, change) -> None:
    config = json.loads((copy / "config.json").read_text())
    for key, value in change.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    (copy / "config.json").write_text(json.dumps(config))
    refused(copy, "config.json|cannot be loaded")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessor_config.json", b'{"image_mean": [1, 2], "image_std": [1, 1, 1]}'),
        ("preprocessor_config.json", b"[]"),
        ("rfm.safetensors", b"\x02\0\0\0\0\0\0\0[]"),
        ("placement.safetensors", b"\x00\x01"),
        ("tokenizer.json", b"{"),
    ],
)
def test_damaged_companions_of_the_weights_are_refused(copy: Path, name, content) -> None:
    (copy / name).write_bytes(content)
    refused(copy, name.split(".")[0].split("_")[0])


def test_a_template_for_text_content_works_too(copy: Path) -> None:
    model: Any = load_model(str(copy), device="cpu")
    model.tokenizer.chat_template = "{% for m in messages %}{{ '[INST] ' + m.content }}{% endfor %}"
    before = model.tokenizer.decode(model.build_prompt("how many?").before)
    assert before.startswith("[INST] ")


def test_a_template_beside_the_tokenizer_is_found(copy: Path) -> None:
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    model: Any = load_model(str(copy), device="cpu")
    assert "im_start" in model.tokenizer.decode(model.build_prompt("how many?").before)


def test_code_in_the_checkpoint_is_never_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text("raise SystemExit('executed')")
    assert load_model(str(copy), device="cpu").card.family == "llava_next"


def test_an_rfm_of_another_width_is_refused(copy: Path) -> None:
    state = load_file(copy / "rfm.safetensors")
    wrong = {key: value[..., :-1].clone() for key, value in state.items()}
    save_file(wrong, copy / "rfm.safetensors", {"format": "uhrqa-rfm"})
    refused(copy, "does not fit")


def test_any_other_safetensors_file_is_no_rfm(copy: Path) -> None:
    save_file({"layers.0.x": torch.zeros(1)}, copy / "rfm.safetensors")
    refused(copy, "not a Region Focus Module")


def test_a_name_nobody_has_is_answered_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        load_card("tinny")


def test_a_hub_id_that_is_not_cached_names_the_download(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="hf download some/model"):
        load_card("some/model")


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="not a checkpoint directory"):
        load_card(str(file))


def test_an_unknown_key_in_a_card_is_an_error(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("weights: odd\nbudgget: 3\n")
    monkeypatch.setattr(cards, "PLACES", (tmp_path,))
    with pytest.raises(CardError, match="unknown key 'budgget'; did you mean 'budget'"):
        load_card("odd")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("budget: many", "not a number of tokens"),
        ("budget: 4.5", "budget"),
        ("min_side: wide", "'wide' is no int | none"),
        ("options: 3", "3 is no mapping"),
        ("relevance_layer: [2]", "relevance_layer"),
        ("stretch_thumbnail: 2", "2 is no bool"),
        ("min_side: -5", "-5: give 1 or more"),
        ("rfm_layers: -1", "-1: give 0 or more"),
        ("options: {rfm-dip: 3}", "rfm-dip: write `key: value` pairs"),
        ("weights: 5", "5 is no str"),
        ("paper: caf\xe9", "not readable as YAML"),
    ],
)
def test_a_wrong_value_in_a_card_is_an_error(
    copy: Path, monkeypatch, tmp_path: Path, line, fault
) -> None:
    (tmp_path / "odd.yaml").write_bytes(f"weights: copy\n{line}\n".encode("latin-1"))
    monkeypatch.setattr(cards, "PLACES", (tmp_path,))
    with pytest.raises(CardError, match=fault):
        load_card("odd")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("tile_side: 84", "tile_side: the tower takes 56 px; leave it out"),
        ("packing: tiles", "packing: tiles: rows that end are rows of a whole level"),
        ("packing: rows", "packing: rows: give raster or tiles"),
        ("pool: 3", "pool: 3: a tile has 4 tokens along its side"),
        ("pool: true", "pool: True is no int"),
        ("family: llava", "copy: family: llava, but .*config.json is of llava_next; leave"),
        (
            "relevance_layer: 4",
            "relevance_layer: 4: config.json says 4 layers; give one from 0 to 3",
        ),
    ],
)
def test_a_card_its_family_cannot_do_is_one_line(copy: Path, line: str, fault: str) -> None:
    (copy.parent / "copy.yaml").write_text(f"weights: copy\n{line}\n")
    with pytest.raises(CardError, match=fault):
        load_card(str(copy))


def test_a_plan_counts_the_text_between_levels(copy: Path) -> None:
    (copy.parent / "copy.yaml").write_text("weights: copy\nbetween: ':'\n")
    model = load_model(str(copy), device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    answer = ask(image, "how many?", model=model, strategy="uniform", budget=60)
    prompt = len(model.build_prompt("how many?"))
    planned = plan(Size(300, 200), model.card, "uniform", 60, question_tokens=prompt)
    assert planned.counts.text == answer.counts.text == prompt + 1
    assert load_card("lrs-vqa-qwen2").between_tokens == 1
    assert replace(model.card, between="<|vision_end|><|vision_start|>").between_tokens == 2


def test_tables_of_another_width_are_refused_at_once(copy: Path) -> None:
    tables = {"position": torch.zeros(9, 4, 4), "scale": torch.zeros(14, 9)}
    save_file(tables, copy / "placement.safetensors")
    refused(copy, "tables of width 9, the decoder has 48")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model_type": "blip_2"}, "model_type 'blip_2' is not supported; supported"),
        ({"model_type": None}, "is not supported; supported: llava, "),
        ({"text_config": None}, "no text_config"),
        ({"text_config": 5}, "no text_config"),
        ({"vision_config": [1]}, "no vision_config"),
        ({"vision_feature_layer": "last"}, "vision_feature_layer"),
        ({"vision_feature_layer": []}, "vision_feature_layer"),
        ({"text_config": {"max_position_embeddings": "long"}}, "max_position_embeddings is long"),
        ({"vision_config": {"image_size": 14, "patch_size": 28}}, "smaller than one patch of 28"),
    ],
)
def test_a_configuration_nothing_can_be_planned_with_is_one_line(
    copy: Path, monkeypatch, change, fault
) -> None:
    config = json.loads((copy / "config.json").read_text()) | change
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=fault):
        load_card(str(copy))
    in_card = json.dumps({"weights": "hub:some/model", "config": config})  # JSON is YAML, too
    copy.with_name("own.yaml").write_text(in_card)
    monkeypatch.setattr(cards, "PLACES", (copy.parent,))
    with pytest.raises(CheckpointError, match=fault):
        load_card("own")


def test_a_cards_budget_is_written_as_on_the_command_line(copy: Path) -> None:
    copy.with_suffix(".yaml").write_text("weights: copy\nbudget: 1.5k\n")
    assert load_card(str(copy)).budget == 1500


@pytest.mark.parametrize("name", cards.list_cards())
def test_every_card_gives_the_dimensions_a_plan_needs(name: str) -> None:
    card = load_card(name)
    assert card.tile % card.pixels_per_token == 0
    assert card.context > card.budget
    assert card.dims.decoder.layers > 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dtype", "float31"),
        ("device", "cuda:99"),
        ("device", "meta"),
        ("device", "x"),
        ("attention", "eager"),
        ("attention", "flash_attention_2"),  # neither the package nor, in tests, a GPU
    ],
)
def test_a_device_or_dtype_there_is_not_is_refused(checkpoint: Path, key, value) -> None:
    with pytest.raises(ConfigError, match=value):
        load_model(str(checkpoint), **{key: value})


def test_a_card_made_from_a_directory_knows_its_rfm(checkpoint: Path) -> None:
    card = load_card(str(checkpoint))
    assert (card.rfm, card.rfm_layers, card.tile) == ("rfm.safetensors", 2, 56)
    assert card.pixels_per_token == Fraction(14)
    assert card.context == 4096


def test_a_card_holds_for_the_directory_of_its_weights_too(monkeypatch) -> None:
    named, directory = load_card("tiny"), Path(cards.PLACES[1], "tiny")
    monkeypatch.chdir(directory)
    for way in (str(directory), f"{directory}/", "../tiny", "."):
        card = load_card(way)
        assert card.name == way
        assert Path(card.weights).resolve() == directory
        for entry in dataclasses.fields(card):
            if entry.name not in ("name", "weights"):
                assert getattr(card, entry.name) == getattr(named, entry.name), entry.name


@pytest.mark.parametrize("text", ["weights: another\n", "- 1\n", "", "learning_rate: 1\n"])
def test_a_file_beside_a_directory_that_is_not_its_card_is_left_alone(copy: Path, text) -> None:
    copy.with_suffix(".yaml").write_text(text)
    assert load_card(str(copy)).budget == 4000
    copy.with_suffix(".yaml").write_text("weights: copy\nbudget: 77\n")
    assert load_card(str(copy)).budget == 77


def test_a_card_holds_for_the_hub_id_of_its_weights_too() -> None:
    named = load_card("llava-v1.6-vicuna-7b")
    card = load_card("llava-hf/llava-v1.6-vicuna-7b-hf")
    assert (card.budget, card.prompt, card.dims) == (named.budget, named.prompt, named.dims)


def test_the_depth_of_an_rfm_is_read_as_strictly_as_its_weights(copy: Path) -> None:
    file = copy / "rfm.safetensors"
    assert rfm_depth(file) == 2
    save_file({"norm.weight": torch.zeros(1)}, file, {"format": "uhrqa-rfm"})
    refused(copy, "holds no layers")
    with pytest.raises(CheckpointError, match="holds no layers"):
        rfm_depth(file)
    save_file({"layers.0.x": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="not a Region Focus Module"):
        rfm_depth(file)


def test_reading_a_card_with_an_rfm_imports_no_torch(checkpoint: Path) -> None:
    code = (
        "import sys; from uhrqa.vlm.card import load_card; "
        f"assert load_card({str(checkpoint)!r}).rfm_layers == 2; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_placement_tables_that_are_not_are_refused(tmp_path: Path) -> None:
    save_file({"position": torch.zeros(3, 2, 2)}, tmp_path / "p.safetensors")
    with pytest.raises(UhrqaError, match="no placement tables"):
        Placement.load(tmp_path / "p.safetensors")


@pytest.mark.parametrize(
    ("installed", "device", "dtype", "chosen"),
    [
        (True, "cuda", torch.bfloat16, "flash_attention_2"),
        (True, "cuda", torch.float32, "sdpa"),  # flash-attn computes in half precision only
        (True, "cpu", torch.bfloat16, "sdpa"),
        (False, "cuda", torch.bfloat16, "sdpa"),
    ],
)
def test_flash_attention_is_used_where_it_can_run(
    monkeypatch, installed, device, dtype, chosen
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    assert choose_attention("auto", torch.device(device), dtype) == chosen


@pytest.mark.parametrize("name", ["rfm.safetensors", "placement.safetensors"])
def test_companions_that_hold_what_is_no_number_are_refused(copy: Path, name: str) -> None:
    if name.startswith("placement"):
        tables = {"position": torch.zeros(48, 4, 4), "scale": torch.zeros(14, 48)}
        save_file(tables, copy / name)
    state = load_file(copy / name)
    first = sorted(state)[0]
    state[first].view(-1)[0] = torch.nan
    save_file(state, copy / name, {"format": "uhrqa-rfm"})
    refused(copy, f"{name}: NaN or infinite weights in 1 of .* first {first}")
