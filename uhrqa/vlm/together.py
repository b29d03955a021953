"""Several answers written at once: one pass of the decoder gives each its next token.

A pass of one token reads all weights, whatever else it does, so that several answers cost little
more than one. Prompts run one by one before: they fill the device by themselves, padding would cost
what it pads, and what they share is still shared. Only what they left behind is padded.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

if TYPE_CHECKING:
    from uhrqa.vlm.decoding import Decoding, Prefilled

Written = tuple[list[int], int]


def write_together(
    decoding: Decoding, starts: Many[Prefilled], longest: Many[int]
) -> list[Written]:
    """What `Decoding.write` gives for each prompt: ids without the end, and passes it took.

    Layers with a sliding window hold ends of different beginnings: then one after the other.

    Args:
        decoding: the decoder.
        starts: B prompts that were run.
        longest: `[B]` tokens that are written at most.
    """
    if len(starts) == 1 or any(any(start.cache.is_sliding) for start in starts):
        return [decoding.write(*each) for each in zip(starts, longest, strict=True)]
    lengths = [start.sequence.embeds.shape[1] for start in starts]
    cache = stacked([start.cache for start in starts], lengths)
    seen, places = _seen(lengths, starts[0].last.device), _last_places(starts, lengths)
    tokens = torch.stack([start.last for start in starts]).argmax(-1)
    answers = [_Answer(most) for most in longest]
    while _take(answers, tokens.tolist(), decoding.stops):
        seen, places = pad(seen, (0, 1), value=1), places + 1
        out = decoding.model.get_decoder()(
            input_ids=tokens[:, None],
            attention_mask=seen,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
        )
        tokens = decoding.logits(out.last_hidden_state.transpose(0, 1)).argmax(-1)
    return [(answer.ids, answer.steps) for answer in answers]


def _take(answers: Many[_Answer], tokens: Many[int], stops: frozenset[int]) -> bool:
    """Give each answer its next token; whether any wants another."""
    for answer, token in zip(answers, tokens, strict=True):
        answer.take(token, stops)
    return not all(answer.is_whole for answer in answers)


@dataclass
class _Answer:
    longest: int
    ids: list[int] = field(default_factory=list)
    steps: int = 0
    is_whole: bool = False

    def take(self, token: int, stops: frozenset[int]) -> None:
        """Take the next token, unless it is whole."""
        if self.is_whole:
            return
        self.steps = len(self.ids)
        if token not in stops:
            self.ids.append(token)
        self.is_whole = token in stops or len(self.ids) == self.longest


def stacked(caches: Many[DynamicCache], lengths: Many[int]) -> DynamicCache:
    """Caches of one sequence each as one of all, padded on the left to the longest.

    Theirs are emptied layer by layer, so that no more than a layer is held twice.
    """
    together = DynamicCache()
    room = max(lengths)
    for number in range(len(caches[0].layers)):
        layers: list[Any] = [cache.layers.pop(0) for cache in caches]
        keys, values = (
            torch.cat(
                [
                    pad(part, (0, 0, room - length, 0))
                    for part, length in zip(parts, lengths, strict=True)
                ]
            )
            for parts in zip(*((layer.keys, layer.values) for layer in layers), strict=True)
        )
        together.update(keys, values, number)
    return together


def _seen(lengths: Many[int], device: torch.device) -> Tensor:
    """`[B, S]` 1 where there is a token, 0 where there is padding before it."""
    room = max(lengths)
    places = torch.arange(room, device=device)
    return torch.stack([(places >= room - length).long() for length in lengths])


def _last_places(starts: Many[Prefilled], lengths: Many[int]) -> Tensor:
    """Rotary positions of the last tokens: `[B, 1]`, or `[3, B, 1]` where they have three parts."""
    found = [start.sequence.positions for start in starts]
    if all(part is not None for part in found):
        return torch.cat([part[..., -1:] for part in found if part is not None], dim=1)
    return torch.tensor(lengths, device=starts[0].last.device)[:, None] - 1
