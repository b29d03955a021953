"""What a report on a checkpoint says agrees with what loading does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.families import make_family
from tests.originals import edit
from tests.vlm.test_headers import write_sparse
from uhrqa import load_model
from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import load_card
from uhrqa.vlm.convert import convert
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.headers import INDEX
from uhrqa.vlm.parts import part_of
from uhrqa.vlm.report import Report, inspect_checkpoint

BIG = "llava-v1.6-mistral-7b"


def report_on(path: Path) -> Report:
    return inspect_checkpoint(load_card(str(path)))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_good_checkpoint_of_every_family_loads_and_is_counted(
    tmp_path: Path, family: str
) -> None:
    path = make_family(tmp_path / family, family)
    report = report_on(path)
    assert report.fault is None
    model: Any = load_model(str(path), device="cpu")
    assert report.kind == type(model.model).__name__
    assert report.parameters == sum(weight.numel() for weight in model.model.parameters())
    assert report.bytes == 4 * report.parameters
    assert "other" not in report.parts
    inside = model.model.model
    tower = inside.visual if "qwen" in family else inside.vision_tower
    merged = ("merger.", "deepstack_merger_list.")
    assert report.parts["tower"].parameters == sum(
        weight.numel() for name, weight in tower.named_parameters() if not name.startswith(merged)
    )
    tied = model.model.config.tie_word_embeddings
    assert ("head" in report.parts) is not tied
    assert report.parts["decoder"].parameters == sum(
        weight.numel() for weight in model.model.get_decoder().parameters()
    )
    written = json.loads(json.dumps(report.to_dict()))
    assert (written["loads"], written["parameters"]) == (True, report.parameters)


def test_extras_are_parts_of_their_own(checkpoint: Path) -> None:
    parts = report_on(checkpoint).parts
    model: Any = load_model(str(checkpoint), device="cpu")
    assert parts["rfm"].parameters == sum(weight.numel() for weight in model.rfm.parameters())
    assert parts["newline"].parameters == 48


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.mm_projector.token_pruner.layers.0.self_attn.q_proj.weight", "rfm"),
        ("model.mm_projector.mlp_projector.0.weight", "projector"),
        ("model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias", "tower"),
        ("visual.deepstack_merger_list.0.norm.weight", "projector"),
        ("model.layers.3.mlp.up_proj.weight", "decoder"),
        ("model.scale_pos_residuals.672", "extras"),
        ("reghead.0.weight", "reghead"),
    ],
)
def test_names_of_other_layouts_belong_to_their_part(name: str, part: str) -> None:
    assert part_of(name) == part


def drop(state: dict[str, torch.Tensor]) -> None:
    del state[next(name for name in sorted(state) if "down_proj" in name)]


def add(state: dict[str, torch.Tensor]) -> None:
    state["stray"] = torch.zeros(2)


def cut(state: dict[str, torch.Tensor]) -> None:
    name = next(name for name in sorted(state) if "linear_1.weight" in name)
    state[name] = state[name][:-1].clone()


def narrow(path: Path) -> None:
    state = {name: value[..., :-1].clone() for name, value in load_file(path).items()}
    save_file(state, path, {"format": "uhrqa-rfm"})


def without(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def with_state(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        state = load_file(path / "model.safetensors")
        change(state)
        save_file(state, path / "model.safetensors", {"format": "pt"})

    return spoil


SPOILT: dict[str, Callable[[Path], object]] = {
    "missing": with_state(drop),
    "unexpected": with_state(add),
    "mismatched": with_state(cut),
    "truncated": lambda path: (path / "model.safetensors").write_bytes(
        (path / "model.safetensors").read_bytes()[:-9]
    ),
    "no weights": without("model.safetensors"),
    "no tokenizer": without("tokenizer.json"),
    "bad template": lambda path: (path / "chat_template.jinja").write_text("nothing"),
    "bad processor": lambda path: (path / "preprocessor_config.json").write_text("[]"),
    "bad rfm": lambda path: (path / "rfm.safetensors").write_bytes(b"{}"),
    "bad placement": lambda path: save_file(
        {"position": torch.zeros(3, 2, 2)}, path / "placement.safetensors"
    ),
    "narrow rfm": lambda path: narrow(path / "rfm.safetensors"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_report_has_the_fault_that_loading_tells(
    checkpoint: Path, tmp_path: Path, what: str
) -> None:
    path = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    try:
        SPOILT[what](path)
        report = report_on(path)
        fault = report.fault
    except CheckpointError as error:
        fault = str(error)
    with pytest.raises(CheckpointError) as caught:
        load_model(str(path), device="cpu")
    assert fault
    told = str(caught.value).split("; uhrqa models inspect")[0]  # loading points to the report
    assert fault.split("does not fit")[0] == told.split("does not fit")[0]
    if what in ("missing", "unexpected", "mismatched"):
        assert len(getattr(report, what)) == 1


def test_an_original_release_is_told_by_its_own_name(originals: dict[str, Path]) -> None:
    for release, path in originals.items():
        report = report_on(path)
        assert report.fault is None, release
        assert report.layout.startswith("original LLaVA ("), release
        assert (report.missing, report.unexpected) == ((), ()), release
        assert "other" not in report.parts, release
        model: Any = load_model(str(path), device="cpu")
        numbers = sum(weight.numel() for weight in model.model.get_decoder().parameters())
        assert report.parts["decoder"].parameters == numbers, release
        assert ("rfm" in report.parts) == (model.rfm is not None), release


@pytest.mark.parametrize(
    ("release", "gone"),
    [
        ("uhr-bat", "token_mlp"),
        ("lrs-vqa-qwen2", "token_pruner"),
        ("lrs-vqa-qwen2", "token_pruner.layers.1.mlp.up"),
        ("longva", "mm_projector.2.bias"),
        ("llava-1.5", "model.layers.2."),
    ],
)
def test_an_original_release_has_the_fault_that_loading_tells(copy_of, release, gone) -> None:
    path = copy_of(release)
    edit(path, lambda state: [state.pop(name) for name in list(state) if gone in name])
    fault = report_on(path).fault
    with pytest.raises(CheckpointError) as caught:
        load_model(str(path), device="cpu")
    assert fault
    assert fault.split("does not fit")[0].rstrip("/: ") in str(caught.value)


@pytest.mark.parametrize(
    ("release", "file"),
    [("uhr-bat", "multiscale.safetensors"), ("lrs-vqa-qwen2", "rfm.safetensors")],
)
def test_a_converted_release_is_stock_with_its_extras(
    originals: dict[str, Path], tmp_path: Path, release: str, file: str
) -> None:
    path = tmp_path / "stock"
    convert(str(originals[release]), path)
    report = report_on(path)
    assert report.fault is None
    assert report.layout == f"stock, from {load_card(str(originals[release])).layout}"
    assert file in report.files
    (path / file).unlink()
    assert report_on(path).fault == fault_of_loading(path)


def fault_of_loading(path: Path) -> str | None:
    try:
        load_model(str(path), device="cpu")
    except CheckpointError as error:
        return str(error)
    return None


def make_big(path: Path) -> Path:
    """A 15 GB checkpoint of the real sizes that takes no place on the disk, in four shards."""
    card = load_card(BIG)
    kind: Any = transformers.LlavaNextForConditionalGeneration
    with torch.device("meta"):
        names = kind(kind.config_class.from_dict(dict(card.config))).state_dict()
    path.mkdir()
    (path / "config.json").write_text(json.dumps({**card.config, "image_token_index": 3}))
    table: dict[str, str] = {}
    for shard in range(4):
        file = f"model-{shard + 1:05}-of-00004.safetensors"
        tensors = {
            name: ("BF16", list(value.shape), 2 * value.numel())
            for name, value in sorted(names.items())[shard::4]
        }
        write_sparse(path / file, tensors)
        table |= dict.fromkeys(tensors, file)
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return path


def test_fifteen_gigabytes_take_seconds_and_no_memory(checkpoint: Path, tmp_path: Path) -> None:
    path = make_big(tmp_path / "big")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(checkpoint / name, path)
    before = resident()
    start = time.perf_counter()
    report = report_on(path)
    assert time.perf_counter() - start < 10
    assert resident() - before < 500e6
    assert report.fault is None
    assert report.bytes == 2 * report.parameters > 15e9
    assert len(report.files) == 4
    assert report.dtypes == {"BF16": report.bytes}


def resident() -> int:
    """Bytes of memory this process has taken at most so far."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1])


def test_files_that_are_damaged_are_told_before_torch_is_imported(
    checkpoint: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    SPOILT["truncated"](path)
    code = (
        "import sys; from uhrqa.vlm.card import load_card; "
        "from uhrqa.vlm.report import inspect_checkpoint; "
        f"fault = inspect_checkpoint(load_card({str(path)!r})).fault; "
        "assert 'cut short' in fault; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
