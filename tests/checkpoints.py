"""Small checkpoints of the real classes, made and saved here: the hub is out of reach of a test."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.utils import logging

TILE, PATCH = 56, 14
DECODERS = {"qwen2": Qwen2Config, "llama": LlamaConfig}
WORDS = ["how many ships are there", "what color is the roof", "is there a tank? yes or no"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.content %}{% if c.type == 'image' %}<image>\n{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(image: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few hundred tokens with a chat template, and a token for the image."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(["<image>"] if image else [])]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    core.train_from_iterator(WORDS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_checkpoint(
    path: Path, decoder: str = "qwen2", context: int = 4096, layers: int = 4
) -> Path:
    """A LLaVA-NeXT checkpoint of random weights, large enough to give varied text."""
    logging.disable_progress_bar()
    tokenizer = make_tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=TILE,
        patch_size=PATCH,
        projection_dim=16,
    )
    text = DECODERS[decoder](
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=320,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.vocab["<image>"],
        image_grid_pinpoints=[[112, 112], [112, 56], [56, 112], [112, 168]],
        vision_feature_layer=-2,
    )
    torch.manual_seed(0)
    model = LlavaNextForConditionalGeneration(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 3  # random weights of the usual size give one token for ever
    model.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    norm = {"image_mean": [0.5, 0.4, 0.2], "image_std": [0.5, 0.6, 0.7]}
    (path / "preprocessor_config.json").write_text(json.dumps(norm))
    return path


def add_rfm(path: Path, layers: tuple[int, ...] = (0, 2)) -> Path:
    """Give a checkpoint an RFM that copies some of its decoder's layers."""
    from uhrqa.rfm import FORMAT, from_layers

    decoder = LlavaNextForConditionalGeneration.from_pretrained(path).get_decoder()
    state = {
        name: value.contiguous()
        for name, value in from_layers(decoder, layers).state_dict().items()
    }
    save_file(state, path / "rfm.safetensors", {"format": FORMAT, "layers": json.dumps(layers)})
    return path
