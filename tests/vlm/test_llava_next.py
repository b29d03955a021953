from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration, LlavaNextProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)

from tests.checkpoints import PATCH, TILE, make_checkpoint, make_tokenizer
from uhrqa import ask, load_model
from uhrqa.errors import QuestionError
from uhrqa.geometry import Size
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.strategies.baselines import Full
from uhrqa.tokens import VisualTokens, end_rows

QUESTION = "How many ships are there?"
# What the stock processor tiles without resizing or padding: a grid of whole tiles.
SHAPES = [(112, 112), (56, 112), (112, 56), (112, 168)]


def stock_inputs(path: Path, image: np.ndarray) -> dict[str, torch.Tensor]:
    tokenizer = make_tokenizer()
    config = LlavaNextConfig.from_pretrained(path)
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": TILE},
        crop_size={"height": TILE, "width": TILE},
        image_grid_pinpoints=config.image_grid_pinpoints or [],
        image_mean=[0.5, 0.4, 0.2],
        image_std=[0.5, 0.6, 0.7],
    )
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    parts = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    chat: Any = [{"role": "user", "content": parts}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return processor(images=Image.fromarray(image), text=text, return_tensors="pt")


@pytest.mark.parametrize("decoder", ["qwen2", "llama"])
def test_nothing_pruned_gives_the_tokens_of_stock_generate(tmp_path: Path, decoder: str) -> None:
    path = make_checkpoint(tmp_path / decoder, decoder)
    stock = LlavaNextForConditionalGeneration.from_pretrained(path).eval()
    ours = load_model(str(path), device="cpu")
    rng = np.random.default_rng(1)
    texts = set()
    for height, width in SHAPES:
        image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        inputs = stock_inputs(path, image)
        written = stock.generate(**inputs, max_new_tokens=20, do_sample=False)[0]
        ids = [i for i in written[inputs["input_ids"].shape[1] :].tolist() if i != 2]
        scene = Scene(open_raster(image), ours, QUESTION)
        thumbnail = scene.tokens(scene.pyramid.thumbnail)
        finest = end_rows(scene.tokens(scene.pyramid.finest), scene.newline)
        sequence = ours.assemble(scene.prompt, VisualTokens.cat([thumbnail, finest]))
        assert sequence.embeds.shape[1] == inputs["input_ids"].shape[1]
        assert list(ours.generate(sequence, 20).ids) == ids
        texts.add(ask(image, QUESTION, model=ours, strategy=Full(), budget=2000).text)
    assert len(texts) > 1  # the image matters, so equal tokens mean something


def test_encoding_tiles_one_by_one_changes_nothing(vlm) -> None:
    pixels = torch.randint(0, 255, (5, 3, TILE, TILE), dtype=torch.uint8)
    together = vlm.encode_tiles(pixels)
    alone = torch.cat([vlm.encode_tiles(tile[None]) for tile in pixels])
    assert together.shape == (5, 4, 4, 48)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_padding_has_the_colour_that_normalises_to_zero(vlm) -> None:
    assert vlm.fill == (128, 102, 51)


def test_prompt_keeps_the_question_whole_and_has_one_place_for_the_image(vlm) -> None:
    prompt = vlm.build_prompt("  Is there a tank?  ")
    assert vlm.tokenizer.decode(prompt.before) == "<|im_start|>user\n"
    after = "\nIs there a tank?<|im_end|>\n<|im_start|>assistant\n"
    assert vlm.tokenizer.decode(prompt.after) == after


@pytest.mark.parametrize("question", ["", "   ", "what is in <image>?"])
def test_questions_that_cannot_be_asked_are_refused(vlm, question: str) -> None:
    with pytest.raises(QuestionError):
        vlm.build_prompt(question)


def test_a_question_longer_than_the_context_is_refused_with_the_numbers(tmp_path: Path) -> None:
    small = load_model(str(make_checkpoint(tmp_path / "small", context=96)), device="cpu")
    image = np.zeros((56, 56, 3), np.uint8)
    with pytest.raises(QuestionError, match=r"\d+ tokens.*context of 96"):
        ask(image, "ships " * 90, model=small, strategy="thumbnail", budget=20)


def test_the_budget_gives_way_to_the_context_and_the_answer_says_so(tmp_path: Path) -> None:
    small = load_model(str(make_checkpoint(tmp_path / "small", context=96)), device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    answer = ask(image, "how many?", model=small, strategy="downsample", budget=5000)
    assert answer.counts.kept + answer.counts.text + 32 <= 96
    assert "lowered from 5000" in answer.notes[0]


def test_sequence_positions_point_at_what_they_say(vlm) -> None:
    scene = Scene(open_raster(np.zeros((60, 60, 3), np.uint8)), vlm, "how many?")
    tokens = scene.tokens(scene.pyramid.thumbnail)
    sequence = vlm.assemble(scene.prompt, tokens)
    assert torch.equal(sequence.embeds[0, sequence.visual], tokens.embed)
    last = vlm.model.get_input_embeddings()(torch.tensor(scene.prompt.after[-1]))
    assert torch.equal(sequence.embeds[0, sequence.text_after[-1]], last)
    assert scene.size == Size(60, 60)
