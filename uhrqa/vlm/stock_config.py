"""From the flat `config.json` of an original LLaVA checkpoint to a stock one. Imports no torch.

Sizes of a stored vision tower are read from its tensors' shapes, those of one that is only named
from the tower's own `config.json` or from what is known of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from uhrqa.errors import CheckpointError
from uhrqa.vlm.shards import Shapes

TOWER = "model.vision_tower.vision_tower."
DECODERS = ("qwen2", "mistral", "llama")
TEXT_KEYS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps",
    "rope_theta", "rope_scaling", "rope_parameters", "hidden_act", "attention_bias", "mlp_bias",
    "sliding_window", "use_sliding_window", "max_window_layers", "tie_word_embeddings",
    "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip
KNOWN_TOWERS: dict[str, dict[str, Any]] = {
    "clip-vit-large-patch14-336": {
        "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
        "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
        "projection_dim": 768,
    },
    "siglip-so400m-patch14-384": {
        "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
        "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 384, "patch_size": 14,
        "vision_use_head": False,
    },
}  # fmt: skip
HEADS = {768: 12, 1024: 16, 1152: 16, 1280: 16, 1408: 16, 1664: 16}
"""Attention heads of the CLIP and SigLIP towers there are, by width; no weight tells them."""


def stock_config(
    config: Mapping[str, Any], shapes: Shapes, family: str, tower: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a stock checkpoint of the same model would have as `config.json`.

    Args:
        config: the flat one.
        shapes: of the tensors there are, by their original names.
        family: `llava` or `llava_next`.
        tower: `config.json` of the vision tower, where it is at hand.

    Raises:
        CheckpointError: a decoder, projector or tower that has no stock counterpart.
    """
    _check_projector(config)
    vision = vision_config(config, shapes, tower)
    clip = vision["model_type"] == "clip_vision_model"
    wanted = config.get("mm_vision_select_feature", "patch")
    text = text_config(config, shapes)
    return {
        "model_type": family,
        "vision_config": vision,
        "text_config": text,
        "vision_feature_layer": _feature_layer(config, shapes, vision),
        "vision_feature_select_strategy": "default" if clip and wanted == "patch" else "full",
        # The original splices at -200, which is no token; one past the vocabulary is none either.
        "image_token_index": text.get("vocab_size", 0),
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
    }


def _feature_layer(config: Mapping[str, Any], shapes: Shapes, vision: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Which state of the tower is taken.

    Of a SigLIP tower the original takes the last but one and stores no layer behind it, whatever
    the configuration says; of what is stored it is the last.
    """
    if vision["model_type"] == "clip_vision_model":
        return config.get("mm_vision_select_layer", -2)
    whole = KNOWN_TOWERS.get(_tower_name(config), {}).get("num_hidden_layers")
    stored = any(name.startswith(TOWER) for name in shapes)
    return -1 if stored and vision["num_hidden_layers"] != whole else -2


def _tower_name(config: Mapping[str, Any]) -> str:
    return str(config.get("mm_vision_tower") or "none").rpartition("/")[2]


def text_config(config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """The decoder's part, as it is; the base of its rotary embedding among it."""
    found = {key: config[key] for key in TEXT_KEYS if config.get(key) is not None}
    return {"model_type": decoder_of(config, shapes), **found}


def decoder_of(config: Mapping[str, Any], shapes: Shapes) -> str:
    """`model_type` of the decoder, by the class that wrote the file, or by keys where it is bare.

    Raises:
        CheckpointError: another decoder.
    """
    given = [*(config.get("architectures") or ()), config.get("model_type") or ""]
    words = " ".join(map(str, given)).lower()
    rest = re.sub(r"llava|for(causallm|conditionalgeneration)|[^a-z0-9]", "", words)
    for decoder in DECODERS:
        if decoder.removesuffix("2") in rest:
            return decoder
    if not rest and "model.layers.0.self_attn.q_proj.weight" in shapes:
        return "qwen2" if "model.layers.0.self_attn.q_proj.bias" in shapes else "llama"
    raise CheckpointError(
        f"config.json: the decoder of '{words.strip()}' is not supported in the original LLaVA "
        f"layout; supported: {', '.join(DECODERS)}"
    )


def vision_config(
    config: Mapping[str, Any], shapes: Shapes, tower: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The vision tower's part.

    Raises:
        CheckpointError: a tower that is not stored, not at hand and not known.
    """
    if tower is not None:
        return _given_tower(tower)
    if any(name.startswith(TOWER) for name in shapes):
        return _tower_from_shapes(shapes)
    known = KNOWN_TOWERS.get(_tower_name(config))
    if known is None:
        raise CheckpointError(
            f"the vision tower '{config.get('mm_vision_tower')}' is not stored and not known; give "
            "its directory: `vision_tower` in a card, or models convert --vision-tower DIRECTORY"
        )
    return dict(known)


def _given_tower(tower: Mapping[str, Any]) -> dict[str, Any]:
    """The vision part of a tower's own `config.json`, alone or beside a text part."""
    inner = tower.get("vision_config")
    found = dict(inner) if isinstance(inner, Mapping) else dict(tower)
    kind = "siglip" if "siglip" in str(tower.get("model_type")) else "clip"
    found["model_type"] = f"{kind}_vision_model"
    if kind == "siglip":
        found["vision_use_head"] = False
    elif isinstance(inner, Mapping):  # a CLIP of two towers leaves out what is usual for it
        found.setdefault("projection_dim", tower.get("projection_dim", 512))
    return found


def _tower_from_shapes(shapes: Shapes) -> dict[str, Any]:
    own = {name.removeprefix(TOWER).removeprefix("vision_model."): shape
           for name, shape in shapes.items() if name.startswith(TOWER)}  # fmt: skip
    try:
        width, _, patch, _ = own["embeddings.patch_embedding.weight"]
        mlp = own["encoder.layers.0.mlp.fc1.weight"][0]
        places = own["embeddings.position_embedding.weight"][0]
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"the stored vision tower is incomplete: no usable {error}"
        ) from error
    clip = "embeddings.class_embedding" in own
    side = round((places - clip) ** 0.5)
    heads = HEADS.get(width, width // 64)
    if not heads or width % heads:
        raise CheckpointError(
            f"the stored vision tower is {width} wide, which tells no number of attention heads; "
            "give the directory of its config.json: `vision_tower` in a card"
        )
    layers = {name.split(".")[2] for name in own if name.startswith("encoder.layers.")}
    image = 384 if (side, patch) == (27, 14) else side * patch  # SigLIP leaves 6 px unread
    return {
        "model_type": "clip_vision_model" if clip else "siglip_vision_model",
        "hidden_size": width, "intermediate_size": mlp, "num_hidden_layers": len(layers),
        "num_attention_heads": heads, "image_size": image, "patch_size": patch,
        **({} if clip else {"vision_use_head": False}),
    }  # fmt: skip


def _check_projector(config: Mapping[str, Any]) -> None:
    kind = str(config.get("mm_projector_type", "mlp2x_gelu"))
    if not kind.startswith("mlp2x_gelu"):
        raise CheckpointError(
            f"config.json: mm_projector_type '{kind}' is not supported; "
            "supported: mlp2x_gelu, mlp2x_gelu_after_distillpruner"
        )
