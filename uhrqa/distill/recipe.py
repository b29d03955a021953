"""What decides a distillation: layers, loss, steps, data. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from uhrqa.errors import ConfigError

DEPTH = 4  # layers of an RFM, as in the paper
PAIRS = "0,-1"  # the first and the last, as in the paper


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a run. Those of `to_dict` decide its numbers; two runs may share no checkpoint.

    Attributes:
        layers: decoder layers m_1 ... m_R that the module's R layers start as copies of.
        pairs: module layers r_k that learn the attention of the decoder layers they started from.
        steps: optimiser steps.
        batch: questions a step.
        lr: peak learning rate of AdamW.
        seed: of the order of questions, the images held out, and deeper levels.
        lambda_kl: factor of both divergences.
        lambda_hr: of the one over the high-resolution tokens, beside the other.
        lambda_mse: of the squared error of their logits.
        levels: pyramid levels that are trained on; 1 is the first behind the thumbnail.
        tiles: of a level from 2 on, at most.
        held_out: images that are measured on and not trained on; a tenth when None.
        mixed: the module computes in bfloat16 where that is safe (autocast).
        recompute: layers are run again for their gradients instead of being kept (checkpointing).
        save_every: seconds that a kill may cost.
    """

    layers: tuple[int, ...]
    pairs: tuple[int, ...]
    steps: int = 1000
    batch: int = 8
    lr: float = 2e-5
    seed: int = 0
    lambda_kl: float = 1.0
    lambda_hr: float = 2.0
    lambda_mse: float = 1.0
    levels: int = 1
    tiles: int = 8
    held_out: int | None = None
    mixed: bool = False
    recompute: bool = False
    save_every: float = 300.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what decides no number."""
        fields = {**asdict(self), "layers": list(self.layers), "pairs": list(self.pairs)}
        del fields["recompute"], fields["save_every"]
        return fields

    @property
    def taught_by(self) -> tuple[int, ...]:
        """Decoder layers that are learnt from, in the order of `pairs`."""
        return tuple(self.layers[pair] for pair in self.pairs)


def choose_layers(
    written: str | None, depth: int | None, held: int, teacher: int
) -> tuple[int, ...]:
    """The decoder layers a module starts from.

    Args:
        written: as given, such as `1,5,11,14`; negative numbers count from the last.
        depth: R, as given.
        held: layers of the decoder.
        teacher: the layer whose attention is learnt last, unless R needs more layers before it.

    Returns:
        Ascending; spread evenly from the first to the teacher where none are written.

    Raises:
        ConfigError: a layer that the decoder does not have, one given twice, not R of them, or
            all that come before the teacher: copies of these attend as it does.
    """
    if depth is not None and not 0 < depth < held:
        raise ConfigError(
            f"--rfm-layers {depth}: the decoder has {held} layers; give 1 to {held - 1}"
        )
    if written is None:
        last = max(teacher, depth or 1)
        count = depth or min(DEPTH, last)
        return tuple(last - (count - 1 - k) * last // max(1, count - 1) for k in range(count))
    layers = _places("--layers", written, held, "the decoder")
    if list(layers) != sorted(set(layers)):
        raise ConfigError(f"--layers {written}: write each layer once, in ascending order")
    if depth is not None and depth != len(layers):
        raise ConfigError(
            f"--layers {written} are {len(layers)}, --rfm-layers says {depth}; leave one out"
        )
    if layers == tuple(range(len(layers))):
        raise ConfigError(
            f"--layers {written} are all layers up to the teacher, so there is nothing to learn; "
            "leave one out"
        )
    return layers


def choose_pairs(written: str, depth: int) -> tuple[int, ...]:
    """The module's layers that are taught.

    Args:
        written: as given: `all`, or numbers from 0; negative ones count from the last.
        depth: R.

    Raises:
        ConfigError: a layer that the module does not have, or the last one is not among them.
    """
    if written.strip() == "all":
        return tuple(range(depth))
    pairs = tuple(sorted(set(_places("--pairs", written, depth, "the module"))))
    if pairs[-1] != depth - 1:
        raise ConfigError(
            f"--pairs {written}: the last layer, {depth - 1}, is the one that is read; teach it too"
        )
    return pairs


def _places(option: str, written: str, held: int, owner: str) -> tuple[int, ...]:
    """Indices of layers, from 0."""
    words = [word.strip() for word in written.split(",")]
    if not all(re.fullmatch(r"-?\d{1,6}", word) for word in words):
        raise ConfigError(f"{option} '{written}': write whole numbers with commas, such as 0,-1")
    for word in words:
        if not -held <= int(word) < held:
            raise ConfigError(f"{option} {written}: {owner} has layers 0 to {held - 1}, no {word}")
    return tuple(int(word) % held for word in words)
