"""Sizes of the embedded model, and the stock classes built from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    Qwen2Config,
)

from uhrqa.vlm.placement import Placement

MEAN = (0.45, 0.45, 0.42)
STD = (0.2, 0.2, 0.2)
THIRDS = 2.2  # a place must weigh as much as what stands there, or no layer learns to read it


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths and depths. The defaults are the embedded checkpoint's."""

    tile: int = 112
    patch: int = 14
    width: int = 160
    vision_layers: int = 4
    vision_heads: int = 4
    vision_ffn: int = 480
    layers: int = 5
    heads: int = 5
    ffn: int = 512
    vocabulary: int = 1024

    @property
    def grid(self) -> int:
        """Patches along a tile's side."""
        return self.tile // self.patch


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a training runs.

    Attributes:
        device: of the weights.
        workers: processes that draw; with more than one, batches come in no fixed order.
    """

    device: str = "cpu"
    workers: int = 1


def vision_config(shape: Shape) -> CLIPVisionConfig:
    """The tower's configuration."""
    return CLIPVisionConfig(
        hidden_size=shape.width,
        intermediate_size=shape.vision_ffn,
        num_hidden_layers=shape.vision_layers,
        num_attention_heads=shape.vision_heads,
        image_size=shape.tile,
        patch_size=shape.patch,
        hidden_act="gelu",
        projection_dim=shape.width,
    )


def vision_tower(shape: Shape) -> CLIPVisionModel:
    """A tower with fresh weights."""
    return CLIPVisionModel(vision_config(shape))


def encode(tower: CLIPVisionModel, tiles: Tensor) -> Tensor:
    """Patch features as LLaVA-NeXT reads them: last layer, class token dropped.

    Args:
        tower: the vision tower.
        tiles: `[T, H, W, 3]` uint8.

    Returns:
        `[T, n, D]`.
    """
    mean, std = (_column(values).to(tiles.device) for values in (MEAN, STD))
    pixels = (tiles.permute(0, 3, 1, 2).float() / 255 - mean) / std
    states = tower(pixels, output_hidden_states=True).hidden_states
    return states[-1][:, 1:]


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)[None, :, None, None]


def llava(shape: Shape, image_token: int, end_token: int) -> LlavaNextForConditionalGeneration:
    """The whole model with fresh weights."""
    text = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=16384,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end_token,
        pad_token_id=end_token,
        use_sliding_window=False,
        initializer_range=0.05,  # the usual 0.02 is for far wider layers and starts too slowly
    )
    config = LlavaNextConfig(
        vision_config=vision_config(shape),
        text_config=text,
        image_token_index=image_token,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        image_grid_pinpoints=[[2 * shape.tile, 2 * shape.tile]],
        tie_word_embeddings=True,
        image_seq_length=shape.grid**2,
    )
    return LlavaNextForConditionalGeneration(config)


@torch.no_grad()
def standardise(projector: Any, features: Tensor) -> None:  # noqa: ANN401 - stock, untyped
    """Start a projector so that features enter it with mean 0 and deviation 1.

    The tower's last layer has no norm after it; its features are a hundred times longer than the
    word embeddings they join.

    Args:
        projector: LLaVA-NeXT's two layers, fresh.
        features: `[N, D]` a sample.
    """
    mean, std = features.mean(0), features.std(0).clamp_min(1e-3)
    first, second = projector.linear_1, projector.linear_2
    nn.init.normal_(first.weight, std=first.in_features**-0.5)
    first.weight /= std
    first.bias.copy_(-(first.weight @ mean))
    nn.init.normal_(second.weight, std=3.0 * second.in_features**-0.5)


@torch.no_grad()
def spread_out(placement: Placement, seed: int, size: float = 1.0) -> None:
    """Start placement tables as smooth waves, so that places differ before anything is learnt.

    From zero, the tables and the weights that read them would wait for each other.

    Args:
        placement: fresh tables.
        seed: of the waves.
        size: their amplitude.
    """
    draw = torch.Generator().manual_seed(seed)
    width, grid, _ = placement.position.shape
    depths = placement.scale.shape[0]
    cycles = torch.rand(width, 2, generator=draw) * 4 - 2  # cycles over the image, along x and y
    phase = torch.rand(width, 2, generator=draw) * 2 * math.pi
    at = (torch.arange(grid) + 0.5) / grid * 2 * math.pi
    angle = cycles[:, :1, None] * at[None, None, :] + cycles[:, 1:, None] * at[None, :, None]
    thirds = torch.randn(2, 3, width, generator=draw)[:, torch.arange(grid) * 3 // grid]
    places = thirds[0, :, None] + thirds[1, None]  # [row, col, D]: "top left" is a sum of two
    waves = torch.cos(angle + phase[:, :1, None])
    placement.position.copy_(size * (waves + THIRDS * places.permute(2, 0, 1)))
    turns = torch.rand(width, generator=draw) * 1.5
    depth = torch.arange(depths)[:, None] / depths * 2 * math.pi
    placement.scale.copy_(size / 2 * torch.cos(turns * depth + phase[:, 1]))
