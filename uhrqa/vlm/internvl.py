"""InternVL (-hf): patches folded 2 x 2, tiles one after the other, the thumbnail last."""

from __future__ import annotations

from torch import Tensor

from uhrqa.tokens import VisualTokens
from uhrqa.vlm.family import Family


class InternVL(Family):
    """See the module."""

    marks = ("<img>", "</img>")

    def features(self, pixels: Tensor) -> Tensor:
        """See `Family.features`."""
        out = self.model.model.get_image_features(pixels, return_dict=True)
        projected: Tensor = out.pooler_output
        return projected

    def order(self, tokens: VisualTokens) -> Tensor:
        """Tile by tile, the thumbnail behind them, as in training."""
        order = super().order(tokens)
        return order[(tokens.level[order] == 0).long().argsort(stable=True)]
