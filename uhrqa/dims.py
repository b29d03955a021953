"""Sizes of a model that a cost depends on. Knows no configuration, no formula and no weight."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecoderDims:
    """A Llama-like decoder: grouped-query attention, three-matrix gated MLP.

    Attributes:
        mlp: width of the MLP, or of one expert.
        experts: MLPs a layer holds; each token goes through `active` of them.
    """

    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    experts: int = 1
    active: int = 1

    @property
    def layer_weights(self) -> int:
        """Matrix entries of one layer a token meets: q, o; k, v; router; gate, up, down."""
        return self._shared_weights + self.active * 3 * self.width * self.mlp

    @property
    def held_weights(self) -> int:
        """Matrix entries of one layer, all experts counted."""
        return self._shared_weights + self.experts * 3 * self.width * self.mlp

    @property
    def score_weights(self) -> int:
        """Matrix entries of one layer's q and k."""
        return self.width * self.head_dim * (self.heads + self.kv_heads)

    @property
    def _shared_weights(self) -> int:
        router = self.width * self.experts if self.experts > 1 else 0
        return 2 * self.score_weights + router


@dataclass(frozen=True, slots=True)
class VisionDims:
    """A ViT over square tiles; `tile` and `patch` are sides in pixels.

    Attributes:
        tokens: per tile inside the tower, with the class token where there is one.
        features: per tile that enter the projector; what leaves it are as many visual tokens.
        used_layers: layers the features depend on. Stock transformers computes all `layers`, also
            with `vision_feature_layer=-2`, and throws the last one away.
        gated: the MLP has three matrices.
        frames: times a tile is repeated before the patch convolution, which expects a video.
        windowed: layers whose attention stays inside windows.
        window_pairs: query-key pairs of a tile in one of these.
    """

    width: int
    mlp: int
    layers: int
    heads: int
    patch: int
    tile: int
    tokens: int
    features: int
    used_layers: int
    gated: bool = False
    frames: int = 1
    windowed: int = 0
    window_pairs: int = 0

    @property
    def layer_weights(self) -> int:
        """Matrix entries of one layer: q, k, v, o; two or three of the MLP."""
        return 4 * self.width**2 + (2 + self.gated) * self.width * self.mlp

    @property
    def has_class_token(self) -> bool:
        """Whether the tower has a token for the whole tile."""
        return self.tokens > (self.tile // self.patch) ** 2

    @property
    def side(self) -> int:
        """Visual tokens along a tile's side."""
        return math.isqrt(self.features)

    def pairs(self, layers: int) -> int:
        """Query-key pairs of a tile over that many layers."""
        windowed = min(self.windowed, layers)
        return (layers - windowed) * self.tokens**2 + windowed * self.window_pairs


@dataclass(frozen=True, slots=True)
class ProjectorDims:
    """Two linear layers, `inputs -> hidden -> width`; `hidden` is `width` when 0.

    Attributes:
        copies: projectors of that size; more than one where features of inner layers are used too.
    """

    inputs: int
    width: int
    hidden: int = 0
    copies: int = 1

    @property
    def weights(self) -> int:
        """Matrix entries, all copies together."""
        hidden = self.hidden or self.width
        return self.copies * hidden * (self.inputs + self.width)


@dataclass(frozen=True, slots=True)
class Dims:
    """All sizes a cost depends on; `rfm_layers` counts layers held besides the decoder's own."""

    vision: VisionDims
    projector: ProjectorDims
    decoder: DecoderDims
    rfm_layers: int = 0

    @property
    def token_width(self) -> int:
        """Numbers a visual token consists of, those for inner layers of the decoder included."""
        return self.decoder.width * self.projector.copies
