"""A prefill in which visual tokens leave the decoder between two layers.

The decoder's own layers run one after the other, each over what is there. Those that stay keep
their rotary positions, and every layer's cache holds what that layer saw, so that decoding needs
nothing further. Which tokens stay is read from the layer before, through `relevance.listening`.

Source: Chen et al. 2024 (FastV), Sec. 4.1; Xing et al. 2025 (PyramidDrop), Sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.masking_utils import create_causal_mask

from uhrqa.drops import Drop
from uhrqa.errors import ConfigError
from uhrqa.relevance import RowProbe, attention_rows, listening
from uhrqa.vlm.sequence import Sequence


def prefilled(
    decoder: Any,  # noqa: ANN401 - a transformers text decoder
    sequence: Sequence,
    drops: Many[Drop],
    cache: DynamicCache,
    max_new_tokens: int,
) -> Tensor:
    """`[1, S', D]` what the decoder makes of a sequence, of which S' tokens reach its end.

    Args:
        decoder: its attention is one of `probed_name`.
        sequence: visual tokens and question.
        drops: first layer first; with none the decoder runs as it always does.
        cache: empty; filled layer by layer.
        max_new_tokens: what will follow.

    Raises:
        ConfigError: drops in a decoder whose layers see less than all that stands before.
    """
    if not drops:
        out = decoder(**sequence.inputs(), past_key_values=cache, use_cache=True)
        whole: Tensor = out.last_hidden_state
        return whole
    length = sequence.embeds.shape[1]
    _check_window(decoder, length + max_new_tokens)
    count_up = torch.arange(length, device=sequence.embeds.device)[None]
    positions = count_up if sequence.positions is None else sequence.positions
    deep = [] if sequence.deep is None else list(sequence.deep)
    hidden, visual = sequence.embeds, sequence.visual.sort().values  # [1, S, D], [N]
    text = _others(visual, length)
    kept = torch.arange(len(visual), device=visual.device)  # which of the N are still there
    wanted = {drop.layer: drop.keep for drop in drops}
    ranking = _Ranking()
    how = _how(decoder, hidden, positions)
    for index, layer in enumerate(decoder.layers):
        if index in wanted:
            best = ranking.best(visual, wanted[index])
            stay = torch.cat([text, visual[best]]).sort().values
            text, visual = torch.searchsorted(stay, text), torch.searchsorted(stay, visual[best])
            kept = kept[best]
            hidden = hidden[:, stay.to(hidden.device)]
            positions = positions[..., stay.to(positions.device)]
            how = _how(decoder, hidden, positions)
        ranking.layer = layer.self_attn if index + 1 in wanted else None
        with listening(ranking):
            hidden = layer(hidden, past_key_values=cache, use_cache=True, **how)
        if index < len(deep):
            added = deep[index][kept.to(deep[index].device)].to(hidden)
            hidden = hidden.index_add(1, visual.to(hidden.device), added[None])
    normed: Tensor = decoder.norm(hidden)
    return normed


def _others(visual: Tensor, length: int) -> Tensor:
    """`[S - N]` the places of a sequence that hold no visual token."""
    seen = torch.zeros(length, dtype=torch.int64, device=visual.device)
    seen[visual] = 1
    return seen.argsort(stable=True)[: length - len(visual)]


class _Ranking:
    """Hears how much the last token attends to each token, in the layer that is set."""

    def __init__(self) -> None:
        self.layer: nn.Module | None = None
        self.scores = torch.empty(0)

    def __call__(self, module: nn.Module, query: Tensor, key: Tensor, scaling: float) -> None:
        if module is self.layer:
            length = key.shape[-2]
            every = torch.arange(length, device=key.device)
            self.scores = attention_rows(query[0], key[0], RowProbe(0, every[-1:], every), scaling)

    def best(self, visual: Tensor, keep: int) -> Tensor:
        """`[keep]` which of the visual tokens at these places score most, ascending."""
        if not len(self.scores):
            raise ValueError("nothing was heard of the layer: is the decoder's attention probed?")
        scores = self.scores.to(visual.device)[visual]
        return scores.argsort(descending=True, stable=True)[:keep].sort().values


def _how(decoder: Any, hidden: Tensor, positions: Tensor) -> dict[str, Any]:  # noqa: ANN401
    """What each layer is called with besides the hidden states."""
    mask = create_causal_mask(
        config=decoder.config, inputs_embeds=hidden, attention_mask=None, past_key_values=None
    )
    return {
        "attention_mask": mask,
        "position_embeddings": decoder.rotary_emb(hidden, positions),
        "position_ids": None,  # with gaps, flash-attn would take them for several sequences
    }


def _check_window(decoder: Any, length: int) -> None:  # noqa: ANN401
    config = decoder.config
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"]
    if window is not None and "sliding_attention" in kinds and length > window:
        raise ConfigError(
            f"visual tokens cannot be dropped inside this decoder: its layers look back {window} "
            f"tokens, and question and answer take {length}; use a smaller budget, or a strategy "
            "that prunes before the decoder, such as -s divprune"
        )
