"""Models of published shapes with random weights: they time like real ones, and say nothing.

The tokenizer is the tests' own, of a few hundred tokens.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig

from tests.families import IMAGE, tokenizer_of
from uhrqa.relevance import probed_name
from uhrqa.vlm.card import card_of_directory
from uhrqa.vlm.families import FAMILIES, find_class
from uhrqa.vlm.family import Family

Config = Mapping[str, Any]

SHAPES: dict[str, tuple[str, Config, Config, Config]] = {  # family, tower, decoder, the rest
    "llava-next-7b": (
        "llava_next",
        {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
         "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14},
        {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
         "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
         "max_position_embeddings": 32768, "vocab_size": 152064},
        {"vision_feature_layer": -2, "vision_feature_select_strategy": "default"},
    ),
    "qwen3-vl-8b": (
        "qwen3_vl",
        {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16,
         "patch_size": 16, "out_hidden_size": 4096, "num_position_embeddings": 2304,
         "deepstack_visual_indexes": [8, 16, 24]},
        {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
         "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
         "max_position_embeddings": 128000, "vocab_size": 151936,
         "rope_parameters": {"rope_type": "default", "rope_theta": 5e6,
                             "mrope_section": [24, 20, 20]}},
        {},
    ),
}  # fmt: skip
_SMALL = {"hidden_size": 32, "intermediate_size": 64}
SMALL: dict[str, tuple[Config, Config, int | None]] = {  # tower, decoder, side of a tile
    "llava-next-7b": (
        {**_SMALL, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56},
        {**_SMALL, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
         "vocab_size": 340},
        None,
    ),
    "qwen3-vl-8b": (
        {**_SMALL, "depth": 3, "num_heads": 2, "out_hidden_size": 32,
         "deepstack_visual_indexes": [0]},
        {**_SMALL, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
         "head_dim": 16, "vocab_size": 340,
         "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                             "mrope_section": [2, 3, 3]}},
        64,
    ),
}  # fmt: skip
"""The same families with next to nothing in them, for trying the script."""


@contextmanager
def weights_in(dtype: torch.dtype, device: str) -> Iterator[None]:
    """Have tensors made in a precision and on a device."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def random_model(name: str, device: str, *, small: bool = False) -> Family:
    """A model of one of the shapes, bfloat16; `small` keeps its family alone."""
    family, tower, decoder, rest = SHAPES[name]
    side = None
    if small:
        less, fewer, side = SMALL[name]
        tower, decoder = {**tower, **less}, {**decoder, **fewer}
    tokenizer = tokenizer_of(family)
    marks = {"image_token_index": IMAGE[family]}
    if "qwen" in family:
        marks = {"image_token_id": IMAGE[family], "video_token_id": "<|video_pad|>",
                 "vision_start_token_id": "<|vision_start|>",
                 "vision_end_token_id": "<|vision_end|>"}  # fmt: skip
    named = {key: tokenizer.convert_tokens_to_ids(mark) for key, mark in marks.items()}
    stem = FAMILIES[family].kind
    config: Any = getattr(transformers, f"{stem}Config")(
        vision_config=dict(tower), text_config=dict(decoder), **rest, **named
    )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "config.json").write_text(json.dumps(config.to_dict(), default=str))
        card = card_of_directory(Path(directory), name)
    torch.manual_seed(0)
    with weights_in(torch.bfloat16, device):
        model = getattr(transformers, f"{stem}ForConditionalGeneration")(config)
    model.eval().requires_grad_(False)
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    model.get_decoder().set_attn_implementation(probed_name("sdpa"))
    mean, std = (
        torch.tensor(part, device=device).view(3, 1, 1) for part in FAMILIES[family].normalisation
    )
    made: Family = find_class(family)(replace(card, tile_side=side), model, tokenizer, mean, std)
    return made
