"""LLaVA 1.5, LLaVA-NeXT and LLaVA-OneVision: a tower, two linear layers, any decoder.

Features are those of one tower layer or more, CLIP's class token dropped. LLaVA-NeXT and
LLaVA-OneVision end every row of tiles with one learned newline; 1.5 knows no rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uhrqa.vlm.family import Family


class Llava(Family):
    """See the module."""

    def features(self, pixels: Tensor) -> Tensor:
        """See `Family.features`."""
        config = self.model.config
        out = self.model.model.vision_tower(pixels, output_hidden_states=True)
        layers = config.vision_feature_layer
        wanted = [layers] if isinstance(layers, int) else layers
        hidden = torch.cat([out.hidden_states[layer] for layer in wanted], dim=-1)
        if config.vision_feature_select_strategy == "default":
            hidden = hidden[:, 1:]
        projected: Tensor = self.model.model.multi_modal_projector(hidden)
        return projected
