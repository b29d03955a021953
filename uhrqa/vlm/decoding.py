"""What follows a prefill: greedy decoding, or the probabilities of given answers.

Logits are computed at the last position of a prefill alone. Knows nothing of images or families.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedTokenizerBase

from uhrqa.drops import Drop
from uhrqa.vlm.choosing import Choices, Ids
from uhrqa.vlm.dropping import prefilled
from uhrqa.vlm.prefix import Prefix, branch
from uhrqa.vlm.sequence import Generation, ScoredChoice, Sequence, Unanswered
from uhrqa.vlm.together import write_together


@dataclass
class Decoding:
    """A decoder that answers behind one sequence.

    Attributes:
        model: a transformers vision-language model.
        tokenizer: its own.
    """

    model: Any  # its parts are typed loosely
    tokenizer: PreTrainedTokenizerBase

    def generate(
        self, sequence: Sequence, longest: int, drops: Iterable[Drop], prefix: Prefix | None
    ) -> Generation:
        """See `VisionLanguageModel.generate`."""
        start = self.prefill(sequence, drops, longest, prefix)
        begin = time.perf_counter()
        ids, steps = self.write(start, longest)
        return self._written(start, ids, steps, time.perf_counter() - begin)

    def generate_together(self, waiting: Many[Unanswered]) -> list[Generation]:
        """See `VisionLanguageModel.generate_together`."""
        starts = [self.prefill(each.sequence, (), each.longest, each.prefix) for each in waiting]
        begin = time.perf_counter()
        found = write_together(self, starts, [each.longest for each in waiting])
        seconds = time.perf_counter() - begin
        passes = sum(steps for _, steps in found)
        return [
            self._written(start, ids, steps, seconds * steps / max(1, passes))
            for start, (ids, steps) in zip(starts, found, strict=True)
        ]

    def _written(self, start: Prefilled, ids: list[int], steps: int, seconds: float) -> Generation:
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()
        return Generation(text, tuple(ids), steps, start.seconds, seconds, held=start.held)

    def choose(
        self, sequence: Sequence, choices: Choices, drops: Iterable[Drop], prefix: Prefix | None
    ) -> Generation:
        """See `VisionLanguageModel.choose`."""
        start = self.prefill(sequence, drops, choices.longest, prefix)
        begin = time.perf_counter()
        scores, passes = self.weigh(start, choices)
        return chosen(start, choices, scores, passes, time.perf_counter() - begin)

    @cached_property
    def stops(self) -> frozenset[int]:
        """Ids that end an answer, by any of the three that know some."""
        stops: set[int] = set()
        for config in (self.model.generation_config, self.model.config.text_config, self.tokenizer):
            found = getattr(config, "eos_token_id", None)
            stops.update([found] if isinstance(found, int) else found or [])
        return frozenset(stops)

    def prefill(
        self, sequence: Sequence, drops: Iterable[Drop], longest: int, prefix: Prefix | None
    ) -> Prefilled:
        """Run the prompt.

        Args:
            sequence: visual tokens and question.
            drops: visual tokens that leave between two layers.
            longest: tokens that may follow.
            prefix: what an earlier question left, and where this one leaves its own; None: nothing
                is shared. With `drops` nothing can be.
        """
        begin = time.perf_counter()
        decoder, leaving = self.model.get_decoder(), tuple(drops)
        cache = DynamicCache(config=self.model.config.get_text_config())
        held = 0
        if prefix is None or leaving:
            hidden = prefilled(decoder, sequence, leaving, cache, longest)
        else:
            hidden, cache, held = prefix.run(decoder, sequence, cache)
        last = self.logits(hidden[:, -1:])[0]
        if last.is_cuda:  # else the time would show in decoding
            torch.cuda.synchronize(last.device)
        return Prefilled(sequence, cache, last, held, time.perf_counter() - begin)

    def logits(self, hidden: Tensor) -> Tensor:
        """`[k, V]` of `[1, k, D]`."""
        found: Tensor = self.model.get_output_embeddings()(hidden)[0]
        return found

    def write(self, start: Prefilled, max_new_tokens: int) -> tuple[list[int], int]:
        """The greedy answer: its ids without the end, and passes of one token it took."""
        ids: list[int] = []
        step, token = 0, int(start.last.argmax(-1))
        for step in range(max_new_tokens):
            if step > 0:
                token = int(self.follow(start, start.cache, (token,), step - 1)[-1].argmax(-1))
            if token in self.stops:
                break
            ids.append(token)
        return ids, step

    def follow(self, start: Prefilled, cache: DynamicCache, ids: Ids, done: int) -> Tensor:
        """`[k, V]` logits behind each of k tokens that follow the prompt and `done` others."""
        if len(ids) > 1 and len({*map(cache.get_seq_length, range(len(cache.layers)))}) > 1:
            # Tokens were dropped: one mask cannot fit all layers, and a single token needs none.
            each = [self.follow(start, cache, (token,), done + n) for n, token in enumerate(ids)]
            return torch.cat(each)
        device = start.last.device
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids], device=device)}
        at = start.sequence.positions
        if at is not None:
            steps = torch.arange(len(ids), device=at.device) + done + 1
            inputs["position_ids"] = at[..., -1:] + steps
        out = self.model.get_decoder()(**inputs, past_key_values=cache, use_cache=True)
        return self.logits(out.last_hidden_state)

    def weigh(self, start: Prefilled, choices: Choices) -> tuple[list[float], list[int]]:
        """Log-probability of each answer, and how many tokens each further pass had."""
        first = start.last.float().log_softmax(-1)
        passes: list[int] = []
        found = []
        for ways in choices.spellings:
            each = [self._weigh_one(start, first, ids, choices.ended, passes) for ids in ways]
            found.append(float(torch.stack(each).logsumexp(0)))
        return found, passes

    def _weigh_one(
        self, start: Prefilled, first: Tensor, ids: Ids, ended: bool, passes: list[int]
    ) -> Tensor:
        """Log-probability of one spelling; a pass it takes is noted."""
        total = first[ids[0]]
        fed = ids if ended else ids[:-1]
        if not fed:
            return total
        passes.append(len(fed))
        rows = self.follow(start, branch(start.cache), fed, 0).float().log_softmax(-1)
        for row, token in zip(rows, ids[1:], strict=False):
            total = total + row[token]
        if ended:
            total = total + rows[-1, sorted(self.stops)].logsumexp(0)
        return total


@dataclass(frozen=True, slots=True)
class Prefilled:
    """A prompt that was run.

    Attributes:
        sequence: visual tokens and question.
        cache: keys and values of all of it.
        last: `[V]` logits behind its last token.
        held: how many of its first tokens an earlier question had run.
        seconds: that took.
    """

    sequence: Sequence
    cache: DynamicCache
    last: Tensor
    held: int
    seconds: float


def chosen(
    start: Prefilled, choices: Choices, scores: list[float], passes: list[int], seconds: float
) -> Generation:
    """The most probable answer, with the probabilities of all."""
    logs = torch.tensor(scores, dtype=torch.float64)
    shares = logs.softmax(0).tolist()
    best = int(logs.argmax())
    return Generation(
        choices.texts[best],
        choices.spellings[best][0],
        sum(passes),
        start.seconds,
        seconds,
        choices=tuple(
            ScoredChoice(text, share, score)
            for text, share, score in zip(choices.texts, shares, scores, strict=True)
        ),
        passes=tuple(passes),
        held=start.held,
    )
