"""Small whole checkpoints of CLIP and SigLIP: both towers and what projects them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from tests.checkpoints import make_tokenizer

KINDS = {"clip": (CLIPConfig, CLIPModel), "siglip": (SiglipConfig, SiglipModel)}
WORDS = 24  # the text tower's longest question


def make_clip(path: Path, kind: str = "clip", side: int = 56) -> Path:
    """Random weights at the tile side of `make_checkpoint`."""
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "projection_dim": 16,
    }
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config, model = KINDS[kind]
    text = {"num_hidden_layers": 2, "vocab_size": 320, "max_position_embeddings": WORDS, **ids}
    vision = {"num_hidden_layers": 3, "image_size": side, "patch_size": 14}
    more = {"projection_dim": 16} if kind == "clip" else {}
    torch.manual_seed(1)
    made = model(config(text_config=tower | text, vision_config=tower | vision, **more)).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight *= 3 if weight.ndim > 1 else 1
        made.logit_scale.fill_(3.0)
    made.save_pretrained(path)
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(path)
    norm = {"image_mean": [0.5, 0.4, 0.2], "image_std": [0.5, 0.6, 0.7]}
    (path / "preprocessor_config.json").write_text(json.dumps(norm))
    return path
