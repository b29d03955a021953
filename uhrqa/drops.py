"""Visual tokens that leave the decoder on the way through its layers, as data.

Knows nothing of images, models or strategies: token counts and layers in, counts out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Drop:
    """How many visual tokens stay, and from which layer on.

    They are those that the last token of the prompt attends to most in the layer before, mean over
    heads; ties go to the token that stands first.

    Attributes:
        layer: the first decoder layer that sees fewer; 1 or more, counted from 0.
        keep: visual tokens that stay, separators among them; 1 or more.
    """

    layer: int
    keep: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Decoder layers that all see the same number of visual tokens."""

    layers: int
    tokens: int


def stages(tokens: int, drops: Sequence[Drop], layers: int) -> tuple[Stage, ...]:
    """What each layer of a decoder sees, first to last.

    Args:
        tokens: visual tokens that enter.
        drops: in the order of their layers.
        layers: of the decoder.

    Raises:
        ValueError: drops out of order, or where there is no layer.
    """
    bounds = [0, *(drop.layer for drop in drops), layers]
    if any(after <= before for before, after in pairwise(bounds)):
        raise ValueError(f"drops at layers {bounds[1:-1]}: give 1 to {layers - 1}, ascending")
    if any(drop.keep < 1 for drop in drops):
        raise ValueError(f"drops to {[drop.keep for drop in drops]} visual tokens: keep 1 or more")
    found = []
    for (begin, end), keep in zip(
        pairwise(bounds), [tokens, *(drop.keep for drop in drops)], strict=True
    ):
        tokens = min(tokens, keep)
        found.append(Stage(end - begin, tokens))
    return tuple(found)


def load(tokens: int, drops: Sequence[Drop], layers: int) -> int:
    """Visual tokens a layer sees on average over all layers, rounded up: what a budget caps.

    Without drops it is all that enter. Source: Chen et al. 2024 (FastV), Sec. 4.1, count cost so.
    """
    spent = sum(stage.layers * stage.tokens for stage in stages(tokens, drops, layers))
    return -(-spent // layers)


def describe(tokens: int, drops: Sequence[Drop], layers: int) -> str:
    """How many visual tokens which layers see, in one line."""
    parts, first = [], 0
    for stage in stages(tokens, drops, layers):
        parts.append(f"{stage.tokens} in layers {first} to {first + stage.layers - 1}")
        first += stage.layers
    mean = load(tokens, drops, layers)
    return f"visual tokens: {', '.join(parts)}; {mean} on average over layers"
