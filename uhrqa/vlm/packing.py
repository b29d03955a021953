"""In which order visual tokens enter the decoder."""

from __future__ import annotations

import torch
from torch import Tensor

from uhrqa.tokens import VisualTokens
from uhrqa.vlm.card import Card


def packing_order(tokens: VisualTokens, card: Card) -> Tensor:
    """Which token stands where.

    As they come; where the card packs by tiles, tokens in raster order one tile after the other.
    An order that a strategy chose stays.

    Args:
        tokens: N tokens.
        card: of the model.

    Returns:
        `[N]` indices of tokens.
    """
    run = tokens.runs()
    side = card.dims.vision.side
    sides = torch.full_like(run, side // card.pooling(1))
    sides[tokens.level == 0] = side // card.pooling(0)
    rows, cols = tokens.row, tokens.col
    later = (run[1:] > run[:-1]) | (rows[1:] > rows[:-1])
    raster = later | ((rows[1:] == rows[:-1]) & (cols[1:] > cols[:-1]))
    order = torch.arange(len(tokens))
    if card.packing != "tiles" or not raster.all() or (tokens.weight > 1).any():
        return order
    for key in (cols, rows, cols // sides, rows // sides, run):  # the last counts most
        order = order[key[order].argsort(stable=True)]
    return order
