"""`uhrqa.vlm.convert`: the same weights, the same answers, in the stock layout."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.originals import (
    RELEASES,
    configure,
    edit,
    own_tensors,
    same,
    state_of,
    stock_model,
)
from uhrqa import ask, load_model
from uhrqa.errors import CheckpointError, ConfigError, OutputError
from uhrqa.vlm.card import load_card
from uhrqa.vlm.convert import convert

IMAGE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
QUESTION = "how many ships are there?"


def answer_of(path: Path) -> tuple[str, list[Any]]:
    """What a checkpoint writes with its own defaults, and where it looked."""
    told = ask(IMAGE, QUESTION, model=load_model(str(path), device="cpu"), budget=150,
               max_new_tokens=8)  # fmt: skip
    return told.text, [(entry.box, entry.level, entry.relevance) for entry in told.evidence]


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(str(path), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("release", RELEASES)
def test_every_weight_is_the_stock_models_before_and_after_convert(
    release: str, originals, tmp_path: Path
) -> None:
    whole = stock_model(release).state_dict()
    before: Any = load_model(str(originals[release]), device="cpu")
    assert same(before.model.state_dict(), whole)
    done = convert(str(originals[release]), tmp_path / "out")
    after: Any = load_model(str(tmp_path / "out"), device="cpu")
    assert same(after.model.state_dict(), whole)
    assert done.tensors["model"] == len(whole)
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.std, after.std)
    for entry in dataclasses.fields(before.card):
        if entry.name not in ("name", "weights", "config", "rfm"):
            assert getattr(after.card, entry.name) == getattr(before.card, entry.name), entry.name
    assert answer_of(tmp_path / "out") == answer_of(originals[release])


def test_convert_keeps_what_a_card_says_and_what_no_model_takes(copy_of, tmp_path: Path) -> None:
    path = copy_of("geollava-8k")
    path.with_suffix(".yaml").write_text("weights: geollava-8k\nbudget: 77\nnotice: careful\n")
    done = convert(str(path), tmp_path / "new" / "out")
    assert done.card == tmp_path / "new" / "out.yaml"
    card = load_card(str(done.path))
    assert (card.budget, card.notice, card.pool, card.layout) == (77, "careful", 2, "geollava-8k")
    kept = load_file(done.path / "reghead.safetensors")
    wanted = own_tensors("geollava-8k", stock_model("geollava-8k"))
    assert same({f"reghead.{key}": value for key, value in kept.items()}, wanted)
    assert done.tensors["reghead"] == 3


def test_a_converted_uhr_bat_without_its_tables_is_refused(originals, tmp_path: Path) -> None:
    done = convert(str(originals["uhr-bat"]), tmp_path / "out")
    (done.path / "multiscale.safetensors").unlink()
    refused(done.path, "multiscale.safetensors: missing")


def test_convert_writes_into_nothing_that_is_there(originals, tmp_path: Path) -> None:
    path = originals["longva"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(OutputError, match="not empty"):
        convert(str(path), tmp_path / "full")
    (tmp_path / "new.yaml").touch()
    with pytest.raises(OutputError, match=r"new\.yaml: is there"):
        convert(str(path), tmp_path / "new")
    done = convert(str(path), tmp_path / "out")
    with pytest.raises(ConfigError, match="stock layout already"):
        convert(str(done.path), tmp_path / "again")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["full", "new.yaml", "out"]


def test_a_failed_convert_leaves_nothing_behind(copy_of, tmp_path: Path) -> None:
    path = copy_of("longva")
    edit(path, lambda state: state.pop("lm_head.weight"))
    with pytest.raises(CheckpointError, match="1 missing"):
        convert(str(path), tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["longva"]


def test_convert_keeps_the_precision_and_tied_embeddings(copy_of, tmp_path: Path) -> None:
    path = copy_of("lrs-vqa-qwen2")
    configure(path, tie_word_embeddings=True)

    def halve(state: dict[str, Tensor]) -> None:
        del state["lm_head.weight"]
        state.update({name: value.half() for name, value in state.items()})

    edit(path, halve)
    before: Any = load_model(str(path), device="cpu")
    assert before.model.lm_head.weight is before.model.get_input_embeddings().weight
    done = convert(str(path), tmp_path / "out")
    stored = state_of(done.path) | load_file(done.path / "rfm.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    after: Any = load_model(str(done.path), device="cpu")
    assert same(after.model.state_dict(), before.model.state_dict())
    assert after.model.lm_head.weight is after.model.get_input_embeddings().weight


def pickled(path: Path, files: int = 2) -> Path:
    """The weights of a directory as pickles, in so many files."""
    state: dict[str, Tensor] = {}
    for file in sorted(path.glob("model*.safetensors")):
        state |= load_file(file)
        file.unlink()
    (path / "model.safetensors.index.json").unlink(missing_ok=True)
    names = sorted(state)
    for part in range(files):
        held = {name: state[name] for name in names[part::files]}
        torch.save(held, path / f"pytorch_model-{part + 1:05}-of-{files:05}.bin")
    return path


@pytest.mark.parametrize("release", ["llava-1.5", "llava-1.6-mistral", "lrs-vqa-qwen2", "uhr-bat"])
def test_pickles_convert_to_the_same_where_they_are_allowed(release, copy_of, tmp_path) -> None:
    path = pickled(copy_of(release))
    with pytest.raises(CheckpointError, match="pickled"):
        convert(str(path), tmp_path / "out")
    done = convert(str(path), tmp_path / "out", allow_pickle=True)
    assert done.release in ("llava", "lrs-vqa", "uhr-bat")
    after: Any = load_model(str(tmp_path / "out"), device="cpu")
    assert same(after.model.state_dict(), stock_model(release).state_dict())
    assert not list(tmp_path.glob(".out-*"))
    assert not list(path.glob("*.safetensors"))  # the source is as it was


def test_a_pickle_with_code_in_it_is_not_converted(copy_of, tmp_path: Path) -> None:
    path = pickled(copy_of("llava-1.5"), 1)
    file = path / "pytorch_model-00001-of-00001.bin"
    torch.save({"model.norm.weight": Path("x")}, file)
    with pytest.raises(CheckpointError, match="more than tensors, which may be code"):
        convert(str(path), tmp_path / "out", allow_pickle=True)
    assert not (tmp_path / "out").exists()
