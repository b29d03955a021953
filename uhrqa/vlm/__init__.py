"""Vision-language models behind one seam.

A family overrides how tiles become features and which places visual tokens get; prompts,
assembling, reading attention and generating are shared. Knows nothing of rasters, pyramids or
strategies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from uhrqa.vlm.seam import SceneModel, VisionLanguageModel
from uhrqa.vlm.sequence import Generation, Prompt, ScoredChoice, Sequence

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Generation",
    "Prompt",
    "SceneModel",
    "ScoredChoice",
    "Sequence",
    "VisionLanguageModel",
    "load_model",
]


def load_model(  # noqa: PLR0913 - each a choice of the user's
    name: str = "tiny",
    *,
    device: str | None = None,
    dtype: str | None = None,
    attention: str = "auto",
    rfm: str | Path | None = None,
    clip: str | Path | None = None,
    allow_pickle: bool = False,
    device_map: str | None = None,
    quantize: str | None = None,
) -> VisionLanguageModel:
    """Load a checkpoint.

    Args:
        name: a card's name, a directory, or a hub id that is in the local cache, `org/name` or
            `org/name@revision`.
        device: `cpu`, `cuda`, `cuda:1` ...; the first GPU if there is one, when None.
        dtype: `float32`, `bfloat16` or `float16`; float32 on a CPU and the checkpoint's own on a
            GPU, when None.
        attention: `sdpa`, `flash_attention_2`, or `auto`: flash-attn where it is installed and the
            model is in half precision on a GPU.
        rfm: file of a Region Focus Module, instead of the card's.
        clip: directory of a whole CLIP or SigLIP for `relevance=clip`, instead of the card's.
        allow_pickle: read `pytorch_model*.bin` where there is no safetensors; tensors alone are
            taken from it, and a pickle that holds anything else is refused.
        device_map: `auto` puts the parts on all devices there are (needs accelerate).
        quantize: `8bit` or `4bit` weights of the decoder's linear layers (needs bitsandbytes);
            experts stay as they are, which a `PrecisionWarning` tells.

    Raises:
        UnknownNameError: no such model.
        CardError: the model's card is not valid.
        CheckpointError: weights are missing, mismatched, pickled or damaged.
        ConfigError: no such device, dtype, attention backend or package here.
    """
    from uhrqa.vlm.card import load_card
    from uhrqa.vlm.loading import Loading
    from uhrqa.vlm.opening import open_checkpoint

    card = load_card(name) if clip is None else replace(load_card(name), clip=str(clip))
    how = Loading(device, dtype, attention, rfm, allow_pickle, device_map, quantize)
    return open_checkpoint(card, how)
