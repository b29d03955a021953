"""Attention logits of one row, head by head, in some layers of a decoder; gradients flow.

What `uhrqa.relevance` averages for a selection, a distillation needs as it is: of teacher and
student, before the softmax, in float32. Knows nothing of families, images or losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

HIDDEN = -1e9  # logit of what a row does not see: finite, so that differences are numbers


class _AllHeard(Exception):  # noqa: N818 - ends a forward pass, is no error
    """Every layer that was to be listened to has run."""


@dataclass(slots=True)
class RowTap:
    """Collects the logits while a decoder runs.

    Attributes:
        layers: indices of the decoder layers that are listened to.
        row: place of the query token; it sees all others.
        ends: the pass ends in the last of these layers.
        found: `[H, S]` float32 logits by layer; what a sliding window hides is at `HIDDEN`.
    """

    layers: tuple[int, ...]
    row: int
    ends: bool = True
    found: dict[int, Tensor] = field(default_factory=dict)

    def listen(self, layer: int, query: Tensor, key: Tensor, how: Mapping[str, Any]) -> None:
        """See `uhrqa.relevance.Tap`.

        A checkpointed layer runs twice, and its first logits are those the loss is made of; the
        second run has to compute the same ones all the same.
        """
        if layer not in self.layers:
            return
        scaling = float(how.get("scaling") or query.shape[-1] ** -0.5)
        logits = row_logits(query[0], key[0], self.row, scaling, how.get("sliding_window"))
        self.found.setdefault(layer, logits)
        if self.ends and layer == max(self.layers):
            raise _AllHeard


def row_logits(
    query: Tensor, key: Tensor, row: int, scaling: float, window: int | None = None
) -> Tensor:
    """Logits of one row over all keys, in float32 also under autocast.

    Args:
        query: `[H, S, d]` after rotary embedding.
        key: `[K, S, d]`, K key heads, each shared by H / K query heads.
        row: place of the query token.
        scaling: factor of the logits.
        window: how far back a token sees, itself included; as far as there is when None.

    Returns:
        `[H, S]`.
    """
    with torch.autocast(query.device.type, enabled=False):
        picked = query[:, row].float().reshape(key.shape[0], -1, query.shape[-1])  # [K, H / K, d]
        logits: Tensor = (picked @ key.float().transpose(1, 2) * scaling).flatten(0, 1)
    if window is not None:
        hidden = row - torch.arange(key.shape[1], device=key.device) >= window
        logits = logits.masked_fill(hidden, HIDDEN)
    return logits


def read_logits(
    decoder: nn.Module,
    inputs: Mapping[str, Any],
    layers: tuple[int, ...],
    row: int,
    *,
    ends: bool = True,
) -> dict[int, Tensor]:
    """Attention logits of one row in some layers, with gradients where they are wanted.

    Args:
        decoder: a transformers text decoder whose attention is one of `relevance.probed_name`.
        inputs: `inputs_embeds` `[1, S, D]`, and what else the decoder is called with.
        layers: indices.
        row: place of the query token, which sees all others.
        ends: no layer behind the last of these is run, nor the rest of that one. Not where layers
            are checkpointed, which an exception would confuse.

    Returns:
        `[H, S]` float32 by layer.

    Raises:
        ValueError: the decoder ended without reaching a layer.
    """
    tap = RowTap(layers, row, ends)
    with suppress(_AllHeard):
        decoder(**inputs, use_cache=False, tap=tap)
    missing = [layer for layer in layers if layer not in tap.found]
    if missing:
        raise ValueError(f"layers {missing} were not reached: is the decoder's attention probed?")
    return tap.found
