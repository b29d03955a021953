"""The model families there are, by `model_type`, and those there are not. Imports no torch."""

from __future__ import annotations

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
    """

    place: str
    kind: str
    normalisation: Normalisation
    defaults: Mapping[str, Any] = field(default_factory=dict)


_LLAVA = "uhrqa.vlm.llava:Llava"
_QWEN = "uhrqa.vlm.qwen_vl:QwenVL"
_INTERNVL = "uhrqa.vlm.internvl:InternVL"
_ROWS = {"row_ends": True}
_IMAGES = {"stretch_thumbnail": False, "between": "<|vision_end|><|vision_start|>"}
FAMILIES: dict[str, FamilyEntry] = {
    "llava": FamilyEntry(_LLAVA, "Llava", CLIP, {"stretch_thumbnail": False}),
    "llava_next": FamilyEntry(_LLAVA, "LlavaNext", CLIP, _ROWS),
    "llava_onevision": FamilyEntry(_LLAVA, "LlavaOnevision", HALVES, _ROWS),
    "qwen2_vl": FamilyEntry(_QWEN, "Qwen2VL", CLIP, _IMAGES),
    "qwen2_5_vl": FamilyEntry(_QWEN, "Qwen2_5_VL", CLIP, _IMAGES),
    "qwen3_vl": FamilyEntry(_QWEN, "Qwen3VL", HALVES, _IMAGES),
    "qwen3_vl_moe": FamilyEntry(_QWEN, "Qwen3VLMoe", HALVES, _IMAGES),
    "internvl": FamilyEntry(_INTERNVL, "InternVL", IMAGENET, {"packing": "tiles"}),
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


def check_family(name: str, family: str) -> None:
    """Refuse what is not among `FAMILIES`.

    Raises:
        CheckpointError: says why, where the family is known.
    """
    if family in FAMILIES:
        return
    reason = REFUSED.get(family)
    why = f": {reason}" if reason else ""
    raise CheckpointError(
        f"{name}: model_type '{family}' is not supported{why}; supported: {', '.join(FAMILIES)}"
    )
