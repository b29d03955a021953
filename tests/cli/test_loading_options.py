"""Options about how a model is loaded, from the command line to the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from uhrqa import vlm
from uhrqa.cli import identity as identities
from uhrqa.cli import options as opt
from uhrqa.cli.choice import choose
from uhrqa.config import load_settings


@pytest.fixture
def pickled(checkpoint: Path, tmp_path: Path) -> Path:
    path = Path(shutil.copytree(checkpoint, tmp_path / "pickled"))
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    return path


@pytest.fixture
def questions(image: str, tmp_path: Path) -> Path:
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"image": image, "question": "how many?"}) + "\n")
    return file


def test_pickles_need_their_flag_in_every_command(uhrqa, image, questions, pickled) -> None:
    words: list[tuple[Any, ...]] = [
        ("ask", image, "how many?", "-b", "100"),
        ("batch", questions, "-o", "answers.jsonl", "-b", "100"),
        ("profile", image, "how many?", "-b", "100"),
        ("eval", "synth", "--scenes", "1", "--sides", "512", "--limit", "1", "-b", "64"),
    ]
    for command in words:
        where = [*command, "-m", pickled, "-s", "thumbnail"]
        refused = uhrqa(*where)
        assert refused.code == 4, command
        assert "pickled (pytorch_model.bin)" in refused.err
        assert "--allow-pickle" in refused.err
        assert uhrqa(*where, "--allow-pickle").code == 0, command


def test_pickles_cannot_be_allowed_by_a_file(uhrqa, image, pickled, tmp_path: Path) -> None:
    (tmp_path / "uhrqa.yaml").write_text("allow_pickle: 1\n")
    outcome = uhrqa("ask", image, "how many?", "-m", pickled)
    assert outcome.code == 2
    assert "unknown key 'allow_pickle'" in outcome.err


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_devices_and_bits_reach_the_model(uhrqa, image, monkeypatch, tmp_path, way) -> None:
    asked: dict[str, Any] = {}

    def load_model(name: str, **how: Any) -> None:
        asked.update(how)
        raise MemoryError

    monkeypatch.setattr(vlm, "load_model", load_model)
    monkeypatch.setattr("uhrqa.vlm.at_hand.check_packages", lambda **_: None)  # they may be absent
    flags: list[str] = []
    if way == "flag":
        flags = ["--device-map", "auto", "--quantize", "4bit"]
    elif way == "variable":
        monkeypatch.setenv("UHRQA_DEVICE_MAP", "auto")
        monkeypatch.setenv("UHRQA_QUANTIZE", "4bit")
    else:
        (tmp_path / "uhrqa.yaml").write_text("device_map: auto\nquantize: 4bit\n")
    assert uhrqa("ask", image, "how many?", *flags).code == 5
    assert (asked["device_map"], asked["quantize"], asked["allow_pickle"]) == (
        "auto",
        "4bit",
        False,
    )


@pytest.mark.parametrize(("flag", "word"), [("--quantize", "3bit"), ("--device-map", "all")])
def test_a_word_that_is_none_is_refused(uhrqa, image, flag, word) -> None:
    outcome = uhrqa("ask", image, "how many?", flag, word)
    assert outcome.code == 2
    assert f"bad value '{word}'" in outcome.err


def test_bits_are_part_of_what_a_run_is_told_apart_by(checkpoint: Path) -> None:
    seen = []
    for name, word in (
        ("seed", 0),
        ("quantize", "8bit"),
        ("quantize", "4bit"),
        ("device_map", "auto"),
    ):
        settings = load_settings({"model": str(checkpoint), name: word})
        choice = choose(settings, {})
        seen.append(identities.identity(opt.Given(settings), choice, evidence=False)["dtype"])
    assert seen == ["torch.float32", "torch.float32, 8bit", "torch.float32, 4bit", "torch.float32"]
