"""Sizes of a model, read from its `config.json` alone. Imports no torch.

transformers' own defaults stand in for what a configuration leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uhrqa.dims import DecoderDims, Dims, ProjectorDims, VisionDims
from uhrqa.errors import CheckpointError

_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")

# What transformers fills in where a config.json leaves keys out: `_KEYS`, then two more.
_TEXT = {  # vocab_size, num_key_value_heads
    "llama": (4096, 11008, 32, 32, 32000, None),
    "mistral": (4096, 14336, 32, 32, 32000, 8),
    "qwen2": (4096, 22016, 32, 32, 151936, 32),
    "qwen3": (4096, 22016, 32, 32, 151936, 32),
    "qwen2_vl_text": (8192, 29568, 80, 64, 152064, 8),
    "qwen2_5_vl_text": (8192, 29568, 80, 64, 152064, 8),
    "qwen3_vl_text": (4096, 22016, 32, 32, 151936, 32),
    "qwen3_vl_moe_text": (2048, 1408, 24, 16, 151936, 16),  # the width of one expert
}
_HEAD_DIM = {"qwen3": 128, "qwen3_vl_text": 128}  # where it is not width / heads
_CLIP = (768, 3072, 12, 12, 32, 224)  # patch_size, image_size
_CLIP_WHEN_ABSENT = (1024, 4096, 24, 16, 14, 336)
_SIGLIP = (768, 3072, 12, 12, 16, 224)
_SIGLIP_WHEN_ABSENT = (1152, 4304, 26, 16, 14, 384)
_INTERNVL = (1024, 4096, 24, 16, 14, 448)
CONTEXTS = {
    "llama": 2048, "mistral": 131072, "qwen2": 32768, "qwen3": 32768, "qwen2_vl_text": 32768,
    "qwen2_5_vl_text": 32768, "qwen3_vl_text": 128000, "qwen3_vl_moe_text": 128000,
}  # fmt: skip
QWEN_TILE = 448  # px: whole merged patches of 28 and of 32 px, and whole 112 px windows


def read_dims(config: Mapping[str, Any], *, tile: int | None = None, rfm_layers: int = 0) -> Dims:
    """The sizes in a stock `config.json`, transformers' defaults filled in.

    Args:
        config: of any supported family.
        tile: side of a tile in pixels, for towers that take any size.
        rfm_layers: of a Region Focus Module beside the model.

    Raises:
        CheckpointError: a size is missing and has no default, or is none.
    """
    family = str(config.get("model_type", "llava_next"))
    decoder = _decoder(_section(config, "text_config"), _is_tied(config))
    section = _section(config, "vision_config")
    if family.startswith("qwen"):
        vision, projector = _qwen(family, section, decoder.width, tile or QWEN_TILE)
    elif family == "internvl":
        vision, projector = _internvl(config, section, decoder.width)
    else:
        vision, projector = _llava(family, config, section, decoder.width)
    return Dims(vision, projector, decoder, rfm_layers)


def read_context(config: Mapping[str, Any]) -> int:
    """Longest sequence the decoder of a `config.json` was made for, in tokens.

    Raises:
        CheckpointError: it is no whole number above 0.
    """
    text = _section(config, "text_config")
    usual = CONTEXTS.get(text.get("model_type", "llama"), 4096)
    longest = text.get("max_position_embeddings") or usual
    if not isinstance(longest, int) or longest < 1:
        raise CheckpointError(
            f"config.json: max_position_embeddings is {longest}; give a whole number above 0"
        )
    return longest


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name) or {}
    if not isinstance(found, Mapping):
        raise CheckpointError(f"config.json: {name} is no object")
    return found


def _is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the head is the table of embeddings; what the decoder's section says counts less."""
    own = _section(config, "text_config").get("tie_word_embeddings")
    usual = config.get("model_type") == "internvl" if own is None else own
    return bool(config.get("tie_word_embeddings", usual))


def _sizes(
    section: Mapping[str, Any], keys: Sequence[str], defaults: Sequence[int | None]
) -> list[int]:
    sizes = []
    for key, default in zip(keys, defaults, strict=True):
        size = section.get(key) or default
        if isinstance(size, list | tuple) and len(set(size)) == 1:  # (height, width) of a square
            size = size[0]
        if not isinstance(size, int) or size < 1:
            raise CheckpointError(f"config.json: {key} is {size}; give a whole number above 0")
        sizes.append(size)
    return sizes


def _decoder(text: Mapping[str, Any], tied: bool) -> DecoderDims:
    kind = str(text.get("model_type", "llama"))
    *known, kv_known = _TEXT.get(kind, (None,) * 6)
    mixed = kind.endswith("_moe_text")
    keys = ("hidden_size", "moe_intermediate_size", *_KEYS[2:]) if mixed else _KEYS
    width, mlp, layers, heads, vocab = _sizes(text, (*keys, "vocab_size"), known)
    derived = (kv_known or heads, _HEAD_DIM.get(kind, width // heads))
    kv_heads, head_dim = _sizes(text, ("num_key_value_heads", "head_dim"), derived)
    experts = active = 1
    if mixed:
        held = "num_experts" if text.get("num_experts") else "num_local_experts"  # as saved
        experts, active = _sizes(text, (held, "num_experts_per_tok"), (60, 4))
        if text.get("mlp_only_layers") or text.get("decoder_sparse_step", 1) != 1:
            raise CheckpointError("config.json: a mixture of experts in some layers only")
    return DecoderDims(width, mlp, layers, heads, kv_heads, head_dim, vocab, tied, experts, active)


def _llava(
    family: str, config: Mapping[str, Any], section: Mapping[str, Any], width: int
) -> tuple[VisionDims, ProjectorDims]:
    """A CLIP or SigLIP tower, features of one or more layers, two linear layers."""
    siglip = str(section.get("model_type", "")).startswith("siglip") or (
        not section and family == "llava_onevision"
    )
    taken = config.get("vision_feature_layer", -1 if siglip else -2)
    taken = taken if isinstance(taken, list) else [taken]
    if not taken or not all(isinstance(layer, int) for layer in taken):
        raise CheckpointError(f"config.json: vision_feature_layer is {taken}; give numbers")
    usual = "full" if family == "llava_onevision" else "default"
    drop_first = config.get("vision_feature_select_strategy", usual) == "default"
    known = (
        (_SIGLIP if section else _SIGLIP_WHEN_ABSENT)
        if siglip
        else (_CLIP if section else _CLIP_WHEN_ABSENT)
    )
    own, mlp, layers, heads, patch, tile = _sizes(
        section, (*_KEYS, "patch_size", "image_size"), known
    )
    used = max(state if state >= 0 else layers + 1 + state for state in taken)
    if tile < patch:
        raise CheckpointError(
            f"config.json: image_size {tile} is smaller than one patch of {patch}"
        )
    tokens = (tile // patch) ** 2 + (not siglip)
    vision = VisionDims(own, mlp, layers, heads, patch, tile, tokens, tokens - drop_first, used)
    return vision, ProjectorDims(own * len(taken), width)


def _internvl(
    config: Mapping[str, Any], section: Mapping[str, Any], width: int
) -> tuple[VisionDims, ProjectorDims]:
    """A ViT whose patches are folded, 2 x 2 as a rule, before the projector."""
    keys = (*_KEYS, "patch_size", "image_size")
    own, mlp, layers, heads, patch, tile = _sizes(section, keys, _INTERNVL)
    fold = round(1 / float(config.get("downsample_ratio", 0.5)))
    layer = config.get("vision_feature_layer", -1)
    if not isinstance(layer, int):
        raise CheckpointError(f"config.json: vision_feature_layer is {layer}; give a number")
    used = layer if layer >= 0 else layers + 1 + layer
    grid = tile // patch
    vision = VisionDims(
        own, mlp, layers, heads, patch, tile, grid**2 + 1, (grid // fold) ** 2, used
    )
    return vision, ProjectorDims(own * fold**2, width)


def _qwen(
    family: str, section: Mapping[str, Any], width: int, tile: int
) -> tuple[VisionDims, ProjectorDims]:
    """A ViT that takes images of any size and folds 2 x 2 patches in its merger."""
    older = family == "qwen2_vl"
    names = ("depth", "num_heads", "spatial_merge_size", "temporal_patch_size", "patch_size")
    usual = (27, 16, 2, 2, 16) if family.startswith("qwen3") else (32, 16, 2, 2, 14)
    layers, heads, merge, frames, patch = _sizes(section, names, usual)
    (own,) = _sizes(
        section,
        ("embed_dim" if older else "hidden_size",),
        (1280 if older else 1152 if family.startswith("qwen3") else 3584,),
    )
    if older:
        mlp = int(own * float(section.get("mlp_ratio", 4)))
    else:
        (mlp,) = _sizes(
            section, ("intermediate_size",), (4304 if family.startswith("qwen3") else 3420,)
        )
    if tile % (patch * merge):
        raise CheckpointError(
            f"tiles of {tile} px are no multiple of {patch * merge} px, the model's token"
        )
    grid = tile // patch
    whole = section.get("fullatt_block_indexes", [7, 15, 23, 31])
    gated = family == "qwen2_5_vl"
    windowed = layers - sum(index < layers for index in whole) if gated else 0
    window = int(section.get("window_size", 112)) // patch // merge * merge
    deep = section.get("deepstack_visual_indexes", [8, 16, 24])
    copies = 1 + len(deep) if family.startswith("qwen3") else 1
    vision = VisionDims(
        own, mlp, layers, heads, patch, tile, grid**2, (grid // merge) ** 2, layers,
        gated, frames, windowed, _window_pairs(grid, window) if windowed else 0,
    )  # fmt: skip
    inputs = own * merge**2
    return vision, ProjectorDims(inputs, width, hidden=inputs, copies=copies)


def _window_pairs(grid: int, window: int) -> int:
    """Query-key pairs where a square grid is cut into square windows, those at its edge smaller."""
    sides = [min(window, grid - start) for start in range(0, grid, window)]
    return sum((a * b) ** 2 for a in sides for b in sides)
