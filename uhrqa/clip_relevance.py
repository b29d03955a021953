"""Relevance without the decoder: cosines of a paired text tower with the patches under each token.

Source: CLIP-based pruning as Luo et al. 2025 compare with (supplement B.2), and CDPruner.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from uhrqa.encoding import TileEncoder
from uhrqa.ledger import RelevancePass
from uhrqa.tokens import VisualTokens
from uhrqa.vlm.paired import Paired


def clip_relevance(
    encoder: TileEncoder, towers: Paired, tokens: VisualTokens, question: str
) -> Tensor:
    """How alike the question and what lies under each token are.

    Args:
        encoder: of the image, which has laid the tokens out.
        towers: what sees both.
        tokens: N tokens of one level.
        question: the user's words.

    Returns:
        `[N]` float32, softmax of the scaled cosines over the tokens; sums to 1.
    """
    level = encoder.level_of(tokens)
    side = encoder.side(level)
    wide = level.grid[1]
    places, index = torch.unique(
        tokens.row // side * wide + tokens.col // side, return_inverse=True
    )
    patches, fresh = encoder.encode_paired(level, towers, places.tolist())
    with encoder.ledger.stage("relevance"):
        text, length = towers.read(question)
        cells = adaptive_avg_pool2d((patches @ text)[:, None], side)[:, 0]  # [T, n, n]
        cosines = cells[index, tokens.row % side, tokens.col % side]
        scores = (cosines * towers.scale).softmax(0)
    encoder.ledger.passes.append(
        RelevancePass(
            "clip",
            full_layers=0,
            sequence=length,
            seen=len(tokens),
            rows=1,
            columns=len(tokens),
            flops=towers.flops(fresh, length),
        )
    )
    return scores
