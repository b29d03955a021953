"""UHR-BAT's own tables: a learned map for each view, and an MLP for the tokens that are kept.

The map of a view is resized to the grid of one tile and added to every tile's tokens. The MLP takes
every visual token of the answering pass, and none of a relevance pass.

Source: Dang et al. 2026 (UHR-BAT), Eq. 5, whose q is a map in the released weights; the MLP is in
these alone. Differences are listed in docs/deviations.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from uhrqa.errors import CheckpointError
from uhrqa.geometry import Size
from uhrqa.tokens import VisualTokens
from uhrqa.vlm.sequence import Sequence

MAP, MLP = "scale_maps.", "token_mlp."


class Multiscale(nn.Module):
    """The maps of some views and the MLP.

    Args:
        maps: by the view's longer side in pixels, each `[1, m * m, D]`.
        side: n, tokens along a tile's side.
        cell: pixels along a token's side.
    """

    sides: Tensor
    maps: Tensor

    def __init__(self, maps: Mapping[int, Tensor], side: int, cell: float) -> None:
        super().__init__()
        self.cell = cell
        tiles = torch.stack([resize_map(maps[view], side) for view in sorted(maps)])
        width = tiles.shape[-1]
        self.register_buffer("sides", torch.tensor(sorted(maps), dtype=torch.float64))
        self.register_buffer("maps", tiles)  # [V, n, n, D]
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def place(self, tokens: VisualTokens, size: Size) -> VisualTokens:
        """The tokens with their view's map added; other views take the nearest view's.

        Args:
            tokens: N tokens as they come from their tiles, none of them merged.
            size: of the source image; not needed here.
        """
        longer = tokens.grid.amax(1).double() * self.cell
        distance = (longer[:, None].log() - self.sides.cpu().log()).abs()  # [N, V]
        side = self.maps.shape[1]
        place = (distance.argmin(1), tokens.row % side, tokens.col % side)
        device = self.maps.device
        added = self.maps[tuple(part.to(device) for part in place)].to(tokens.embed)
        return dataclasses.replace(tokens, embed=tokens.embed + added)

    def forward(self, embeds: Tensor) -> Tensor:
        """`[N, D]`, what the decoder gets for the kept tokens `[N, D]`."""
        refined: Tensor = self.mlp(embeds)
        return refined

    def refine(self, sequence: Sequence) -> Sequence:
        """A sequence as the answering pass takes it: its visual tokens passed the MLP."""
        embeds = sequence.embeds.clone()
        kept = embeds[0, sequence.visual].to(self.maps)
        embeds[0, sequence.visual] = self(kept).to(embeds)
        return dataclasses.replace(sequence, embeds=embeds)

    @classmethod
    def of(cls, state: Mapping[str, Tensor], side: int, cell: float, file: Path) -> Self:
        """Build it from tensors `scale_maps.{view}` and `token_mlp.{0,2}.{weight,bias}`.

        Args:
            state: the tensors by name.
            side: tokens along a tile's side.
            cell: pixels along a token's side.
            file: where they come from, for messages.

        Raises:
            CheckpointError: one is missing or has another shape.
        """
        maps = {name.removeprefix(MAP): value for name, value in state.items() if MAP in name}
        mlp = {name.removeprefix(MLP): value for name, value in state.items() if MLP in name}
        try:
            tables = cls({int(view): value for view, value in maps.items()}, side, cell)
            tables.mlp.load_state_dict(mlp)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{file}: no usable tables of UHR-BAT: {reason}") from error
        return tables.eval().requires_grad_(False)


def resize_map(table: Tensor, side: int) -> Tensor:
    """A view's map on the grid of one tile.

    Args:
        table: `[1, m * m, D]`.
        side: n, tokens along a tile's side.

    Returns:
        `[n, n, D]` float32, bilinear.

    Raises:
        ValueError: the table is no square.
    """
    own = math.isqrt(table.shape[1]) if table.ndim == 3 else 0
    if not own or own * own != table.shape[1] or table.shape[0] != 1:
        raise ValueError(f"a map of shape {list(table.shape)} is no square of tokens")
    grid = table.float().unflatten(1, (own, own)).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid, (side, side), mode="bilinear", align_corners=False)
    return resized[0].permute(1, 2, 0).contiguous()
