"""What a question costs: exact FLOPs and bytes from a model's dimensions, without running it.

Convention: 1 multiply-accumulate = 2 FLOPs; grouped-query attention; causal attention counts the
attended pairs, n(n+1)/2; `lm_head` on the last position only; norms, softmax, activations, rotary
embeddings, biases and look-ups are ignored. Knows nothing of images, strategies or tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from uhrqa.dims import DecoderDims, Dims
from uhrqa.drops import Stage


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
    linears = depth * 2 * v.tokens * v.layer_weights
    scores = attention * 4 * v.pairs(depth) * v.width
    convolution = 2 * (v.tile // v.patch) ** 2 * 3 * v.frames * v.patch**2 * v.width
    return tiles * (convolution + linears + scores)


def watch_flops(dims: Dims, tiles: int) -> int:
    """FLOPs of reading what the tower attends to: the class token's row, or whole maps."""
    v = dims.vision
    return 2 * tiles * (1 if v.has_class_token else v.tokens) * v.tokens * v.width


def projector_flops(dims: Dims, tokens: int) -> int:
    """FLOPs of the projector over `tokens` features, before any pooling."""
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


def staged_prefill_flops(
    decoder: DecoderDims, text: int, parts: Sequence[Stage], causal: bool = True
) -> int:
    """FLOPs of a prefill from which visual tokens are dropped on the way.

    At each drop one row of scores over all that is there is computed besides.

    Args:
        decoder: its sizes.
        text: tokens that always stay.
        parts: visual tokens by layers, as `stages` gives them.
        causal: as in `prefill_flops`.
    """
    total = 0
    for part in parts:
        total += prefill_flops(decoder, text + part.tokens, part.layers, 0, causal)
    for part in parts[:-1]:
        total += 2 * (text + part.tokens) * decoder.heads * decoder.head_dim
    return total + 2 * decoder.width * decoder.vocab


def staged_decode_flops(decoder: DecoderDims, text: int, parts: Sequence[Stage], steps: int) -> int:
    """FLOPs of `steps` cached steps behind such a prefill: later layers hold fewer tokens."""
    layers = (
        decode_flops(decoder, text + part.tokens, steps, part.layers, logits=0) for part in parts
    )
    return sum(layers) + 2 * steps * decoder.width * decoder.vocab


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
    vision = v.layers * v.layer_weights + (3 * v.frames * v.patch**2 + v.tokens) * v.width
    decoder = (d.layers + dims.rfm_layers) * d.held_weights
    tables = (1 if d.tied else 2) * d.vocab * d.width
    return (vision + dims.projector.weights + decoder + tables) * bytes_per_value


def paper_lrs_macs(decoder: DecoderDims, n: int, layers: int) -> int:
    """Multiply-accumulates of `layers` layers over `n` tokens as LRS-VQA prints them.

    Source: Luo et al. 2025, supplement Eq. 1: 4nd^2 + 2n^2d + 3ndm, printed there as FLOPs.
    """
    d, m = decoder.width, decoder.mlp
    return layers * (4 * n * d * d + 2 * n * n * d + 3 * n * d * m)


def paper_fastv_macs(decoder: DecoderDims, n: int, layers: int) -> int:
    """Multiply-accumulates of `layers` layers over `n` tokens as FastV prints them.

    Source: Chen et al. 2024 (FastV), Sec. 4.2: 4nd^2 + 2n^2d + 2ndm, an MLP of two matrices.
    """
    d, m = decoder.width, decoder.mlp
    return layers * (4 * n * d * d + 2 * n * n * d + 2 * n * d * m)


def profiler_flops(decoder: DecoderDims, n: int, layers: int | None = None) -> int:
    """FLOPs of a prefill as `torch.profiler(with_flops=True)` shows them with a fused attention.

    Matrices only, and `lm_head` on all `n` positions, as transformers 4.43 ran it; the same count
    of the tower is `vision_flops(..., attention=False)`. Source: Dang et al. 2026, Table 4.
    """
    depth = decoder.layers if layers is None else layers
    return layer_flops(decoder, n, 0, depth) + 2 * n * decoder.width * decoder.vocab
