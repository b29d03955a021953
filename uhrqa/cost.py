"""What a question costs: exact FLOPs and bytes from a model's dimensions, without running it.

Convention: 1 multiply-accumulate = 2 FLOPs; grouped-query attention; causal attention counts the
attended pairs, n(n+1)/2; `lm_head` on the last position only; norms, softmax, activations, rotary
embeddings, biases and look-ups are ignored. Knows nothing of images, strategies or tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from uhrqa.errors import CheckpointError

_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")

# What transformers fills in where a config.json leaves keys out: `_KEYS`, then two more.
_TEXT = {  # vocab_size, num_key_value_heads
    "llama": (4096, 11008, 32, 32, 32000, None),
    "mistral": (4096, 14336, 32, 32, 32000, 8),
    "qwen2": (4096, 22016, 32, 32, 151936, 32),
}
_CLIP = (768, 3072, 12, 12, 32, 224)  # patch_size, image_size
_CLIP_WHEN_ABSENT = (1024, 4096, 24, 16, 14, 336)


@dataclass(frozen=True, slots=True)
class DecoderDims:
    """A Llama-like decoder: grouped-query attention, three-matrix gated MLP."""

    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False

    @property
    def layer_weights(self) -> int:
        """Matrix entries of one layer: q, o; k, v; gate, up, down."""
        return 2 * self.score_weights + 3 * self.width * self.mlp

    @property
    def score_weights(self) -> int:
        """Matrix entries of one layer's q and k."""
        return self.width * self.head_dim * (self.heads + self.kv_heads)


@dataclass(frozen=True, slots=True)
class VisionDims:
    """A ViT over square tiles; `tile` and `patch` are sides in pixels.

    Attributes:
        tokens: per tile inside the tower, with the class token where there is one.
        features: per tile that leave the tower for the projector.
        used_layers: layers the features depend on. Stock transformers computes all `layers`, also
            with `vision_feature_layer=-2`, and throws the last one away.
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

    @property
    def layer_weights(self) -> int:
        """Matrix entries of one layer: q, k, v, o; two of the MLP."""
        return 4 * self.width**2 + 2 * self.width * self.mlp


@dataclass(frozen=True, slots=True)
class ProjectorDims:
    """Two linear layers, `inputs -> width -> width`."""

    inputs: int
    width: int

    @property
    def weights(self) -> int:
        """Matrix entries."""
        return self.inputs * self.width + self.width**2


@dataclass(frozen=True, slots=True)
class Dims:
    """All sizes a cost depends on; `rfm_layers` counts layers held besides the decoder's own."""

    vision: VisionDims
    projector: ProjectorDims
    decoder: DecoderDims
    rfm_layers: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, rfm_layers: int = 0) -> Dims:
        """The sizes in a LLaVA-NeXT style `config.json`, transformers' defaults filled in.

        Raises:
            CheckpointError: a size is missing and has no default, or is none.
        """
        decoder = _decoder(config.get("text_config") or {}, bool(config.get("tie_word_embeddings")))
        taken = config.get("vision_feature_layer", -2)
        taken = taken if isinstance(taken, list) else [taken]
        if not taken or not all(isinstance(layer, int) for layer in taken):
            raise CheckpointError(f"config.json: vision_feature_layer is {taken}; give numbers")
        drop_first = config.get("vision_feature_select_strategy", "default") == "default"
        vision = _vision(config.get("vision_config") or {}, taken, drop_first)
        inputs = vision.width * len(taken)
        return cls(vision, ProjectorDims(inputs, decoder.width), decoder, rfm_layers)


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations by part; FLOPs unless a convention says otherwise."""

    vision: int = 0
    projector: int = 0
    relevance: int = 0
    prefill: int = 0
    decode: int = 0

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return sum(asdict(self).values())

    def tera(self) -> float:
        """The total in TFLOPs."""
        return self.total / 1e12

    def to_dict(self) -> dict[str, float]:
        """Every part and the total, in TFLOPs."""
        return {name: part / 1e12 for name, part in asdict(self).items()} | {"total": self.tera()}

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def vision_flops(dims: Dims, tiles: int, layers: int | None = None, attention: bool = True) -> int:
    """FLOPs of the tower: patch convolution, linears and, unless told not to, attention.

    All layers by default, as stock transformers computes them; a tower that stops early passes
    `dims.vision.used_layers`.
    """
    v = dims.vision
    depth = v.layers if layers is None else layers
    per_layer = 2 * v.tokens * v.layer_weights + attention * 4 * v.tokens**2 * v.width
    convolution = 2 * (v.tile // v.patch) ** 2 * 3 * v.patch**2 * v.width
    return tiles * (convolution + depth * per_layer)


def projector_flops(dims: Dims, tokens: int) -> int:
    """FLOPs of the projector over `tokens` tower features, before any pooling."""
    return 2 * tokens * dims.projector.weights


def layer_flops(decoder: DecoderDims, n: int, pairs: int, layers: int) -> int:
    """FLOPs of `layers` layers over `n` tokens that attend to `pairs` query-key pairs in all."""
    attention = 4 * pairs * decoder.heads * decoder.head_dim
    return layers * (2 * n * decoder.layer_weights + attention)


def prefill_flops(
    decoder: DecoderDims,
    n: int,
    layers: int | None = None,
    logits: int = 1,
    causal: bool = True,
) -> int:
    """FLOPs of one pass over `n` tokens, visual and text.

    All `layers` by default; stages between which tokens are dropped add up, one call each. `logits`
    positions go through `lm_head`. Not `causal` counts all n x n pairs, as eager kernels compute.
    """
    depth = decoder.layers if layers is None else layers
    pairs = n * (n + 1) // 2 if causal else n * n
    return layer_flops(decoder, n, pairs, depth) + 2 * logits * decoder.width * decoder.vocab


def relevance_flops(
    decoder: DecoderDims, n: int, full_layers: int, rows: int = 1, columns: int | None = None
) -> int:
    """FLOPs of scoring tokens of a sequence of `n`.

    `full_layers` layers run in full; of the next one q, k and v are computed (stock layers compute
    v before attention), then `rows` rows of scores over `columns` keys, `n` by default.
    """
    full = prefill_flops(decoder, n, full_layers, logits=0)
    values = decoder.width * decoder.head_dim * decoder.kv_heads
    scores = 2 * rows * (n if columns is None else columns) * decoder.heads * decoder.head_dim
    return full + 2 * n * (decoder.score_weights + values) + scores


def decode_flops(
    decoder: DecoderDims, context: int, steps: int, layers: int | None = None, logits: int = 1
) -> int:
    """FLOPs of `steps` cached steps; the first attends to `context` tokens and to itself."""
    depth = decoder.layers if layers is None else layers
    pairs = steps * context + steps * (steps + 1) // 2
    head = 2 * steps * logits * decoder.width * decoder.vocab
    return layer_flops(decoder, steps, pairs, depth) + head


def kv_bytes(decoder: DecoderDims, n: int, bytes_per_value: int = 2) -> int:
    """Bytes of the key-value cache of `n` tokens over all layers."""
    return 2 * n * decoder.layers * decoder.kv_heads * decoder.head_dim * bytes_per_value


def weight_bytes(dims: Dims, bytes_per_value: int = 2) -> int:
    """Bytes of all matrices and embeddings; norms and biases are left out (< 0.1 % at 7B)."""
    v, d = dims.vision, dims.decoder
    vision = v.layers * v.layer_weights + (3 * v.patch**2 + v.tokens) * v.width
    decoder = (d.layers + dims.rfm_layers) * d.layer_weights
    tables = (1 if d.tied else 2) * d.vocab * d.width
    return (vision + dims.projector.weights + decoder + tables) * bytes_per_value


def paper_lrs_macs(decoder: DecoderDims, n: int, layers: int) -> int:
    """Multiply-accumulates of `layers` layers over `n` tokens as LRS-VQA prints them.

    Source: Luo et al. 2025, supplement Eq. 1: 4nd^2 + 2n^2d + 3ndm, printed there as FLOPs.
    """
    d, m = decoder.width, decoder.mlp
    return layers * (4 * n * d * d + 2 * n * n * d + 3 * n * d * m)


def profiler_flops(decoder: DecoderDims, n: int, layers: int | None = None) -> int:
    """FLOPs of a prefill as `torch.profiler(with_flops=True)` shows them with a fused attention.

    Matrices only, and `lm_head` on all `n` positions, as transformers 4.43 ran it; the same count
    of the tower is `vision_flops(..., attention=False)`. Source: Dang et al. 2026, Table 4.
    """
    depth = decoder.layers if layers is None else layers
    return layer_flops(decoder, n, 0, depth) + 2 * n * decoder.width * decoder.vocab


def _sizes(
    section: Mapping[str, Any], keys: Sequence[str], defaults: Sequence[int | None]
) -> list[int]:
    sizes = []
    for key, default in zip(keys, defaults, strict=True):
        size = section.get(key) or default
        if isinstance(size, list | tuple) and len(set(size)) == 1:  # (height, width) of a square
            size = size[0]
        if not isinstance(size, int) or size < 1:
            raise CheckpointError(f"config.json: {key} is {size}; give a whole number above 0")
        sizes.append(size)
    return sizes


def _decoder(text: Mapping[str, Any], tied: bool) -> DecoderDims:
    *known, kv_known = _TEXT.get(str(text.get("model_type", "llama")), (None,) * 6)
    width, mlp, layers, heads, vocab = _sizes(text, (*_KEYS, "vocab_size"), known)
    derived = (kv_known or heads, width // heads)
    kv_heads, head_dim = _sizes(text, ("num_key_value_heads", "head_dim"), derived)
    return DecoderDims(width, mlp, layers, heads, kv_heads, head_dim, vocab, tied)


def _vision(section: Mapping[str, Any], states: Sequence[int], drop_first: bool) -> VisionDims:
    keys = (*_KEYS, "patch_size", "image_size")
    known = _CLIP if section else _CLIP_WHEN_ABSENT
    width, mlp, layers, heads, patch, tile = _sizes(section, keys, known)
    used = max(state if state >= 0 else layers + 1 + state for state in states)
    tokens = (tile // patch) ** 2 + str(section.get("model_type", "clip")).startswith("clip")
    features = tokens - drop_first
    return VisionDims(width, mlp, layers, heads, patch, tile, tokens, features, used)
