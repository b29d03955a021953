"""Pickled checkpoints: looked through, converted, and refused with a command that can be pasted."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.families import make_family
from tests.originals import same, stock_model
from uhrqa import load_model
from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import load_card
from uhrqa.vlm.convert import convert
from uhrqa.vlm.inspecting import inspect_named
from uhrqa.vlm.pickles import as_safetensors, read_pickle
from uhrqa.vlm.report import inspect_checkpoint
from uhrqa.vlm.shards import read_shapes

FAMILIES = ("llava_next", "llava_onevision", "qwen2_vl", "qwen3_vl_moe")
INDEX = "pytorch_model.bin.index.json"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of some families. Do not write into them."""
    top = tmp_path_factory.mktemp("stock")
    return {family: make_family(top / family, family) for family in FAMILIES}


@pytest.fixture
def pickled(stock: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """The same with pickles, in so many files."""

    def make(family: str, files: int = 1) -> Path:
        return as_pickles(Path(shutil.copytree(stock[family], tmp_path / family)), files)

    return make


def as_pickles(path: Path, files: int = 1, **how: Any) -> Path:
    """Write a directory's weights as `torch.save` does."""
    state: dict[str, Tensor] = {}
    for file in path.glob("model*.safetensors*"):
        state |= load_file(file) if file.suffix == ".safetensors" else {}
        file.unlink()
    if files == 1:
        torch.save(state, path / "pytorch_model.bin", **how)
        return path
    table: dict[str, str] = {}
    for part in range(files):
        name = f"pytorch_model-{part + 1:05}-of-{files:05}.bin"
        held = {key: state[key] for key in sorted(state)[part::files]}
        torch.save(held, path / name, **how)
        table |= dict.fromkeys(held, name)
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return path


def refused(path: Path, match: str) -> None:
    """Asked, looked at or converted, a checkpoint is refused in one line that names it."""
    doings: tuple[Callable[[], object], ...] = (
        lambda: load_model(str(path), device="cpu", allow_pickle=True),
        lambda: convert(str(path), path.with_name("out"), allow_pickle=True),
        lambda: inspect_named(str(path), allow_pickle=True),
    )
    for doing in doings:
        with pytest.raises(CheckpointError, match=match) as caught:
            doing()
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    assert not path.with_name("out").exists()


@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_stock_pickles_become_stock_safetensors(
    family: str, files: int, stock, pickled, tmp_path: Path
) -> None:
    path = pickled(family, files)
    with pytest.raises(CheckpointError, match="weights are pickled"):
        convert(str(path), tmp_path / "out")
    done = convert(str(path), tmp_path / "out", allow_pickle=True)
    assert (done.release, done.card) == ("stock", None)
    before: Any = load_model(str(stock[family]), device="cpu")
    after: Any = load_model(str(done.path), device="cpu")
    assert same(after.model.state_dict(), before.model.state_dict())
    assert after.prompter.build("how many?") == before.prompter.build("how many?")
    assert torch.equal(after.mean, before.mean)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([family, "out"])


def test_what_lies_beside_a_stock_pickle_is_taken_along(checkpoint: Path, tmp_path: Path) -> None:
    path = as_pickles(Path(shutil.copytree(checkpoint, tmp_path / "mine")))
    (path / "modeling_x.py").write_text("raise SystemExit")
    path.with_suffix(".yaml").write_text("weights: mine\nbudget: 77\nnotice: careful\n")
    done = convert(str(path), tmp_path / "out", allow_pickle=True)
    card = load_card(str(done.path))
    assert (card.budget, card.notice, card.rfm_layers) == (77, "careful", 2)
    assert same(load_file(done.path / "rfm.safetensors"), load_file(path / "rfm.safetensors"))
    assert not (done.path / "modeling_x.py").exists()


def test_an_original_in_pickles_keeps_what_its_card_says(copy_of, tmp_path: Path) -> None:
    path = as_pickles(copy_of("lrs-vqa-qwen2"))
    path.with_suffix(".yaml").write_text("weights: lrs-vqa-qwen2\nbudget: 77\n")
    done = convert(str(path), tmp_path / "out", allow_pickle=True)
    card = load_card(str(done.path))
    assert (card.budget, card.layout, card.rfm_layers, card.pool) == (77, "lrs-vqa", 3, 2)


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_what_is_written_has_the_rights_of_the_umask(copy_of, tmp_path: Path, umask: int) -> None:
    path = copy_of("lrs-vqa-qwen2")
    old = os.umask(umask)
    try:
        done = convert(str(path), tmp_path / "out")
    finally:
        os.umask(old)
    assert stat.S_IMODE(done.path.stat().st_mode) == 0o777 & ~umask
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in done.path.iterdir()}
    assert modes["model.safetensors"] == modes["rfm.safetensors"] == 0o666 & ~umask
    assert set(modes.values()) == {0o666 & ~umask}


@pytest.mark.parametrize("release", ["lrs-vqa-vicuna", "uhr-bat"])
def test_a_report_on_pickles_is_the_one_on_safetensors(release: str, copy_of) -> None:
    path = copy_of(release)
    wanted = inspect_checkpoint(load_card(str(path)))
    as_pickles(path, 2)
    assert "weights are pickled" in str(inspect_named(str(path)).fault)
    found = inspect_named(str(path), allow_pickle=True)
    assert (found.parts, found.dtypes, found.layout) == (wanted.parts, wanted.dtypes, wanted.layout)
    assert (found.missing, found.directory) == ((), str(path))
    assert list(found.files) == sorted(file.name for file in path.glob("*.bin"))
    assert "write it once with: uhrqa models convert" in str(found.fault)  # so ask says as well


def test_a_report_on_stock_pickles_says_whether_they_load(pickled) -> None:
    path = pickled("qwen2_vl", 2)
    assert inspect_named(str(path), allow_pickle=True).fault is None
    state = torch.load(path / "pytorch_model-00002-of-00002.bin")
    name = sorted(state)[0]
    state[name] = state[name][..., :1]
    torch.save(state, path / "pytorch_model-00002-of-00002.bin")
    fault = str(inspect_named(str(path), allow_pickle=True).fault)
    assert fault.startswith(f"{path}: ")
    assert "1] in the file" in fault


def test_a_report_holds_no_weight_in_memory(pickled, monkeypatch) -> None:
    path = pickled("llava_next")
    tensors = read_pickle(path / "pytorch_model.bin", values=False)
    assert {value.device.type for value in tensors.values()} == {"meta"}
    with as_safetensors(path, values=False) as place:
        (file,) = place.glob("*.safetensors")
        assert file.stat().st_size > 100_000
        assert file.stat().st_blocks * 512 < 100_000  # a header, and a hole
        shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        assert read_shapes(place) == shapes
    assert not place.exists()


def test_pickles_of_old_torch_are_read_too(stock, copy_of, tmp_path: Path) -> None:
    path = as_pickles(copy_of("llava-1.5"), _use_new_zipfile_serialization=False)
    assert inspect_named(str(path), allow_pickle=True).parts
    done = convert(str(path), tmp_path / "out", allow_pickle=True)
    model: Any = load_model(str(done.path), device="cpu")
    assert same(model.model.state_dict(), stock_model("llava-1.5").state_dict())


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("keep", [0.01, 0.5, 0.999])
def test_a_pickle_cut_short(pickled, stock, keep: float, old: bool) -> None:
    path = pickled("llava_next")
    file = path / "pytorch_model.bin"
    if old:
        torch.save(torch.load(file), file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * keep)])
    refused(path, rf"pytorch_model.bin: cut short.* \({int(len(whole) * keep):,} bytes\); download")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"weights go here\n", r"no file of torch.save: it begins with b'weights ' \(16 bytes\)"),
        (b"", r"no file of torch.save: it begins with b'' \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*: git lfs pull"),
        (pickle.dumps({"a": 1}), "no file of torch.save|more than tensors"),
        (pickle.dumps({"a": 1}, protocol=2), "more than tensors|cut short or damaged"),
    ],
)
def test_a_file_that_is_no_pickle_of_weights(pickled, content: bytes, match: str) -> None:
    path = pickled("llava_next")
    (path / "pytorch_model.bin").write_bytes(content)
    refused(path, match)


@pytest.mark.parametrize("state", [{"model": {"a": torch.ones(1)}}, [torch.ones(1)], {1: "x"}])
def test_a_pickle_of_something_else(pickled, state: object) -> None:
    path = pickled("llava_next")
    torch.save(state, path / "pytorch_model.bin")
    refused(path, "pytorch_model.bin: not a table of tensors by name")


def test_pickles_that_the_index_names_and_are_not_there(pickled) -> None:
    path = pickled("llava_next", 2)
    (path / "pytorch_model-00002-of-00002.bin").unlink()
    refused(path, f"1 of 2 pickles that {INDEX} names are missing, first pytorch_model-00002")
    (path / INDEX).write_text("[]")
    refused(path, f"{INDEX}: not a JSON object; download")
    (path / INDEX).write_text('{"weight_map": {"a": 1}, "metadata": {}}')
    refused(path, f"{INDEX}: a: 1 is no file beside the index")


def test_pickles_beside_weights_are_no_weights(pickled) -> None:
    path = pickled("llava_next")
    (path / "pytorch_model.bin").rename(path / "training_args.bin")
    refused(path, "no model.*safetensors and no pytorch_model.*bin")


def test_a_damaged_stock_pickle_is_named_by_its_own_directory(pickled) -> None:
    path = pickled("llava_next")
    state = torch.load(path / "pytorch_model.bin")
    state.pop("model.image_newline", None) or state.pop("image_newline")
    torch.save(state, path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="1 missing weights") as caught:
        convert(str(path), path.with_name("out"), allow_pickle=True)
    assert str(caught.value).startswith(f"{path}: 1 missing")


def command_in(error: pytest.ExceptionInfo[CheckpointError]) -> list[str]:
    """The words of the command that a refusal gives."""
    _, _, rest = str(error.value).partition("uhrqa models convert ")
    return shlex.split(rest.partition(";")[0])


def test_a_refusal_gives_a_command_that_works(copy_of, tmp_path: Path, monkeypatch) -> None:
    path = as_pickles(copy_of("llava-1.5"))
    path = path.rename(path.with_name("it's mine"))
    monkeypatch.chdir(tmp_path)
    for name in (str(path), "./it's mine"):
        with pytest.raises(CheckpointError) as caught:
            load_model(name, device="cpu", allow_pickle=True)
        assert command_in(caught) == [name, "it's mine-stock", "--allow-pickle"]
    with pytest.raises(CheckpointError) as caught:
        load_model("it's mine", device="cpu")
    source, target, _ = command_in(caught)
    convert(source, Path(target), allow_pickle=True)
    assert load_model(target, device="cpu")
