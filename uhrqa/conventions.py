"""FLOPs as others count them, from the same counts: the papers' figures beside the exact ones.

`exact` is `uhrqa.cost`. The others leave parts out, each as its source does; see `docs/cost.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from uhrqa.cost import (
    Cost,
    layer_flops,
    paper_fastv_macs,
    paper_lrs_macs,
    prefill_flops,
    vision_flops,
)
from uhrqa.dims import DecoderDims, Dims
from uhrqa.ledger import RelevancePass
from uhrqa.tally import Counts

EXACT = "exact"
Macs = Callable[[DecoderDims, int, int], int]


def cost_by(
    convention: str, dims: Dims, counts: Counts, passes: Sequence[RelevancePass], exact: Cost
) -> Cost:
    """The cost of a question under a convention.

    Args:
        convention: its name, in `CONVENTIONS`.
        dims: of the model.
        counts: of tiles and tokens.
        passes: readings of attention.
        exact: the same cost as `uhrqa.cost` counts it.
    """
    return CONVENTIONS[convention](dims, counts, passes, exact)


def _exact(dims: Dims, counts: Counts, passes: Sequence[RelevancePass], exact: Cost) -> Cost:
    """1 multiply-accumulate = 2 FLOPs; every matrix, attended pairs, vision and decoding."""
    return exact


def _paper_lrs(dims: Dims, counts: Counts, passes: Sequence[RelevancePass], exact: Cost) -> Cost:
    """LRS-VQA, Eq. 1 of its supplement: 4nd^2 + 2n^2d + 3ndm a layer; decoder, visual tokens."""
    return _by_layers(paper_lrs_macs, dims, counts, passes)


def _paper_fastv(dims: Dims, counts: Counts, passes: Sequence[RelevancePass], exact: Cost) -> Cost:
    """FastV: 4nd^2 + 2n^2d + 2ndm a layer; decoder, visual tokens."""
    return _by_layers(paper_fastv_macs, dims, counts, passes)


def _by_layers(macs: Macs, dims: Dims, counts: Counts, passes: Sequence[RelevancePass]) -> Cost:
    """Whole layers over visual tokens; a pass that reads a layer's attention counts it whole."""
    decoder = dims.decoder
    read = (macs(decoder, entry.seen, _whole_layers(entry)) for entry in passes)
    answering = (
        macs(decoder, part.tokens, part.layers) for one in counts.answering for part in one.stages
    )
    return Cost(relevance=sum(read), prefill=sum(answering))


def _whole_layers(entry: RelevancePass) -> int:
    return 0 if entry.flops is not None else entry.full_layers + 1


def _profiler(dims: Dims, counts: Counts, passes: Sequence[RelevancePass], exact: Cost) -> Cost:
    """`torch.profiler(with_flops=True)` as UHR-BAT ran it: matrices, `lm_head` on all positions."""
    decoder, tiles = dims.decoder, counts.tiles_encoded
    unseen = vision_flops(dims, tiles) - vision_flops(dims, tiles, attention=False)
    head = prefill_flops(decoder, 0, 0)  # one position
    entering = sum(one.stages[0].tokens + one.text for one in counts.answering)
    layers = (
        layer_flops(decoder, part.tokens + one.text, 0, part.layers)
        for one in counts.answering
        for part in one.stages
    )
    steps = sum(one.steps for one in counts.answering)
    return Cost(
        vision=exact.vision - unseen,
        projector=exact.projector,
        relevance=sum(
            layer_flops(decoder, entry.sequence, 0, _whole_layers(entry))
            if entry.flops is None
            else entry.flops
            for entry in passes
        ),
        prefill=sum(layers) + entering * head,
        decode=steps * (layer_flops(decoder, 1, 0, decoder.layers) + head),
    )


CONVENTIONS: Mapping[str, Callable[[Dims, Counts, Sequence[RelevancePass], Cost], Cost]] = {
    EXACT: _exact,
    "paper-lrs": _paper_lrs,
    "paper-fastv": _paper_fastv,
    "profiler": _profiler,
}
"""By name; the first is the default."""
UNITS: Mapping[str, str] = {"paper-lrs": "MACs", "paper-fastv": "MACs"}
"""What a convention counts where it is not FLOPs, though its source prints it as such."""
