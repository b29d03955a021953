"""Original LLaVA checkpoints: which release one is, and how it maps to stock LLaVA. No torch here.

Told by `config.json` and the tensors' names, never by a path. The decoder lies at `model.layers`,
the projector at `model.mm_projector`, the vision tower at `model.vision_tower.vision_tower` or
elsewhere; releases add tensors of their own, which are set aside here and read where they are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uhrqa.errors import CardError, CheckpointError
from uhrqa.registry import suggest
from uhrqa.vlm.families import CLIP, HALVES, Normalisation
from uhrqa.vlm.shards import Shapes
from uhrqa.vlm.stock_config import TOWER, stock_config

STOCK_TOWER = "model.vision_tower."
RENAMES: tuple[tuple[str, str], ...] = (
    (r"^model\.vision_tower\.vision_tower\.", STOCK_TOWER),
    (r"^model\.mm_projector\.(?:mlp_projector\.)?0\.", "model.multi_modal_projector.linear_1."),
    (r"^model\.mm_projector\.(?:mlp_projector\.)?2\.", "model.multi_modal_projector.linear_2."),
    (r"^model\.(embed_tokens|layers|norm)\.", r"model.language_model.\1."),
)
"""Patterns of original names and what stock names have there, in order.

The `vision_model.` that follows a tower's name is left to transformers, which reads it or not.
"""

DROPPED = re.compile(r"rotary_emb\.inv_freq$|embeddings\.position_ids$")
"""Tables that old files hold and that are computed now."""

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "rfm": ("model.mm_projector.token_pruner.",),
    "token_mlp": ("model.multiscale_token_mlp.", "multiscale_token_mlp."),
    "scale_maps": ("model.scale_pos_residuals.", "scale_pos_residuals."),
    "reghead": ("reghead.", "model.reghead."),
    "unused": ("model.tile_pos_residuals.", "model.text_to_vision_proj."),
}
"""Where the tensors that stock LLaVA lacks lie; under several prefixes the first one counts."""

UHR_BAT_SIDES = (672, 1344, 2688, 4032)  # px of the views
UHR_BAT_SHARES = (80, 320, 600, 2000)  # of the budget, view by view
UHR_BAT_KEYS = ("multiscale_target_sizes", "multiscale_base_attention_size", "scale_residual_base")

_VICUNA = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions. "
    "USER: <image>\n{question} ASSISTANT:"
)
_CHATML = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<image>\n{question}<|im_end|>\n<|im_start|>assistant\n"
)
_MISTRAL = "[INST] <image>\n{question} [/INST]"
PROMPTS = {"qwen2": _CHATML, "llama": _VICUNA, "mistral": _MISTRAL}
_TILES = {"row_ends": False, "stretch_thumbnail": False, "packing": "tiles"}
_LONGVA = {**_TILES, "pool": 2, "pool_thumbnail": True}
LAYOUTS: dict[str, Mapping[str, Any]] = {
    "llava": {},
    "longva": _LONGVA,
    "geollava-8k": _LONGVA,
    "uhr-bat": {
        **_TILES,
        "strategy": "region-merge",
        "budget": 3000,
        "relevance_layer": -1,
    },
    "lrs-vqa": {
        "row_ends": True, "stretch_thumbnail": False, "pool": 2, "between": ":",
        "strategy": "rfm-dip",
    },
}  # fmt: skip
"""What cards of a release say when they say nothing, by its name."""


@dataclass(frozen=True, slots=True)
class Layout:
    """An original checkpoint, as stock LLaVA.

    Attributes:
        name: of the release, in `LAYOUTS`.
        config: what its stock `config.json` would be.
        tower: name or directory of the vision tower, where its weights lie elsewhere.
        extras: tensors besides those of stock LLaVA, by kind.
        sides: longer sides of the views of UHR-BAT, in pixels: those it has maps for and those it
            says it has, ascending.
    """

    name: str
    config: dict[str, Any]
    tower: str | None
    extras: Mapping[str, tuple[str, ...]]
    sides: tuple[int, ...] = ()

    @property
    def family(self) -> str:
        """`model_type` of the stock checkpoint."""
        return str(self.config["model_type"])

    @property
    def rfm_layers(self) -> int:
        """Layers R of the Region Focus Module; 0 when there is none."""
        return len(set(re.findall(r"token_pruner\.layers\.(\d+)\.", " ".join(self._of("rfm")))))

    @property
    def normalisation(self) -> Normalisation:
        """Of the vision tower, where no file gives one."""
        return HALVES if "siglip" in self.config["vision_config"]["model_type"] else CLIP

    def sets_aside(self, name: str) -> bool:
        """Whether a tensor is no part of stock LLaVA, and known."""
        return kind_of(name) is not None or bool(DROPPED.search(name))

    def _of(self, kind: str) -> tuple[str, ...]:
        return self.extras.get(kind, ())


def recognise(
    config: Mapping[str, Any], shapes: Shapes, tower: Mapping[str, Any] | None = None
) -> Layout | None:
    """The original layout of a checkpoint; None when it is a stock one.

    Args:
        config: its `config.json`.
        shapes: of its tensors; none where only the configuration is at hand.
        tower: `config.json` of the vision tower, where that is given.

    Raises:
        CheckpointError: a decoder, projector or tower without a stock counterpart.
    """
    if "text_config" in config or "vision_config" in config:
        return None
    projector = any(name.startswith("model.mm_projector.") for name in shapes)
    if not projector and not {"mm_projector_type", "mm_vision_tower"} & set(config):
        return None
    rows = "unpad" in str(config.get("mm_patch_merge_type"))
    family = "llava_next" if "model.image_newline" in shapes or (rows and not shapes) else "llava"
    stored = any(name.startswith(TOWER) for name in shapes)
    extras: dict[str, tuple[str, ...]] = {}
    for name in sorted(shapes):
        if kind := kind_of(name):
            extras[kind] = (*extras.get(kind, ()), name)
    return Layout(
        _release(config, extras),
        stock_config(config, shapes, family, tower),
        None if stored else str(config.get("mm_vision_tower") or "none"),
        extras,
        _sides(config, view_sides(extras.get("scale_maps", ()))),
    )


def _sides(config: Mapping[str, Any], found: Iterable[int]) -> tuple[int, ...]:
    """Longer sides of the views; those the configuration names must be there."""
    sides = config.get("multiscale_target_sizes") or ()
    if not isinstance(sides, list | tuple) or not all(isinstance(side, int) for side in sides):
        raise CheckpointError(f"config.json: multiscale_target_sizes is {sides}; give pixels")
    return tuple(sorted({*sides, *found})) or UHR_BAT_SIDES


def view_sides(names: Iterable[str]) -> tuple[int, ...]:
    """Longer sides in pixels of the views that UHR-BAT's maps are for, by the tensors' names."""
    found = (re.search(r"(?:scale_pos_residuals|scale_maps)\.(\d+)$", name) for name in names)
    return tuple(sorted(int(match[1]) for match in found if match))


def _release(config: Mapping[str, Any], extras: Iterable[str]) -> str:
    """The name of a release, by its own tensors first."""
    merge = str(config.get("mm_patch_merge_type"))
    if "rfm" in extras or str(config.get("mm_projector_type")).endswith("distillpruner"):
        return "lrs-vqa"
    if {"token_mlp", "scale_maps"} & set(extras) or any(key in config for key in UHR_BAT_KEYS):
        return "uhr-bat"
    if "reghead" in extras or merge.startswith("unires_max"):
        return "geollava-8k"
    return "longva" if merge == "unires" else "llava"


def kind_of(name: str) -> str | None:
    """Which of the `EXTRAS` a tensor belongs to."""
    for kind, prefixes in EXTRAS.items():
        if name.startswith(prefixes):
            return kind
    return None


def rfm_name(name: str) -> str | None:
    """A tensor's name in the file of a Region Focus Module; None where it is no part of one.

    The final norm is none: scores are read inside the last layer, before it.
    """
    (prefix,) = EXTRAS["rfm"]
    own = name.removeprefix(prefix)
    return None if own in (name, "norm.weight") or DROPPED.search(own) else own


def layout_defaults(
    where: str,
    release: str | None,
    config: Mapping[str, Any],
    views: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """What a card of a release says when it says nothing.

    Args:
        where: the card's name, for the message.
        release: its `layout`; None for a stock checkpoint.
        config: the stock configuration.
        views: longer sides of UHR-BAT's views that the checkpoint has maps for.

    Raises:
        CardError: no such release.
    """
    if release is None:
        return {}
    if release not in LAYOUTS:
        raise CardError(f"{where}: layout: unknown '{release}'{suggest(release, LAYOUTS)}")
    text = config.get("text_config")
    decoder = str(text.get("model_type")) if isinstance(text, Mapping) else "none"
    found = {"template": False, "prompt": PROMPTS.get(decoder, _VICUNA), **LAYOUTS[release]}
    if release == "uhr-bat":
        sides = views or UHR_BAT_SIDES
        more = UHR_BAT_SHARES[-1:] * (len(sides) - len(UHR_BAT_SHARES))
        shares = [*UHR_BAT_SHARES[: len(sides)], *more]
        found |= {"views": sides, "options": {"region-merge": {"shares": shares}}}
    if release == "lrs-vqa":
        tiles, budget = (80, 4000) if decoder == "qwen2" else (40, 2500)
        dip = {"keep_ratio": 0.25, "zoom_ratio": 0.25, "max_tiles": tiles}
        prompt = str(found["prompt"]).replace("{question}", "{question}\n")
        found |= {"prompt": prompt, "budget": budget, "options": {"rfm-dip": dip}}
    return found
