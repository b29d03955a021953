"""`uhrqa models convert`, and asking what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_help import HEAVY, modules_after
from tests.originals import make_original


@pytest.fixture
def original(tmp_path: Path) -> Path:
    make_original(tmp_path / "lrs", "lrs-vqa-qwen2", files=2)
    return tmp_path / "lrs"


def test_convert_says_what_it_wrote_and_ask_answers_the_same(uhrqa, original, image) -> None:
    told = uhrqa("ask", image, "how many ships?", "-m", str(original), "-q")
    assert told.code == 0
    target = original.with_name("out")
    done = uhrqa("models", "convert", str(original), str(target))
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{target}: lrs-vqa, 111 tensors in model, 36 tensors in rfm\n"
    again = uhrqa("ask", image, "how many ships?", "-m", str(target), "-q")
    assert (again.code, again.out) == (0, told.out)


def test_convert_reports_as_json(uhrqa, original) -> None:
    target = original.with_name("out")
    original.with_suffix(".yaml").write_text("weights: lrs\nnotes: mine\n")
    done = uhrqa("models", "convert", str(original), str(target), "--json")
    found = json.loads(done.out)
    assert found["schema"] == "uhrqa.convert/1"
    assert (found["layout"], found["card"]) == ("lrs-vqa", f"{target}.yaml")
    assert found["tensors"] == {"model": 111, "rfm": 36}


def test_convert_into_a_full_directory_is_refused(uhrqa, original) -> None:
    done = uhrqa("models", "convert", str(original), str(original))
    assert done.code == 6
    assert done.err == f"uhrqa: error: {original}: is there and not empty; name a new directory\n"


def test_a_word_that_is_no_command_about_models_is_a_usage_error(uhrqa) -> None:
    done = uhrqa("models", "konvert")
    assert done.code == 2
    assert "No such command 'konvert'" in done.err


def test_the_help_of_convert_imports_nothing_heavy() -> None:
    assert not modules_after(["models", "convert", "--help"]) & HEAVY
