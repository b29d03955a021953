"""CLIP or SigLIP whole: a vision tower and the text tower it was trained with.

LLaVA checkpoints hold the vision tower alone; what pairs with it is a checkpoint of its own. Scores
are cosines between patches and the question in the space both towers project to.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Protocol

import torch
import transformers
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from uhrqa.errors import CheckpointError, LongQuestionWarning
from uhrqa.vlm.batching import Batching
from uhrqa.vlm.directory import read_config
from uhrqa.vlm.families import CLIP, HALVES
from uhrqa.vlm.headers import check_dtypes, read_headers
from uhrqa.vlm.loading import load_strictly
from uhrqa.vlm.tokenizing import load_tokenizer, read_normalisation

KINDS = {"clip": "CLIP", "siglip": "Siglip"}


class Paired(Protocol):
    """Towers that see patches and questions in one space."""

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """`[T, g, g, P]` of length 1, float32 on the CPU, from tiles `[T, 3, B, B]` uint8."""
        ...

    def read(self, question: str) -> tuple[Tensor, int]:
        """`[P]` of length 1 of a question, and how many tokens it has."""
        ...

    def flops(self, tiles: int, length: int) -> int:
        """Of that many tiles and one question of that many tokens."""
        ...


def paired_config(path: Path) -> Any:  # noqa: ANN401 - a configuration of transformers
    """Sizes of both towers.

    Raises:
        CheckpointError: no checkpoint of CLIP or SigLIP with both towers is there.
    """
    config = read_config(path)
    kind = KINDS.get(str(config.get("model_type")))
    if kind is None:
        raise CheckpointError(
            f"{path}: model_type {config.get('model_type')} has no paired text tower; name the "
            "directory of a whole CLIP or SigLIP checkpoint"
        )
    return getattr(transformers, f"{kind}Config").from_dict(config)


def load_paired(path: Path, device: torch.device, dtype: torch.dtype) -> PairedTowers:
    """Load both towers.

    Raises:
        CheckpointError: not such a checkpoint, or weights are missing or damaged.
    """
    config = paired_config(path)
    check_dtypes(path, read_headers(path), {})
    kind = getattr(transformers, f"{KINDS[config.model_type]}Model")
    model = load_strictly(kind, path, dtype=dtype, attention="sdpa").to(device)
    return PairedTowers(model, load_tokenizer(path), path)


class PairedTowers:
    """See `Paired`; use `load_paired`."""

    def __init__(self, model: Any, tokenizer: Any, path: Path) -> None:  # noqa: ANN401
        self._model = model
        self._tokenizer = tokenizer
        self._is_clip = model.config.model_type == "clip"
        self._batching = Batching()
        mean, std = read_normalisation(path, CLIP if self._is_clip else HALVES)
        self._mean, self._std = (
            torch.tensor(part, device=model.device).view(3, 1, 1) for part in (mean, std)
        )

    @property
    def scale(self) -> float:
        """See `Paired`."""
        return float(self._model.logit_scale.float().exp())

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """See `Paired`: CLIP's patches are projected, SigLIP's pass its head one by one."""
        parts = list(self._batching.run(self._encode_batch, pixels))
        across = int(parts[0].shape[1] ** 0.5)
        return torch.cat(parts).unflatten(1, (across, across))

    def _encode_batch(self, pixels: Tensor) -> Tensor:
        vision = self._model.vision_model
        side = self._model.config.vision_config.image_size
        moved = pixels.to(self._model.device, non_blocking=True)  # as uint8
        tiles = (moved.float() / 255 - self._mean) / self._std
        if tiles.shape[-1] != side:
            tiles = interpolate(tiles, (side, side), mode="bilinear", antialias=True)
        hidden = vision(tiles.to(self._model.dtype)).last_hidden_state
        if self._is_clip:
            seen = self._model.visual_projection(vision.post_layernorm(hidden[:, 1:]))
        else:
            seen = vision.head(hidden.flatten(0, 1)[:, None]).unflatten(0, hidden.shape[:2])
        return normalize(seen.float(), dim=-1).cpu()

    @torch.inference_mode()
    def read(self, question: str) -> tuple[Tensor, int]:
        """See `Paired`; warns where the text tower reads but a part of the question."""
        most = self._model.config.text_config.max_position_embeddings
        whole = len(self._tokenizer(question).input_ids)
        if whole > most:
            warnings.warn(
                f"relevance=clip: the question has {whole} tokens, the text tower reads {most}",
                LongQuestionWarning,
                stacklevel=2,
            )
        padding = False if self._is_clip else "max_length"
        ids = self._tokenizer(
            question, truncation=True, max_length=most, padding=padding, return_tensors="pt"
        ).input_ids
        found = self._model.get_text_features(ids.to(self._model.device)).pooler_output
        return normalize(found.float(), dim=-1)[0].cpu(), ids.shape[1]

    def flops(self, tiles: int, length: int) -> int:
        """See `Paired`."""
        return paired_flops(self._model.config, tiles, length)


def paired_flops(config: Any, tiles: int, length: int) -> int:  # noqa: ANN401
    """FLOPs of tiles through the vision tower and of a question through the text tower.

    Projections included; 1 multiply-accumulate counts two, CLIP's text attention is causal.
    """
    vision, text, is_clip = config.vision_config, config.text_config, config.model_type == "clip"
    patches, d = (vision.image_size // vision.patch_size) ** 2, vision.hidden_size
    n = patches + is_clip
    tile = 2 * patches * 3 * vision.patch_size**2 * d + _layers(vision, n, n * n)
    if is_clip:
        tile += 2 * patches * d * config.projection_dim
    else:  # the head over each patch, and over the whole tile, which stock transformers adds
        query = 2 * d * d + 2 * d * vision.intermediate_size
        tile += 2 * (patches + 1) * query + 2 * 2 * patches * 2 * d * d + 2 * 4 * patches * d
    pairs = length * (length + 1) // 2 if is_clip else length**2
    out = config.projection_dim if is_clip else text.hidden_size
    return tiles * tile + _layers(text, length, pairs) + 2 * text.hidden_size * out


def _layers(part: Any, n: int, pairs: int) -> int:  # noqa: ANN401
    d, m = part.hidden_size, part.intermediate_size
    return int(part.num_hidden_layers * (2 * n * (4 * d * d + 2 * d * m) + 4 * pairs * d))
