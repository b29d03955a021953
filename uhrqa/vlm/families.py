"""The model families there are, by `model_type`, and those there are not. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uhrqa.errors import CheckpointError

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
CLIP: Normalisation = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
HALVES: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True)
class FamilyEntry:
    """Where a family is, and what its cards say when they say nothing.

    Attributes:
        place: `module:class`.
        kind: transformers class, without `ForConditionalGeneration`.
        normalisation: channel means and deviations in [0, 1] of checkpoints that give none.
        defaults: of a `Card`.
        has_newline: it has a learned token that ends a row.
        any_tile: its tower takes tiles of any side.
        decoder: `model_type` of a decoder whose configuration does not name its own.
    """

    place: str
    kind: str
    normalisation: Normalisation
    defaults: Mapping[str, Any] = field(default_factory=dict)
    has_newline: bool = False
    any_tile: bool = False
    decoder: str = "llama"


_LLAVA = "uhrqa.vlm.llava:Llava"
_QWEN = "uhrqa.vlm.qwen_vl:QwenVL"
_INTERNVL = "uhrqa.vlm.internvl:InternVL"
_ROWS = {"row_ends": True}
_OWN_PROMPT = {"prompt": ""}  # another template than the one they were trained with says nonsense
_CHATML = "<|im_start|>user\n<image>\n{question}<|im_end|>\n<|im_start|>assistant\n"
_IMAGES = {
    "stretch_thumbnail": False,
    "between": "<|vision_end|><|vision_start|>",
    **_OWN_PROMPT,
}
FAMILIES: dict[str, FamilyEntry] = {
    "llava": FamilyEntry(_LLAVA, "Llava", CLIP, {"stretch_thumbnail": False}),
    "llava_next": FamilyEntry(_LLAVA, "LlavaNext", CLIP, _ROWS, has_newline=True),
    "llava_onevision": FamilyEntry(
        _LLAVA, "LlavaOnevision", HALVES, {**_ROWS, "prompt": _CHATML}, True, decoder="qwen2"
    ),
    "qwen2_vl": FamilyEntry(_QWEN, "Qwen2VL", CLIP, _IMAGES, any_tile=True),
    "qwen2_5_vl": FamilyEntry(_QWEN, "Qwen2_5_VL", CLIP, _IMAGES, any_tile=True),
    "qwen3_vl": FamilyEntry(_QWEN, "Qwen3VL", HALVES, _IMAGES, any_tile=True),
    "qwen3_vl_moe": FamilyEntry(_QWEN, "Qwen3VLMoe", HALVES, _IMAGES, any_tile=True),
    "internvl": FamilyEntry(
        _INTERNVL, "InternVL", IMAGENET, {"packing": "tiles", **_OWN_PROMPT}, decoder="qwen2"
    ),
}

_BOTH_WAYS = "its image tokens attend to each other both ways, so none can be left out unnoticed"
_MARKERS = "it writes row and column numbers as text around every tile"
_LINEAR = "its linear attention layers keep no scores that relevance could be read from"
REFUSED: dict[str, str] = {
    "gemma3": _BOTH_WAYS,
    "gemma4": _BOTH_WAYS,
    "paligemma": _BOTH_WAYS,
    "idefics3": _MARKERS,
    "smolvlm": _MARKERS,
    "qwen3_5": _LINEAR,
    "qwen3_5_moe": _LINEAR,
}
"""Families that are out of scope, and why."""
VISION_KEYS = ("vision_config", "mm_vision_tower", "vision_tower", "visual")
"""Any of them in a configuration says that the model reads images."""


def check_family(name: str, family: str, config: Mapping[str, Any]) -> None:
    """Refuse what is not among `FAMILIES`.

    Args:
        name: what the user calls the model.
        family: its `model_type`.
        config: its `config.json`, as far as there is one.

    Raises:
        CheckpointError: says why, where that is known.
    """
    if family in FAMILIES:
        return
    reason = REFUSED.get(family)
    if not reason and not any(config.get(key) for key in VISION_KEYS):
        reason = "a text-only model, which reads no images"
    if not reason and config.get("auto_map"):
        reason = "it needs code from the checkpoint (auto_map), and remote code is never run"
    why = f": {reason}" if reason else ""
    raise CheckpointError(
        f"{name}: model_type '{family}' is not supported{why}; supported: {', '.join(FAMILIES)}"
    )


def with_sections(family: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose decoder has a section of its own, that says which decoder it is.

    Checkpoints of Qwen2-VL and Qwen2.5-VL keep the decoder's sizes beside the tower's section.
    """
    text = config.get("text_config")
    if family in ("qwen2_vl", "qwen2_5_vl"):
        flat = {key: value for key, value in config.items() if not key.endswith("_config")}
        text = flat if text is None and "hidden_size" in flat else text
        if isinstance(text, Mapping):
            text = {**text, "model_type": f"{family}_text"}
    elif isinstance(text, Mapping):
        text = {"model_type": FAMILIES[family].decoder, **text}
    return {**config, "model_type": family, "text_config": text}


def find_class(family: str) -> Any:  # noqa: ANN401 - a `Family`, whose module this imports
    """The class of a family."""
    module, _, attribute = FAMILIES[family].place.partition(":")
    return getattr(importlib.import_module(module), attribute)
