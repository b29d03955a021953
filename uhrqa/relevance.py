"""Rows of text-to-vision attention, read inside one decoder layer.

The attention map is never formed: a registered attention function wraps the decoder's own one and,
in the layer asked for, multiplies just the wanted query rows with the keys. The forward pass ends
there. Knows nothing of families, images or strategies.

Source: the rows of Luo et al. 2025, Eq. 1 (last text token) and Dang et al. 2026, Eq. 2 (mean over
text tokens).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PREFIX = "uhrqa_"
ROW_CHUNK = 64


@dataclass(frozen=True, slots=True)
class RowProbe:
    """What to read, and where.

    Attributes:
        layer: index of the decoder layer.
        rows: `[M]` positions of the query tokens.
        columns: `[N]` positions of the keys the softmax runs over, all before the first row.
    """

    layer: int
    rows: Tensor
    columns: Tensor


class _RowsFound(Exception):  # noqa: N818 - ends a forward pass, is no error
    """Carries `[N]` scores out of the decoder."""

    def __init__(self, scores: Tensor) -> None:
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
            probe: RowProbe | None = None,
            **kwargs: Any,  # noqa: ANN401 - passed on untouched
        ) -> Any:  # noqa: ANN401 - whatever the backend gives
            if probe is not None and module.layer_idx == probe.layer:
                scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
                raise _RowsFound(attention_rows(query, key, probe, float(scaling)))
            return base(module, query, key, *args, **kwargs)

        AttentionInterface.register(name, attend)
        AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[backend])
    return name


def attention_rows(query: Tensor, key: Tensor, probe: RowProbe, scaling: float) -> Tensor:
    """Mean over heads and rows of softmax(q k) restricted to some columns, in float32.

    Args:
        query: `[1, H, S, d]` after rotary embedding.
        key: `[1, K, S, d]`, K key heads, each shared by H / K query heads.
        probe: rows and columns.
        scaling: factor of the logits.

    Returns:
        `[N]`, sums to 1.
    """
    heads, width = query.shape[1], query.shape[-1]
    shared = key.shape[1]
    keys = key[0][:, probe.columns.to(key.device)].float()  # [K, N, d]
    total = torch.zeros(len(probe.columns), dtype=torch.float32, device=query.device)
    for rows in probe.rows.to(query.device).split(ROW_CHUNK):  # layers may lie on several devices
        picked = query[0][:, rows].float().reshape(shared, -1, width)  # [K, H / K * M, d]
        logits = picked @ keys.transpose(1, 2) * scaling
        total += logits.softmax(-1).sum((0, 1))
    return total / (heads * len(probe.rows))


@torch.inference_mode()
def read_rows(decoder: nn.Module, inputs: Mapping[str, Any], probe: RowProbe) -> Tensor:
    """Scores of the probe's columns for a sequence of embeddings.

    Args:
        decoder: a transformers text decoder whose attention is one of `probed_name`.
        inputs: `inputs_embeds` `[1, S, D]`, and what else the decoder is called with.
        probe: layer, rows and columns.

    Returns:
        `[N]` float32 on the CPU; sums to 1.

    Raises:
        ValueError: the decoder ended without reaching the layer.
    """
    try:
        decoder(**inputs, use_cache=False, probe=probe)
    except _RowsFound as found:
        return found.scores.cpu()
    raise ValueError(f"layer {probe.layer} was not reached: is the decoder's attention probed?")
