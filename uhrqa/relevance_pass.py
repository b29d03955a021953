"""Relevance passes: the model reads question and visual tokens, and answers nothing.

Chooses whose attention is read and where, makes the pass fit the model's context, and notes it in
the ledger. Knows nothing of rasters, pyramids or strategies; the reading itself is in
`uhrqa.relevance`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uhrqa.errors import BudgetError, ConfigError
from uhrqa.ledger import Ledger, RelevancePass
from uhrqa.tokens import VisualTokens, end_rows, pool, pooled_length
from uhrqa.vlm import Prompt, VisionLanguageModel


class RelevanceReader:
    """Scores visual tokens for one question.

    Args:
        model: whose attention is read.
        prompt: the question.
        ledger: where passes and their time are noted.
    """

    def __init__(self, model: VisionLanguageModel, prompt: Prompt, ledger: Ledger) -> None:
        self._model = model
        self._prompt = prompt
        self._ledger = ledger

    def source(self, wanted: str) -> str:
        """Which attention is read: `rfm` or `llm`; `auto` takes the RFM where there is one.

        Raises:
            ConfigError: `rfm` where the model has none, or another word.
        """
        if wanted == "auto":
            return "rfm" if self._model.rfm_layers else "llm"
        if wanted == "rfm" and not self._model.rfm_layers:
            raise ConfigError(
                f"relevance=rfm: {self._model.card.name} has no Region Focus Module; "
                "use --option relevance=llm"
            )
        if wanted not in ("rfm", "llm"):
            raise ConfigError(f"relevance={wanted}: give auto, rfm or llm")
        return wanted

    def read(
        self,
        tokens: VisualTokens,
        context: VisualTokens | None,
        *,
        source: str,
        layer: int | None,
        rows: str,
    ) -> Tensor:
        """The pass behind `Scene.relevance`: arguments, result and errors are explained there."""
        source = self.source(source)
        if rows not in ("last", "text"):
            raise ConfigError(f"rows={rows}: give last or text")
        factor = self._pool_factor(tokens, context)
        if factor == 1:
            return self._attend(tokens, context, source, layer, rows)
        pooled, group = pool(tokens, factor)
        scores = self._attend(pooled, context, source, layer, rows)
        return (scores / pooled.weight)[group]

    def _pool_factor(self, tokens: VisualTokens, context: VisualTokens | None) -> int:
        """Side of the groups that make a relevance pass fit the context; 1 where it does.

        Raises:
            BudgetError: not even one token would fit.
        """
        spent = len(self._prompt) + (len(context) + len(self._prompt.between) if context else 0)
        room = self._model.card.context - spent
        if room < 2:
            raise BudgetError(
                f"question and thumbnail take {spent} tokens of the model's context of "
                f"{self._model.card.context}; no room is left to read relevance"
            )
        factor = max(1, int((len(tokens) / room) ** 0.5))
        while pooled_length(tokens, factor, self._model.newline is not None) > room:
            factor += 1
        return factor

    def _attend(
        self,
        tokens: VisualTokens,
        context: VisualTokens | None,
        source: str,
        layer: int | None,
        rows: str,
    ) -> Tensor:
        """`[N]` scores of `tokens` from one pass, which is noted in the ledger."""
        ended = end_rows(tokens, self._model.newline)
        depth = self._probe_depth(source, layer)
        return self._pass(ended, context, ~ended.is_separator, source, depth, rows)

    def read_grid(self, tokens: VisualTokens, context: VisualTokens, blank: Tensor) -> Tensor:
        """The pass behind `Scene.grid_relevance`: it is explained there."""
        scored = torch.ones(len(tokens), dtype=torch.bool)
        source = self.source("rfm")
        return self._pass(
            tokens, context, scored, source, self._probe_depth(source, None), "last", blank
        )

    def read_whole(self, tokens: VisualTokens, layer: int) -> Tensor:
        """The pass behind `Scene.whole_relevance`: it is explained there."""
        depth = self._probe_depth("llm", layer)
        with self._ledger.stage("relevance"):
            sequence = self._model.assemble(self._prompt, tokens)
            length = sequence.embeds.shape[1]
            scores = self._model.attend(
                sequence,
                layer=depth,
                rows=sequence.text_after[-1:],
                columns=torch.arange(length, device=sequence.visual.device),
            )
        self._ledger.passes.append(RelevancePass("llm", depth, length, len(tokens), 1, length))
        return scores[sequence.visual.to(scores.device)]

    def _pass(  # noqa: PLR0913 - what both ways of reading differ in
        self,
        tokens: VisualTokens,
        context: VisualTokens | None,
        scored: Tensor,
        source: str,
        depth: int,
        rows: str,
        blank: Tensor | None = None,
    ) -> Tensor:
        """`[K]` scores of the tokens that are `scored`, from one pass as they stand."""
        parts = [tokens] if context is None else [context, tokens]
        with self._ledger.stage("relevance"):
            sequence = self._model.assemble(self._prompt, VisualTokens.cat(parts))
            own = sequence.visual[len(sequence.visual) - len(tokens) :]
            asking = sequence.text_after[-1:] if rows == "last" else sequence.text_after
            scores = self._model.attend(
                sequence,
                layer=None if source == "rfm" else depth,
                rows=asking,
                columns=own[scored.to(own.device)],
                blank=blank,
            )
        self._ledger.passes.append(
            RelevancePass(
                source,
                full_layers=depth,
                sequence=sequence.embeds.shape[1],
                seen=len(sequence.visual),
                rows=len(asking),
                columns=len(scores),
            )
        )
        return scores

    def _probe_depth(self, source: str, layer: int | None) -> int:
        """Index of the layer that is read; all before it run in full.

        Raises:
            ConfigError: the decoder has no such layer.
        """
        if source == "rfm":
            return self._model.rfm_layers - 1
        layers = self._model.card.dims.decoder.layers
        depth = self._model.card.relevance_layer if layer is None else layer
        depth = layers // 2 if depth is None else depth
        if not -layers <= depth < layers:
            raise ConfigError(f"layer={depth}: the decoder has layers 0 to {layers - 1}")
        return depth % layers
