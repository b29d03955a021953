"""A configuration that no model can be built from, told before a library is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from uhrqa.errors import CheckpointError

COUNTS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
    "depth", "num_heads", "embed_dim", "patch_size", "image_size", "moe_intermediate_size",
    "num_experts", "num_local_experts", "num_experts_per_tok", "spatial_merge_size",
    "temporal_patch_size", "out_hidden_size",
)  # fmt: skip
"""Keys that are whole numbers above 0, or a square's two sides, wherever they stand."""
OPTIONAL = ("num_key_value_heads", "head_dim")
"""The same, or null for what is usual."""
SECTIONS = ("text_config", "vision_config")
MEND = "copy config.json from where the checkpoint came from"
LONGEST = 200  # letters of another library's own words


def check_counts(where: object, config: Mapping[str, Any]) -> None:
    """Refuse sizes that are none, such as 0 heads, and heads that do not share a width.

    Args:
        where: the checkpoint, for the message.
        config: its stock configuration; keys that it leaves out are left to their defaults.

    Raises:
        CheckpointError: which key, and what it is.
    """
    for name in SECTIONS:
        section = config.get(name)
        if not isinstance(section, Mapping):
            continue  # told elsewhere
        for key in (*COUNTS, *OPTIONAL):
            value = section.get(key)
            if key not in section or (value is None and key in OPTIONAL) or _is_count(value):
                continue
            raise CheckpointError(
                f"{where}: config.json: {name}: {key} is {_shown(value)}; give a whole number "
                f"above 0, or {MEND}"
            )
        _check_heads(f"{where}: config.json: {name}", section)
    _check_layers(where, config)


def _is_count(value: object) -> bool:
    sides = value if isinstance(value, list | tuple) and value else [value]
    return all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)


def _check_heads(where: str, section: Mapping[str, Any]) -> None:
    heads = section.get("num_attention_heads") or section.get("num_heads")
    width = section.get("embed_dim") or section.get("hidden_size")
    shared = section.get("num_key_value_heads")
    if not isinstance(heads, int):
        return
    if isinstance(width, int) and not section.get("head_dim") and width % heads:
        raise CheckpointError(f"{where}: {heads} heads do not share a width of {width}; {MEND}")
    if isinstance(shared, int) and heads % shared:
        raise CheckpointError(f"{where}: {heads} heads do not share {shared} of keys; {MEND}")


def _check_layers(where: object, config: Mapping[str, Any]) -> None:
    """Refuse a state of the vision tower that it does not have.

    Raises:
        CheckpointError: which, and how many there are.
    """
    taken, tower = config.get("vision_feature_layer"), config.get("vision_config")
    layers = tower.get("num_hidden_layers") if isinstance(tower, Mapping) else None
    if not isinstance(layers, int):
        return
    for layer in taken if isinstance(taken, list | tuple) else [taken]:
        if isinstance(layer, int) and not -layers - 1 <= layer <= layers:
            raise CheckpointError(
                f"{where}: config.json: vision_feature_layer is {layer}, and the vision tower has "
                f"{layers} layers; {MEND}"
            )


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def reason_of(error: BaseException) -> str:
    """What another library says of a file, in few words and one line.

    Args:
        error: as raised; transformers wraps what it says of a key in two others.
    """
    text = " ".join(str(error).split())
    if found := re.search(r"Field '(\w+)' (?:with value )?(.*)", text):
        said = re.sub(r"doesn't match any type in .*", "is of no type that it may be", found[2])
        text = f"{found[1]}: {said}"
    elif isinstance(error, KeyError):
        text = f"there is no {text}"
    else:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
