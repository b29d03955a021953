"""A small checkpoint of every family, and the same question put to stock transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import AddedToken
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import logging

from tests.checkpoints import make_tokenizer
from uhrqa.vlm.families import FAMILIES

MEAN, STD = (0.5, 0.4, 0.2), (0.5, 0.6, 0.7)
CELL = {"qwen2_vl": 28, "qwen2_5_vl": 28, "internvl": 28, "qwen3_vl": 32, "qwen3_vl_moe": 32}
TILE = {name: 2 * CELL.get(name, 28) for name in FAMILIES}
TILE["llava_onevision"] = 60  # no multiple of its patch, as 384 px in patches of 14
SIDE = {name: TILE[name] // CELL.get(name, 14) for name in FAMILIES}  # tokens
IMAGE = {name: "<|image_pad|>" if "qwen" in name else "<image>" for name in FAMILIES}
IMAGE["internvl"] = "<IMG_CONTEXT>"
AROUND = dict.fromkeys(FAMILIES, ("", ""))
AROUND["internvl"] = ("<img>", "</img>")
DECODER = {
    "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 340, "max_position_embeddings": 4096,
    "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
TOWER = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "patch_size": 14,
}  # fmt: skip
QWEN_TOWER = {"depth": 4, "num_heads": 4, "patch_size": 14}


def tokenizer_of(family: str) -> PreTrainedTokenizerFast:
    """The common small tokenizer with the family's image tokens and template."""
    tokenizer = make_tokenizer()
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
             "<IMG_CONTEXT>", "<img>", "</img>"]  # fmt: skip
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in marks], special_tokens=True)
    image = IMAGE[family]
    if "qwen" in family:
        image = f"<|vision_start|>{image}<|vision_end|>"
    template = str(tokenizer.chat_template)
    tokenizer.chat_template = template.replace(
        "<image>\n", image if "qwen" in family else f"{image}\n"
    )
    return tokenizer


def make_carded(path: Path, family: str, tiles: int = 1) -> Path:
    """What `make_family` makes, and for Qwen-VL, whose towers take any side, a card with one."""
    made = make_family(path, family)
    if "qwen" in family:
        card = f"weights: {family}\ntile_side: {tiles * TILE[family]}\n"
        (made.parent / f"{family}.yaml").write_text(card)
    return made


def make_family(path: Path, family: str) -> Path:
    """A checkpoint of random weights."""
    logging.disable_progress_bar()
    tokenizer = tokenizer_of(family)
    config = _config(family, tokenizer)
    torch.manual_seed(0)
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    model = kind(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight *= 3  # random weights of the usual size give one token for ever
    model.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    norm = {"image_mean": MEAN, "image_std": STD}
    (path / "preprocessor_config.json").write_text(json.dumps(norm))
    return path


def _config(family: str, tokenizer: PreTrainedTokenizerFast) -> Any:
    ids = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in tokenizer.get_added_vocab()}
    kind = getattr(transformers, f"{FAMILIES[family].kind}Config")
    image = {"image_token_id": ids.get(IMAGE[family])}
    if "qwen" in family:
        image |= {
            "video_token_id": ids["<|video_pad|>"],
            "vision_start_token_id": ids["<|vision_start|>"],
            "vision_end_token_id": ids["<|vision_end|>"],
        }
        return kind(vision_config=_qwen_tower(family), text_config=_qwen_text(family), **image)
    text = {**DECODER, "model_type": "llama" if family == "llava" else "qwen2"}
    if family == "internvl":
        tower = {**TOWER, "model_type": "internvl_vision", "image_size": [56, 56],
                 "patch_size": [14, 14]}  # fmt: skip
        return kind(vision_config=tower, text_config=text, image_seq_length=4, **image)
    tower = {**TOWER, "model_type": "clip_vision_model", "image_size": 56, "projection_dim": 16}
    own: dict[str, Any] = {"vision_feature_layer": -2}
    if family == "llava_onevision":
        tower |= {"model_type": "siglip_vision_model", "vision_use_head": False, "image_size": 60}
        own = {"vision_feature_layer": -1}
    if family != "llava":
        side = TILE[family]
        own["image_grid_pinpoints"] = [[side, side], [2 * side, 2 * side], [2 * side, side]]
    index = {"image_token_index": image["image_token_id"]}
    return kind(vision_config=tower, text_config=text, **own, **index)


def _qwen_tower(family: str) -> dict[str, Any]:
    if family == "qwen2_vl":
        return {**QWEN_TOWER, "embed_dim": 32, "hidden_size": 48, "mlp_ratio": 2}
    own = {**QWEN_TOWER, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 48}
    if family == "qwen2_5_vl":
        return {**own, "window_size": 56, "fullatt_block_indexes": [1, 3]}
    return {**own, "patch_size": 16, "num_position_embeddings": 36,
            "deepstack_visual_indexes": [0, 2]}  # fmt: skip


def _qwen_text(family: str) -> dict[str, Any]:
    text: dict[str, Any] = {**DECODER, "rope_parameters": dict(ROPE)}
    if family in ("qwen2_vl", "qwen2_5_vl"):  # their heads divide the width
        text["rope_parameters"] = {**ROPE, "mrope_section": [2, 2, 2]}
        del text["head_dim"]
    if family == "qwen3_vl_moe":
        text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    return text


def normalised(pixels: np.ndarray) -> Tensor:
    """`[3, H, W]` as the family's own processor would have it."""
    scaled = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    return (scaled - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def stock_inputs(family: str, image: np.ndarray, question: str) -> dict[str, Tensor]:
    """A prompt of stock transformers about an image of one tile."""
    return prompt_of(family, [image], question, [SIDE[family] ** 2])


def prompt_of(
    family: str, tiles: list[np.ndarray], question: str, counts: list[int]
) -> dict[str, Tensor]:
    """A prompt of stock transformers about some tiles, with as many placeholders as it wants.

    Args:
        family: `model_type`.
        tiles: `[B, B, 3]` each: of one image, or for Qwen-VL an image each.
        question: the user's words.
        counts: tokens of each image.
    """
    tokenizer = tokenizer_of(family)
    parts: Any = [{"type": "image"}, {"type": "text", "text": question}]
    text = str(tokenizer.apply_chat_template(
        [{"role": "user", "content": parts}], tokenize=False, add_generation_prompt=True
    ))  # fmt: skip
    pixels = torch.stack([normalised(tile) for tile in tiles])
    extra: dict[str, Tensor] = {"pixel_values": pixels}
    if "qwen" in family:
        processor = Qwen2VLImageProcessorPil(
            patch_size=CELL[family] // 2, image_mean=MEAN, image_std=STD, do_resize=False,
            merge_size=2,
        )  # fmt: skip
        extra = dict(processor(images=[Image.fromarray(t) for t in tiles], return_tensors="pt"))
    elif family in ("llava_next", "llava_onevision"):  # the base tile, and a grid of one
        size = torch.tensor([tiles[0].shape[:2]])
        extra = {"pixel_values": torch.cat([pixels, pixels])[None], "image_sizes": size}
        counts = [2 * counts[0] + SIDE[family]]
    image = IMAGE[family]
    first, last = AROUND[family]
    between = "<|vision_end|><|vision_start|>" if "qwen" in family else ""
    text = text.replace(image, first + between.join(image * n for n in counts) + last)
    ids = tokenizer(text, return_tensors="pt")
    found = {"input_ids": ids.input_ids, "attention_mask": ids.attention_mask, **extra}
    if "qwen" in family:
        image_id = tokenizer.convert_tokens_to_ids(image)
        found["mm_token_type_ids"] = (ids.input_ids == image_id).int()
    return found


def left_padded(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Several prompts as one batch, padded on the left."""
    longest = max(part["input_ids"].shape[1] for part in parts)
    batch: dict[str, Tensor] = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        if name in ("input_ids", "attention_mask", "mm_token_type_ids"):
            values = [
                torch.nn.functional.pad(value, (longest - value.shape[1], 0)) for value in values
            ]
        batch[name] = torch.cat(values)
    return batch
