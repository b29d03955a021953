"""Keys and values of what stands before a question, shared by questions about one selection.

Nobody has to say that two selections are the same: what would be shared is compared, embedding by
embedding. Knows nothing of images or strategies.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from uhrqa.vlm.sequence import Sequence


def branch(cache: DynamicCache) -> DynamicCache:
    """A cache that grows on its own; what both hold is held once.

    Layers of a dynamic cache replace their tensors where they grow and write into none.
    """
    own = copy.copy(cache)
    own.layers = [copy.copy(layer) for layer in cache.layers]
    return own


class Prefix:
    """The beginning of the last sequence that ran, up to its last visual token."""

    def __init__(self) -> None:
        self._decoder: Any = None  # held: an address could be given out again
        self._parts: tuple[Tensor | None, ...] = ()
        self._cache: DynamicCache | None = None

    def run(
        self,
        decoder: Any,  # noqa: ANN401 - a transformers text decoder
        sequence: Sequence,
        fresh: DynamicCache,
    ) -> tuple[Tensor, DynamicCache, int]:
        """Run a sequence, its beginning taken from here where it is the same.

        Args:
            decoder: what runs.
            sequence: visual tokens and question.
            fresh: an empty cache, filled where nothing can be taken from here.

        Returns:
            `[1, k, D]` of the tokens that ran, the cache of the whole sequence, and how many of
            its first tokens did not have to run.
        """
        length = int(sequence.visual.max()) + 1 if len(sequence.visual) else 0
        parts = _beginning(sequence, length)
        if self._cache is not None and self._decoder is decoder and _same(parts, self._parts):
            cache = branch(self._cache)
            inputs: dict[str, Any] = {"inputs_embeds": sequence.embeds[:, length:]}
            if sequence.positions is not None:
                inputs["position_ids"] = sequence.positions[..., length:]
            out = decoder(**inputs, past_key_values=cache, use_cache=True)
            return out.last_hidden_state, cache, length
        self._cache = None  # its memory is wanted for the new one
        out = decoder(**sequence.inputs(), past_key_values=fresh, use_cache=True)
        self._keep(decoder, parts, fresh, sequence.embeds.shape[1] - length)
        return out.last_hidden_state, fresh, 0

    def _keep(
        self, decoder: object, parts: tuple[Tensor | None, ...], cache: DynamicCache, behind: int
    ) -> None:
        """Keep what a cache holds of a beginning: all but the last `behind` tokens.

        Layers with a sliding window forget beginnings: nothing is kept of them.
        """
        if any(cache.is_sliding):
            return
        own = branch(cache)
        own.crop(-behind)
        self._decoder, self._parts, self._cache = decoder, parts, own


def _beginning(sequence: Sequence, length: int) -> tuple[Tensor | None, ...]:
    """What decides the keys and values of the first tokens."""
    positions = None if sequence.positions is None else sequence.positions[..., :length]
    return sequence.embeds[:, :length], positions, sequence.deep


def _same(some: tuple[Tensor | None, ...], others: tuple[Tensor | None, ...]) -> bool:
    return all(
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(some, others, strict=True)
    )
