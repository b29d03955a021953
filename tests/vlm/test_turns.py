"""How earlier turns are written in each kind of template."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.checkpoints import make_checkpoint
from uhrqa import load_model
from uhrqa.errors import QuestionError
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.vlm.turns import Turn, write_turns

HISTORY = [Turn("how many ships?", "3"), Turn("where?", "left")]
CHATML = "<|im_start|>user\n<image>\n{question}<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            "Be kind. USER: <image>\n{question} ASSISTANT:",
            (
                "Be kind. USER: <image>\nhow many ships? ASSISTANT: 3</s>USER: where? ASSISTANT: "
                "left</s>USER: what? ASSISTANT:"
            ),
        ),
        (
            "[INST] <image>\n{question} [/INST]",
            (
                "[INST] <image>\nhow many ships? [/INST] 3</s>[INST] where? [/INST] left</s>"
                "[INST] what? [/INST]"
            ),
        ),
        (
            CHATML,
            (
                "<|im_start|>user\n<image>\nhow many ships?<|im_end|>\n<|im_start|>assistant\n3"
                "<|im_end|>\n<|im_start|>user\nwhere?<|im_end|>\n<|im_start|>assistant\nleft"
                "<|im_end|>\n<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n"
            ),
        ),
        (
            "<image>\nQ: {question} A:",
            "<image>\nQ: how many ships? A: 3</s>Q: where? A: left</s>Q: what? A:",
        ),
    ],
)
def test_a_template_of_one_turn_is_repeated_without_the_image(template: str, text: str) -> None:
    assert write_turns(template, "what?", HISTORY, image="<image>", end="</s>") == text
    alone = template.replace("{question}", "what?")
    assert write_turns(template, "what?", [], image="<image>", end="</s>") == alone


def test_a_chat_template_gets_the_turns_as_messages(vlm) -> None:
    prompt = vlm.build_prompt("what?", [Turn("how many ships?", "<image> 3")])
    assert vlm.tokenizer.decode(prompt.before) == "<|im_start|>user\n"
    assert vlm.tokenizer.decode(prompt.after) == (
        "\nhow many ships?<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n"
        "<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert vlm.tokenizer.decode(prompt.after[-(prompt.asked or 0) :]).startswith("what?")
    assert vlm.build_prompt("what?").asked is None


def test_a_template_without_a_place_for_answers_is_told(tmp_path) -> None:
    model: Any = load_model(str(make_checkpoint(tmp_path / "one")), device="cpu")
    model.tokenizer.chat_template = "<image>{{ messages[0].content[1].text }}"
    with pytest.raises(QuestionError, match="--history 0"):
        model.build_prompt("what?", HISTORY)


def test_relevance_of_text_rows_is_read_from_the_last_question_alone(vlm) -> None:
    image = torch.randint(0, 255, (200, 200, 3), dtype=torch.uint8).numpy()
    scene = Scene(open_raster(image), vlm, "what?", history=HISTORY)
    scene.relevance(scene.tokens(scene.pyramid[1]), source="llm", rows="text")
    (only,) = scene.ledger.passes
    assert only.rows == scene.prompt.asked
    assert only.rows < len(scene.prompt.after)
