"""Scale-specific positional embedding: where a visual token lies and how fine it is.

A checkpoint may bring these two tables beside its weights (`placement.safetensors`); most do not.

Source: Dang et al. 2026 (UHR-BAT), Eq. 5: h = e + p + q. There q is looked up by scale index; ours
is interpolated over log2(tokens along the longer side), so that pyramids of any depth share it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from uhrqa.errors import CheckpointError
from uhrqa.geometry import Size
from uhrqa.tokens import VisualTokens, place_in

FINEST_DEPTH = 13  # 2**13 tokens along a side: 114,688 px at 14 px a token
CHUNK = 8192  # tokens that are placed at once


class Placement(nn.Module):
    """p and q of Eq. 5.

    Attributes:
        position: `[D, G, G]`, a grid over the whole image, read bilinearly at a token's centre.
        scale: `[FINEST_DEPTH + 1, D]`, read linearly at a token's depth.
    """

    def __init__(self, width: int, grid: int = 16) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(width, grid, grid))
        self.scale = nn.Parameter(torch.zeros(FINEST_DEPTH + 1, width))

    def forward(self, centre: Tensor, depth: Tensor) -> Tensor:
        """What both tables add, p + q.

        Args:
            centre: `[..., 2]` (x, y) in [0, 1].
            depth: `[...]` log2 of tokens along the longer side.

        Returns:
            `[..., D]`.
        """
        flat = centre.reshape(1, 1, -1, 2).to(self.position) * 2 - 1
        p = functional.grid_sample(
            self.position[None], flat, padding_mode="border", align_corners=False
        )
        low = depth.floor().clamp(0, FINEST_DEPTH - 1).long()
        share = (depth - low).clamp(0, 1).to(self.scale)[..., None]
        q = self.scale[low] * (1 - share) + self.scale[low + 1] * share
        return p[0, :, 0].T.reshape(*centre.shape[:-1], -1) + q

    @torch.inference_mode()
    def place(self, tokens: VisualTokens, size: Size) -> VisualTokens:
        """The tokens with p + q added to their embeddings; none where there are none."""
        if not len(tokens):  # torch cannot tell the width of an empty table
            return tokens
        centre, depth = place_in(size, tokens)
        device = self.position.device
        embed = tokens.embed.clone()
        for start in range(0, len(embed), CHUNK):
            part = slice(start, start + CHUNK)
            added = self(centre[part].to(device), depth[part].to(device)).to(embed)
            embed[part, : added.shape[1]] += added  # beyond is what inner layers take
        return dataclasses.replace(tokens, embed=embed)

    @classmethod
    def load(cls, file: Path) -> Placement:
        """Read `position` and `scale` from a safetensors file.

        Raises:
            CheckpointError: the file is damaged, or a table is missing or has another shape.
        """
        try:
            state = load_file(file)
            width, grid = state["position"].shape[:2]
            placement = cls(width, grid)
            placement.load_state_dict(state)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{file}: no placement tables ({error})") from error
        return placement.eval()
