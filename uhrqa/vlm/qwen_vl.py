"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL, dense or with experts: M-RoPE and merged patches.

Each level is an image of its own between vision marks, as in training on several images. A kept
token keeps its row and column in the full grid of its level; what follows a level goes on behind
the longer side of that grid, however many tokens were kept. Qwen3-VL's decoder adds features of
inner tower layers in its first layers; a token carries them behind its embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from uhrqa.tokens import VisualTokens
from uhrqa.vlm.family import Family


class QwenVL(Family):
    """See the module."""

    def features(self, pixels: Tensor) -> Tensor:
        """See `Family.features`."""
        vision = self.model.config.vision_config
        merge, patch = vision.spatial_merge_size, vision.patch_size
        tiles = len(pixels)
        patches = as_patches(pixels, patch, merge, vision.temporal_patch_size)
        grid = self._grid(tiles).to(pixels.device)
        out = self.model.model.get_image_features(patches, grid, return_dict=True)
        parts = [out.pooler_output, *(getattr(out, "deepstack_features", None) or ())]
        return torch.cat([torch.cat(list(part)).unflatten(0, (tiles, -1)) for part in parts], -1)

    def _grid(self, tiles: int) -> Tensor:
        """`[T, 3]` frames, rows and columns of patches."""
        side = self.card.tile // self.model.config.vision_config.patch_size
        return torch.tensor([[1, side, side]] * tiles)

    def token_traits(self, patches: Tensor) -> Tensor:
        """See `Family.token_traits`; patches of a token follow each other, tokens by windows."""
        vision = self.model.config.vision_config
        group = vision.spatial_merge_size**2
        found = patches.flatten(0, 1).unflatten(0, (-1, group)).mean(1)
        if hasattr(vision, "window_size"):
            order, _ = get_vision_window_index(
                self._grid(len(patches)),
                spatial_merge_size=vision.spatial_merge_size,
                window_size=vision.window_size,
                patch_size=vision.patch_size,
            )
            found = found[order.argsort().to(found.device)]
        return found.unflatten(0, (len(patches), -1))

    def positions(self, slots: Tensor, tokens: VisualTokens, length: int) -> Tensor:
        """See `Family.positions`; as `get_rope_index` of transformers, when all are kept."""
        at = torch.zeros(3, length, dtype=torch.int64)
        follows = 0  # position of the next text token
        done = 0  # places that have their position
        run = tokens.runs()
        for index in run.unique().tolist():
            own = run == index
            places = slots[own]
            first = int(places[0])
            at[:, done:first] = follows + torch.arange(first - done)
            follows += first - done
            at[0, places] = follows
            at[1, places] = follows + tokens.row[own]
            at[2, places] = follows + tokens.col[own]
            follows += int(tokens.grid[own][0].max())
            done = int(places[-1]) + 1
        at[:, done:] = follows + torch.arange(length - done)
        return at[:, None]


def as_patches(pixels: Tensor, patch: int, merge: int, frames: int) -> Tensor:
    """Tiles as the tower reads them: flat patches, those that are merged next to each other.

    Args:
        pixels: `[T, 3, B, B]`.
        patch: side of a patch in pixels.
        merge: patches along a side of a token.
        frames: times each patch is repeated, as a video's would follow each other.

    Returns:
        `[T * (B / patch)^2, 3 * frames * patch^2]`.
    """
    tiles, channels, side, _ = pixels.shape
    cells = side // patch // merge
    cut = pixels.reshape(tiles, channels, cells, merge, patch, cells, merge, patch)
    cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # tile, cell, patch in the cell, channel, pixel
    cut = cut.unsqueeze(6).expand(*cut.shape[:6], frames, patch, patch)
    return cut.reshape(tiles * (cells * merge) ** 2, channels * frames * patch**2)
