"""Checkpoints that cannot be used: one clear line each, before anything is answered."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.families import make_family
from uhrqa import load_model
from uhrqa.errors import CheckpointError

NAMES = ("llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl_moe", "internvl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A checkpoint of a family; each is made once. Do not write into it."""
    place = tmp_path_factory.mktemp("families")

    def make(family: str) -> Path:
        path = place / family
        return path if path.exists() else make_family(path, family)

    return make


@pytest.fixture
def copied(made, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of it that may be spoilt."""
    return lambda family: Path(shutil.copytree(made(family), tmp_path / family))


def refused(path: Path, match: str, **how: Any) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(str(path), device="cpu", **how)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def edit_config(path: Path, **changes: Any) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def spoil(path: Path, part: str, change: Callable[[torch.Tensor], None]) -> str:
    """Change the first weight whose name holds `part`; its name."""
    state = load_file(path / "model.safetensors")
    name = next(key for key in sorted(state) if part in key)
    change(state[name])
    save_file(state, path / "model.safetensors", {"format": "pt"})
    return name


def as_shards(path: Path) -> list[Path]:
    """Write a checkpoint's weights again as two shards and an index."""
    state = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    names = sorted(state)
    table: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: state[name] for name in part}, path / file, {"format": "pt"})
        table |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": table}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return sorted(path.glob("model-*"))


def test_a_shard_cut_short_or_missing(copied) -> None:
    path = copied("qwen2_5_vl")
    shards = as_shards(path)
    assert load_model(str(path), device="cpu").card.family == "qwen2_5_vl"
    whole = shards[1].read_bytes()
    shards[1].write_bytes(whole[:-7])
    refused(path, f"cut short: {len(whole) - 7:,} bytes, its header asks for {len(whole):,}")
    shards[1].unlink()
    refused(path, f"1 of 2 shards that the index names are missing, first {shards[1].name}")
    shards[0].unlink()
    refused(path, "2 of 2 shards .* download")


def test_an_index_that_names_what_is_not_there(copied) -> None:
    path = copied("internvl")
    as_shards(path)
    index = path / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["x"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(content))
    refused(path, "names 1 weights that are not in their shards, first x")


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers(copied, family: str, value: float) -> None:
    path = copied(family)

    def change(weight: torch.Tensor) -> None:
        weight.view(-1)[weight.numel() // 2] = value

    spoil(path, "down_proj", change)
    refused(path, "NaN or infinite weights in 1 of .*down_proj|NaN .*experts")


def test_large_weights_are_no_fault(copied) -> None:
    """Sums of half-precision weights may pass what half precision holds."""
    path = copied("llava")
    state = {name: value.half() for name, value in load_file(path / "model.safetensors").items()}
    name = next(key for key in sorted(state) if "down_proj" in key)
    state[name].fill_(60000)
    save_file(state, path / "model.safetensors", {"format": "pt"})
    assert load_model(str(path), device="cpu", dtype="float16")


def test_a_configuration_without_a_vision_part(copied) -> None:
    path = copied("qwen2_5_vl")
    edit_config(path, vision_config=None)
    refused(path, "config.json: no vision_config: a model that reads no images")


@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral", "gemma2", "made_up"])
def test_a_text_only_model(copied, family: str) -> None:
    path = copied("llava")
    (path / "config.json").write_text(json.dumps({"model_type": family, "hidden_size": 48}))
    refused(path, f"'{family}' is not supported: a text-only model.*; supported: llava, ")


def test_code_in_the_checkpoint_is_never_run(copied, tmp_path: Path) -> None:
    path, proof = copied("internvl"), tmp_path / "ran"
    code = f"import pathlib; pathlib.Path({str(proof)!r}).touch()"
    for name in ("evil.py", "modeling_x.py", "configuration_x.py", "tokenization_x.py"):
        (path / name).write_text(code)
    (path / "custom_generate").mkdir()
    (path / "custom_generate" / "generate.py").write_text(code)
    places = {"AutoConfig": "configuration_x.C", "AutoModel": "modeling_x.M"}
    edit_config(path, auto_map=places)
    table = json.loads((path / "tokenizer_config.json").read_text())
    table["auto_map"] = {"AutoTokenizer": ["tokenization_x.T", None]}
    (path / "tokenizer_config.json").write_text(json.dumps(table))
    assert load_model(str(path), device="cpu").card.family == "internvl"
    edit_config(path, model_type="internvl_chat")
    refused(path, "'internvl_chat' .* code from the checkpoint .* remote code is never run")
    assert not proof.exists()


@pytest.mark.parametrize("family", NAMES)
def test_a_directory_without_a_tokenizer(copied, family: str) -> None:
    path = copied(family)
    (path / "tokenizer.json").unlink()
    refused(path, "no tokenizer .*tokenizer.json.*; copy it")


def strip_tokenizer(path: Path, token: str) -> None:
    """Take a token and those added after it out of a tokenizer, as a base model's has none."""
    file = path / "tokenizer.json"
    content = json.loads(file.read_text())
    number = next(t["id"] for t in content["added_tokens"] if t["content"] == token)
    content["added_tokens"] = [t for t in content["added_tokens"] if t["id"] < number]
    content["model"]["vocab"].pop(token, None)
    file.write_text(json.dumps(content))
    config = json.loads((path / "tokenizer_config.json").read_text())
    config["extra_special_tokens"] = []
    (path / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("family", "token"), [("qwen2_5_vl", "<|image_pad|>"), ("internvl", "<IMG_CONTEXT>")]
)
def test_a_tokenizer_without_the_image_token(copied, family: str, token: str) -> None:
    path = copied(family)
    strip_tokenizer(path, token)
    refused(path, "its tokenizer of .* tokens has no image token .*; copy the tokenizer")
    edit_config(path, image_token_id=20, image_token_index=20)
    told = re.escape(f"which has no {token}; copy")  # its <image> is another family's
    refused(path, f"image_token_id 20 is '1' in the tokenizer, {told}")


def test_llava_needs_no_image_token_where_its_place_is_known(copied) -> None:
    path = copied("llava")
    strip_tokenizer(path, "<image>")
    model = load_model(str(path), device="cpu")
    assert len(model.build_prompt("how many?").before) > 0


@pytest.mark.parametrize("family", NAMES)
def test_a_tokenizer_without_a_template(copied, family: str) -> None:
    path = copied(family)
    (path / "chat_template.jinja").unlink()
    if "llava" not in family:
        refused(path, "no chat template, and .* knows no other; copy chat_template.jinja")
        return
    model: Any = load_model(str(path), device="cpu")
    text = model.tokenizer.decode(model.build_prompt("how many?").after)
    assert text == (
        "\nhow many? ASSISTANT:"
        if family == "llava"
        else "\nhow many?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_template_without_a_place_for_the_image(copied) -> None:
    path = copied("qwen2_5_vl")
    (path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}{% endfor %}")
    refused(path, "chat template has no place for an image")


def test_dtypes_no_model_is_built_from(copied) -> None:
    path = copied("llava")
    state = load_file(path / "model.safetensors")
    for name in [name for name in sorted(state) if "mlp" in name]:
        state[name] = state[name].to(torch.float8_e4m3fn)
    save_file(state, path / "model.safetensors", {"format": "pt"})
    refused(path, "dtype F8_E4M3 of .* weights, first .*mlp.* is not supported; .*bfloat16")


def test_weights_that_were_quantised_before(copied) -> None:
    path = copied("qwen2_5_vl")
    edit_config(path, quantization_config={"quant_method": "awq", "bits": 4})
    refused(path, r"already quantised \(awq\).*; take the original checkpoint and --quantize")


def as_pickle(path: Path) -> Path:
    """Write a checkpoint's weights as old releases have them."""
    state = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    torch.save(state, path / "pytorch_model.bin")
    return path / "pytorch_model.bin"


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_pickles_are_read_only_when_they_are_allowed(made, copied, family: str) -> None:
    path = copied(family)
    as_pickle(path)
    refused(path, r"pickled \(pytorch_model.bin\), which can run code .*--allow-pickle")
    ours: Any = load_model(str(path), device="cpu", allow_pickle=True)
    theirs: Any = load_model(str(made(family)), device="cpu", allow_pickle=True)
    for name, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], value)


class Evil:
    """Writes a file when it is unpickled by an unguarded reader."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


def test_a_pickle_that_would_run_code_is_refused_even_then(copied, tmp_path: Path) -> None:
    path, proof = copied("llava"), tmp_path / "ran"
    state = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    torch.save(state | {"x": Evil(proof)}, path / "pytorch_model.bin")
    refused(path, "more than tensors, which may be code: not read", allow_pickle=True)
    assert not proof.exists()
    torch.load(path / "pytorch_model.bin", weights_only=False)
    assert proof.exists(), "the test's own pickle does nothing"


def test_safetensors_are_preferred_where_both_are_there(copied) -> None:
    path = copied("llava")
    (path / "pytorch_model.bin").write_bytes(b"no pickle at all")
    assert load_model(str(path), device="cpu", allow_pickle=True)
