"""Damaged files of a checkpoint: each one line in our own words, asked or inspected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from uhrqa import load_model
from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import load_card
from uhrqa.vlm.config_checks import check_counts, reason_of
from uhrqa.vlm.inspecting import inspect_named

LIBRARY = ("Error:", "Exception", "NoneType", "StrictDataclass", "state_dict", "untagged")
"""Words of other libraries, and of Python, that no user should have to read."""


@pytest.fixture
def path(checkpoint: Path, tmp_path: Path) -> Path:
    """A small checkpoint with an RFM, to be spoilt."""
    return Path(shutil.copytree(checkpoint, tmp_path / "mine"))


def inspected(path: Path) -> str:
    try:
        return str(inspect_named(str(path)).fault)
    except CheckpointError as error:
        return str(error)


def refused(path: Path, match: str, *, own: bool = True) -> None:
    """Both loading and inspecting tell it in one line; `own` where no library's words are in it."""
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(str(path), device="cpu")
    for told in (str(caught.value), inspected(path)):
        assert "\n" not in told
        assert len(told) < 900
        assert not (own and any(word in told for word in LIBRARY)), told
    assert inspected(path) != "None"


def edit(path: Path, *keys: str, **changes: Any) -> None:
    file = path / "config.json"
    config = section = json.loads(file.read_text())
    for key in keys:
        section = section[key]
    section |= changes
    file.write_text(json.dumps(config))


@pytest.mark.parametrize("value", [0, -1, None, True, 2.5, "4", {}, [4, "x"]])
@pytest.mark.parametrize("key", ["num_attention_heads", "num_hidden_layers"])
@pytest.mark.parametrize("part", ["text_config", "vision_config"])
def test_sizes_that_are_none(checkpoint: Path, part: str, key: str, value: object) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    check_counts("here", config)
    config[part][key] = value
    with pytest.raises(CheckpointError, match=f"here: config.json: {part}: {key} is .*; give a"):
        check_counts("here", config)


@pytest.mark.parametrize("key", ["num_attention_heads", "num_hidden_layers"])
def test_no_heads_and_no_layers(path: Path, key: str) -> None:
    edit(path, "text_config", **{key: 0})
    refused(path, f"text_config: {key} is 0; give a whole number above 0")


@pytest.mark.parametrize(
    ("part", "changes", "match"),
    [
        ("text_config", {"num_attention_heads": 5}, "5 heads do not share a width of 48"),
        ("text_config", {"num_key_value_heads": 3}, "4 heads do not share 3 of keys"),
        ("vision_config", {"num_attention_heads": 7}, "7 heads do not share a width of 32"),
        (
            "text_config",
            {"rope_parameters": 3},
            "cannot be loaded: rope_parameters: 3 is of no type that",
        ),
        ("text_config", {"hidden_act": "nope"}, "cannot be loaded: there is no 'nope'; compare"),
    ],
)
def test_a_configuration_no_model_can_be_built_from(path: Path, part, changes, match) -> None:
    edit(path, part, **changes)
    refused(path, match)


@pytest.mark.parametrize("layer", [99, -99, [-2, 4]])
def test_a_layer_the_tower_does_not_have(path: Path, layer: object) -> None:
    edit(path, vision_feature_layer=layer)
    refused(path, r"vision_feature_layer is -?\d+, and the vision tower has 3 layers")


def test_a_configuration_that_wants_far_more_than_there_is(path: Path, monkeypatch) -> None:
    """Its default sizes would be 26 GB of room, made before anything is seen not to fit."""
    edit(path, text_config={"model_type": "llama"})
    monkeypatch.setattr(
        "uhrqa.vlm.opening.load_strictly", lambda *_, **__: pytest.fail("room is made")
    )
    refused(path, r"4. misshapen weights, first .* is \[320, 48\] in the file, \[32000, 4096\] by")


NAMES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


NO_JSON, NO_OBJECT = "not readable as JSON", "not a JSON object; copy it"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        *((name, b"hello", NO_JSON) for name in (*NAMES, "generation_config.json")),
        *((name, b"null", NO_OBJECT) for name in (*NAMES, "generation_config.json")),
        *(("tokenizer.json", odd, NO_JSON) for odd in (b"", b"\x80\xff", b"[" * 100_000)),
        ("preprocessor_config.json", b"[" * 100_000, NO_JSON),
    ],
)
def test_a_file_of_the_tokenizer_that_is_no_json(path: Path, name, content, match) -> None:
    (path / name).write_bytes(content)
    refused(path, f"{name}: {match}|cannot be loaded", own=False)
    assert f"{name}: {match}" in inspected(path)


def test_a_damaged_config_is_one_line(path: Path) -> None:
    (path / "config.json").write_text("[" * 100_000)
    refused(path, "config.json: not readable as JSON", own=False)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": None}, "no usable tokenizer: .*; copy it"),
        ({"model": {"type": "Nope"}}, "no usable tokenizer: .*; copy it"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "no words for a question; copy it"),
    ],
)
def test_a_damaged_tokenizer(path: Path, change: dict[str, Any], match: str) -> None:
    file = path / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    refused(path, match, own=False)


@pytest.mark.parametrize("ends", ["x", [2, "x"], {"a": 1}, True])
def test_end_tokens_that_are_no_numbers(path: Path, ends: object) -> None:
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    refused(path, "generation_config.json: eos_token_id is .*; give a token's number")


@pytest.mark.parametrize(
    "content",
    [
        '{"image_mean": [0, 0, 0], "image_std": [NaN, 1, 1]}',
        '{"image_mean": [0, 0, Infinity], "image_std": [1, 1, 1]}',
        '{"image_processor": 3}',
        '{"image_mean": 3}',
    ],
)
def test_a_normalisation_that_is_none(path: Path, content: str) -> None:
    (path / "preprocessor_config.json").write_text(content)
    refused(path, "preprocessor_config.json: image_mean and image_std need three numbers each")


def edit_rfm(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = path / "rfm.safetensors"
    with safe_open(str(file), framework="pt") as opened:
        about = opened.metadata()
    state = load_file(file)
    change(state)
    save_file(state, file, about)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda state: [state.pop(name) for name in sorted(state)[:5]],
            r"5 \(layers.0.input_layernorm.weight, .* and 3 more\) of 24 tensors are missing; copy",
        ),
        (
            lambda state: state.update({name: torch.ones(7) for name in sorted(state)[:3]}),
            r"3 of 24 tensors, layers.0.input_layernorm.weight is \[7\] in the file, \[48\] wanted",
        ),
        (
            lambda state: state.update(foo=torch.ones(2)),
            r"1 \(foo\) tensors have no place in it; it is another model's",
        ),
    ],
)
def test_an_rfm_that_does_not_fit(path: Path, change, match: str) -> None:
    edit_rfm(path, change)
    refused(path, f"rfm.safetensors: does not fit this model's decoder: {match}")


def edit_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a safetensors header in place, without making the file whole again."""
    file = path / "model.safetensors"
    raw = file.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    change(header)
    fresh = json.dumps(header).encode()
    file.write_bytes(len(fresh).to_bytes(8, "little") + fresh + raw[end:])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["image_newline"].update(shape=[-1, 48]),
        lambda header: header["image_newline"].update(shape=3),
        lambda header: header["image_newline"].update(data_offsets=[9, 1]),
        lambda header: header["image_newline"].pop("dtype"),
        lambda header: header.update(__metadata__=3),
    ],
)
def test_a_header_that_holds_no_shapes(path: Path, change) -> None:
    edit_header(path, change)
    refused(path, "model.safetensors: header: .*: no usable shape, dtype and place; download")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"x"'])
def test_an_index_that_is_no_object(path: Path, content: str) -> None:
    (path / "model.safetensors").rename(path / "model-00001-of-00001.safetensors")
    (path / "model.safetensors.index.json").write_text(content)
    refused(path, "model.safetensors.index.json: not a JSON object; download")


def test_words_of_a_library_are_cut_to_what_they_say() -> None:
    wrapped = ValueError(
        "Validation error for field 'a':\n  TypeError: Field 'a' expected int, got str"
    )
    assert reason_of(wrapped) == "a: expected int, got str"
    assert reason_of(KeyError("nope")) == "there is no 'nope'"
    assert reason_of(EOFError()) == "EOFError"
    assert len(reason_of(ValueError("x" * 1000))) < 250


def test_a_good_checkpoint_passes_every_check(path: Path) -> None:
    assert inspected(path) == "None"
    assert load_model(str(path), device="cpu").card == load_card(str(path))
