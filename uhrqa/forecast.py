"""Memory and seconds that a plan comes to: weights, cache, activations and features; by stage.

What is counted stands in `docs/cost.md`; allocators and kernels take more than tensors do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from uhrqa.cost import Cost, kv_bytes, vision_flops
from uhrqa.dims import Dims
from uhrqa.features import FEATURE_BYTES
from uhrqa.ledger import Choosing, Clustering, RelevancePass
from uhrqa.rates import Rates
from uhrqa.tally import Counts
from uhrqa.vlm.batching import TILE_BATCH

LAID_OUT = 2  # copies of all tokens seen, beside tiles kept: as laid out, as chosen from
BESIDE = 4  # pixels decoded for one of a tile, where an image's blocks are not known
TOKEN_SECONDS = 5e-6  # of a token that is seen: laid out, ranked, chosen from
SWEEPS = 3  # times its features are written anew on the way
ROUND_SWEEPS = 1  # the same in each round of k-means, whose parts caches hold
QUANTISED = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}  # bytes of a weight, with its share of a scale


@dataclass(frozen=True, slots=True)
class Setup:
    """What memory and time depend on beside the model's sizes.

    Attributes:
        device: `cpu` or `cuda`, for people.
        dtype: what weights are held in, for people.
        value_bytes: bytes of a number of that dtype.
        quantize: of the decoder's layers: `8bit`, `4bit` or None.
        keeps_states: the tower keeps what each of its layers gives, as LLaVA's does.
        is_shared: the device's memory is the process's: a CPU.
    """

    device: str
    dtype: str
    value_bytes: int
    quantize: str | None = None
    keeps_states: bool = False
    is_shared: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the device at the peak.

    Attributes:
        weights: all matrices and tables.
        cache: keys and values of the answering pass.
        activations: of the largest of: a batch of tiles, a relevance pass, the answering pass.
        features: encoded tiles that are kept, and the tokens that are chosen from.
        process: on a CPU, the program itself and the pixels it holds; the program's share is known
            only where it was measured.
    """

    weights: int
    cache: int
    activations: int
    features: int
    process: int = 0

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return sum(getattr(self, part.name) for part in fields(self))


@dataclass(frozen=True, slots=True)
class Reads:
    """What is read of an image.

    Attributes:
        tiles: read.
        pixels: of these tiles.
        decoded: pixels of the blocks under them, each block once; None where that is not known.
        halved: pixels of a level of which coarser ones are made in memory first.
        stored: bytes of the blocks; None where that is not known.
        held: bytes of decoded pixels that stay in memory while the image is read, tiles that are
            read ahead among them.
        decoder: what decodes it; empty: not known.
    """

    tiles: int
    pixels: int
    decoded: int | None = None
    halved: int = 0
    stored: int | None = None
    held: int = 0
    decoder: str = ""

    def seconds(self, rates: Rates) -> float:
        """Opening, decoding of blocks, making of coarse levels, resampling of tiles."""
        decoder = rates.decoder(self.decoder)
        decoded = BESIDE * self.pixels if self.decoded is None else self.decoded
        return (
            decoder.opening
            + decoded * decoder.pixel
            + (self.stored or 0) * decoder.byte
            + self.halved / rates.halved
            + self.pixels / rates.pixels
            + self.tiles * rates.tile_seconds
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """What a plan found, as far as memory and time depend on it.

    Attributes:
        counts: of tiles and tokens.
        cost: exact FLOPs by stage.
        passes: readings of attention.
        clusterings: k-means over tokens.
        choosings: of tokens one by one.
        feature_values: numbers that kept tiles hold.
        reads: of the image.
    """

    counts: Counts
    cost: Cost
    passes: Sequence[RelevancePass]
    clusterings: Sequence[Clustering]
    choosings: Sequence[Choosing]
    feature_values: int
    reads: Reads


def memory_of(dims: Dims, work: Workload, setup: Setup, rates: Rates | None = None) -> Memory:
    """Bytes that a question takes.

    Args:
        dims: of the model.
        work: what is to be done.
        setup: device, dtype and quantisation.
        rates: for what the program itself holds; on a GPU of no use.
    """
    counts, wide = work.counts, setup.value_bytes
    answering = counts.entering + counts.text
    longest = max([answering, *(entry.sequence for entry in work.passes)])
    activations = max(
        _decoder_values(dims, longest) * wide,
        _tower_values(dims, min(TILE_BATCH, counts.tiles_encoded), setup.keeps_states) * wide,
        *(entry.held_bytes for entry in work.choosings),
    )
    process = work.reads.held + (rates.base_bytes if rates else 0) if setup.is_shared else 0
    return Memory(
        weights=held_bytes(dims, setup),
        cache=sum(
            kv_bytes(dims.decoder, part.tokens + counts.text + counts.steps, wide)
            * part.layers
            // dims.decoder.layers
            for part in counts.stages
        ),
        activations=activations,
        features=min(work.feature_values * wide, FEATURE_BYTES)
        + LAID_OUT * sum(level.seen for level in counts.levels) * dims.token_width * wide,
        process=process,
    )


def held_bytes(dims: Dims, setup: Setup) -> int:
    """Bytes of the weights; of quantised ones only the decoder's layers are small."""
    v, d = dims.vision, dims.decoder
    layers = int(d.layers * d.held_weights * _layer_bytes(dims, setup))
    rest = v.layers * v.layer_weights + (3 * v.frames * v.patch**2 + v.tokens) * v.width
    rest += dims.projector.weights + dims.rfm_layers * d.held_weights
    rest += (1 if d.tied else 2) * d.vocab * d.width
    return layers + rest * setup.value_bytes


def _layer_bytes(dims: Dims, setup: Setup) -> float:
    """Bytes of one weight of the decoder's layers."""
    if setup.quantize and dims.decoder.experts == 1:  # bitsandbytes takes no experts
        return QUANTISED[setup.quantize]
    return setup.value_bytes


def _decoder_values(dims: Dims, tokens: int) -> int:
    """Numbers alive at once in a layer over many tokens, and the tokens as they came in."""
    d = dims.decoder
    gated = 2 * d.width + 3 * d.active * d.mlp
    attending = 2 * d.width + 4 * d.heads * d.head_dim
    return tokens * (max(gated, attending) + dims.token_width)


def _tower_values(dims: Dims, tiles: int, keeps_states: bool) -> int:
    """Numbers alive at once in the tower over a batch of tiles."""
    v = dims.vision
    kept = v.layers + 1 if keeps_states else 1
    return tiles * v.tokens * (kept * v.width + v.width + (2 + v.gated) * v.mlp)


def seconds_of(dims: Dims, work: Workload, setup: Setup, rates: Rates) -> dict[str, float]:
    """Seconds by stage, from what was measured of the device.

    Stages of many tokens go by FLOPs, those of attention at their own rate; choosing by tokens seen
    and by rounds of k-means; decoding by the weights that go by for each token. Each layer of each
    pass costs the launching of its operations besides. A slow disk or network is not in it.

    Args:
        dims: of the model.
        work: what is to be done.
        setup: dtype and quantisation.
        rates: measured.
    """
    decoder, vision, cost, counts = dims.decoder, dims.vision, work.cost, work.counts
    slow, launching = rates.at(decoder.width), rates.layer_seconds
    head = decoder.vocab * decoder.width * setup.value_bytes
    going_by = decoder.layers * decoder.layer_weights * _layer_bytes(dims, setup) + head
    tower = cost.vision - vision_flops(dims, counts.tiles_encoded, attention=False)
    scored = sum(
        entry.full_layers * _attended(dims, entry.sequence)
        for entry in work.passes
        if entry.flops is None
    )
    answered = sum(
        part.layers * _attended(dims, counts.text + part.tokens) for part in counts.stages
    )
    batches = -(-counts.tiles_encoded // TILE_BATCH)
    passes = sum(entry.full_layers + 1 for entry in work.passes)
    return {
        "start": rates.start_seconds,
        "read": work.reads.seconds(rates),
        "encode": (cost.vision - tower) / rates.at(vision.width)
        + tower / rates.attention
        + cost.projector / slow
        + batches * vision.layers * launching,
        "relevance": (cost.relevance - scored) / slow
        + scored / rates.attention
        + passes * launching,
        "select": _choosing(dims, work, setup, rates),
        "prefill": (cost.prefill - answered) / slow
        + answered / rates.attention
        + decoder.layers * launching,
        "decode": counts.steps * (going_by / rates.weight_bytes + decoder.layers * launching),
    }


def _attended(dims: Dims, tokens: int) -> int:
    """FLOPs of one layer's attention over many tokens."""
    return 2 * tokens * (tokens + 1) * dims.decoder.heads * dims.decoder.head_dim


def _choosing(dims: Dims, work: Workload, setup: Setup, rates: Rates) -> float:
    """Seconds for laying tokens out, for cutting them into regions, and for choosing from them."""
    seen = sum(level.seen for level in work.counts.levels)
    written = SWEEPS * seen * dims.token_width * setup.value_bytes
    written += sum(
        4 * ROUND_SWEEPS * entry.rounds * entry.points * entry.width  # in float32
        for entry in work.clusterings
    )
    distances = sum(entry.flops / rates.at(entry.width) for entry in work.clusterings)
    one_by_one = sum(
        entry.flops / rates.at(entry.width) + entry.swept_bytes / rates.weight_bytes
        for entry in work.choosings
    )
    return seen * TOKEN_SECONDS + written / rates.copied + distances + one_by_one
