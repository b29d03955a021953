"""Tokenizers that are not their configuration's, templates that fail, files that are pointers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from uhrqa import load_model
from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import load_card
from uhrqa.vlm.report import inspect_checkpoint

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5000\n"


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def refused(path: Path, match: str) -> None:
    """Loading and inspecting say the same, in one line."""
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(str(path), device="cpu")
    assert "\n" not in str(caught.value)
    try:
        told = str(inspect_checkpoint(load_card(str(path))).fault)
    except CheckpointError as error:
        told = str(error)
    assert told == str(caught.value)


def configure(path: Path, **changes: object) -> None:
    file = path / "config.json"
    config = json.loads(file.read_text())
    config.pop("image_token_index", None)
    file.write_text(json.dumps(config | changes))


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize(
    ("number", "what"),
    [
        (20, "20 is '1' in the tokenizer, whose <image> is 3; write that"),
        (1, r"1 is '<\|im_start\|>' in the tokenizer, whose <image> is 3"),
        (310, "310 is no token of the tokenizer, whose <image> is 3"),
        (-1, "-1 is no token of the tokenizer, whose <image> is 3"),
    ],
)
def test_the_number_of_the_image_token_is_the_tokenizers(copy, number, what, template) -> None:
    configure(copy, image_token_id=number)
    if not template:
        (copy / "chat_template.jinja").unlink()
    refused(copy, f"copy: config.json: image_token_id {what}")


def test_an_ordinary_word_is_no_image_token(copy: Path) -> None:
    text = (copy / "tokenizer.json").read_text()
    (copy / "tokenizer.json").write_text(text.replace("<image>", "<other>"))
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").write_text(template.replace("<image>", "<other>"))
    configure(copy, image_token_id=3)
    assert load_model(str(copy), device="cpu")
    configure(copy, image_token_id=20)
    refused(copy, "image_token_id 20 is '1' in the tokenizer, an ordinary word")


def test_a_tokenizer_of_more_words_than_the_decoder_has(copy: Path) -> None:
    file = copy / "tokenizer.json"
    content = json.loads(file.read_text())
    vocab = content["model"]["vocab"]
    vocab |= {f"word{number}": number for number in range(len(vocab), 330)}
    file.write_text(json.dumps(content))
    refused(copy, r"its tokenizer has 330 words, its decoder 320 \(config.json: vocab_size\)")


def test_a_template_that_is_no_jinja_is_told_with_its_line(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("{% for m in messages %}\n{{ m.role }\n{% endfor %}")
    refused(copy, "its chat template is no Jinja, line 2: unexpected '}'; copy it from")


def test_a_template_that_fails_is_told_with_its_reason(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("{{ raise_exception('system first') }}")
    refused(copy, "no place for an image .*; it fails with: system first")


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "tokenizer.json", "rfm.safetensors", "preprocessor_config.json",
     "config.json"],
)  # fmt: skip
def test_a_pointer_of_git_lfs_is_told_as_such(copy: Path, name: str) -> None:
    (copy / name).write_text(POINTER)
    refused(copy, f"{name}: a Git LFS pointer, not the file itself; fetch it with: git -C .* lfs")


def test_pointers_of_an_original_checkpoint_are_told_too(copy_of) -> None:
    path = copy_of("longva")
    for file in path.glob("model*.safetensors"):
        file.write_text(POINTER)
    refused(path, "safetensors: a Git LFS pointer")


@pytest.mark.parametrize("fault", ["1 // 0", "messages[9].role", "[][3:].pop()"])
def test_a_template_that_fails_as_a_program_is_one_line(copy: Path, fault: str) -> None:
    (copy / "chat_template.jinja").write_text("{{ " + fault + " }}")
    refused(copy, "its chat template has no place for an image .*; it fails with: ")
