"""Rows of text-to-vision attention, read inside one decoder layer.

The attention map is never formed: a registered attention function wraps the decoder's own one and,
in the layer asked for, multiplies just the wanted query rows with the keys. The forward pass ends
there. Knows nothing of families, images or strategies.

Source: the rows of Luo et al. 2025, Eq. 1 (last text token) and Dang et al. 2026, Eq. 2 (mean over
text tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PREFIX = "uhrqa_"
ROW_CHUNK = 64


Listener = Callable[[nn.Module, Tensor, Tensor, float], None]
"""Is told the attention module, queries `[B, H, S, d]`, keys `[B, K, P + S, d]` and the scaling."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within, every probed attention tells its queries and keys to a listener and goes on.

    A context and no argument: not every vision tower passes arguments down to its attention.
    """
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)


@dataclass(frozen=True, slots=True)
class RowProbe:
    """What to read of one sequence, and where.

    Attributes:
        layer: index of the decoder layer.
        rows: `[M]` places of the query tokens among those that are passed.
        columns: `[N]` places of the keys the softmax runs over, those that are cached counted from
            the first; all before the first row, and none of them padding.
        bias: `[N]` added to the logits of the columns.
    """

    layer: int
    rows: Tensor
    columns: Tensor
    bias: Tensor | None = None


class Tap(Protocol):
    """Something that looks at every layer's queries and keys while a decoder runs."""

    def listen(self, layer: int, query: Tensor, key: Tensor, how: Mapping[str, Any]) -> None:
        """Look at one layer.

        Args:
            layer: its index.
            query: `[B, H, S, d]` after rotary embedding.
            key: `[B, K, S, d]`, alike.
            how: the attention function's other arguments: `scaling`, `sliding_window`.
        """
        ...


class _RowsFound(Exception):  # noqa: N818 - ends a forward pass, is no error
    """Carries the scores of each sequence out of the decoder."""

    def __init__(self, scores: list[Tensor]) -> None:
        super().__init__()
        self.scores = scores


def probed_name(backend: str) -> str:
    """Register (once) a probing twin of an attention backend and give its name."""
    name = PREFIX + backend
    if name not in ALL_ATTENTION_FUNCTIONS:
        base = ALL_ATTENTION_FUNCTIONS[backend]

        def attend(
            module: nn.Module,
            query: Tensor,
            key: Tensor,
            *args: Any,  # noqa: ANN401 - passed on untouched
            probes: Sequence[RowProbe] = (),
            tap: Tap | None = None,
            **kwargs: Any,  # noqa: ANN401 - passed on untouched
        ) -> Any:  # noqa: ANN401 - whatever the backend gives
            scaling = float(kwargs.get("scaling") or query.shape[-1] ** -0.5)
            listener = _LISTENER.get()
            if listener is not None:
                listener(module, query, key, scaling)
            if probes and module.layer_idx == probes[0].layer:
                window = kwargs.get("sliding_window")
                raise _RowsFound(
                    [
                        attention_rows(query[i], key[i], probe, scaling, window)
                        for i, probe in enumerate(probes)
                    ]
                )
            if tap is not None:
                tap.listen(cast("int", module.layer_idx), query, key, kwargs)
            return base(module, query, key, *args, **kwargs)

        AttentionInterface.register(name, attend)
        AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[backend])
    return name


def attention_rows(
    query: Tensor, key: Tensor, probe: RowProbe, scaling: float, window: int | None = None
) -> Tensor:
    """Mean over heads and rows of softmax(q k) restricted to some columns, in float32.

    Args:
        query: `[H, S, d]` after rotary embedding.
        key: `[K, P + S, d]`, K key heads, each shared by H / K query heads; P of them are cached.
        probe: rows and columns.
        scaling: factor of the logits.
        window: how far back a token sees, itself included; as far as there is when None.

    Returns:
        `[N]`, sums to 1; even where the window hides all columns from all rows.
    """
    heads, length, width = query.shape
    shared, past = key.shape[0], key.shape[1] - length
    columns = probe.columns.to(key.device)
    keys = key[:, columns].float()  # [K, N, d]
    total = torch.zeros(len(probe.columns), dtype=torch.float32, device=query.device)
    for rows in probe.rows.to(query.device).split(ROW_CHUNK):  # layers may lie on several devices
        picked = query[:, rows].float().reshape(shared, -1, width)  # [K, H / K * M, d]
        logits = picked @ keys.transpose(1, 2) * scaling
        if probe.bias is not None:
            logits = logits + probe.bias.to(logits)
        if window is not None:
            back = (past + rows).repeat(heads // shared)[:, None] - columns  # [H / K * M, N]
            logits = logits.masked_fill(back >= window, -torch.inf)
        total += logits.softmax(-1).nan_to_num(0).sum((0, 1))
    if window is None:
        return total / (heads * len(probe.rows))
    whole = total.sum()
    even = torch.full_like(total, 1 / len(total))
    return torch.where(whole > 0, total / whole, even)


@torch.inference_mode()
def read_rows(
    decoder: nn.Module,
    inputs: Mapping[str, Any],
    probes: Sequence[RowProbe],
    cache: DynamicCache | None = None,
) -> list[Tensor]:
    """Scores of the probes' columns for a batch of sequences.

    Args:
        decoder: a transformers text decoder whose attention is one of `probed_name`.
        inputs: `inputs_embeds` `[B, S, D]`, and what else the decoder is called with: with padding
            an `attention_mask`.
        probes: one for each sequence, all of the same layer.
        cache: of tokens before these, from `fill_cache`; as it was when this is done.

    Returns:
        `[N]` of each sequence, float32 on the CPU; sums to 1.

    Raises:
        ValueError: the decoder ended without reaching the layer.
    """
    held = cache.get_seq_length() if cache else 0
    try:
        decoder(**inputs, past_key_values=cache, use_cache=cache is not None, probes=probes)
    except _RowsFound as found:
        return [scores.cpu() for scores in found.scores]
    finally:
        if cache is not None:
            cache.crop(held - cache.get_seq_length())
    raise ValueError(f"layer {probes[0].layer} was not reached: is the decoder's attention probed?")


def fill_cache(decoder: Any, inputs: Mapping[str, Any], layer: int) -> DynamicCache:  # noqa: ANN401
    """Keys and values of a prefix that several questions share, up to the layer that is read.

    Args:
        decoder: as for `read_rows`.
        inputs: of the prefix alone.
        layer: the last one whose keys are wanted. Sliding windows that are shorter than the prefix
            are not supported: their caches forget it.
    """
    cache = DynamicCache(config=decoder.config)
    first = torch.zeros(1, dtype=torch.int64)
    probes = [RowProbe(layer, first, first)] * len(inputs["inputs_embeds"])
    with torch.inference_mode(), suppress(_RowsFound):
        decoder(**inputs, past_key_values=cache, use_cache=True, probes=probes)
    return cache
