"""Relevance passes: the model reads question and visual tokens, and answers nothing.

Chooses whose attention is read and where, makes the pass fit the model's context, and notes it in
the ledger. Knows nothing of rasters, pyramids or strategies; the reading itself is in
`uhrqa.relevance`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uhrqa.errors import BudgetError, ConfigError
from uhrqa.ledger import Ledger, RelevancePass
from uhrqa.tokens import VisualTokens, end_rows, pool, pooled_length
from uhrqa.vlm import Prompt, SceneModel, Sequence
from uhrqa.vlm.card import NO_CLIP


@dataclass(frozen=True, slots=True)
class Reading:
    """What a relevance pass reads.

    Attributes:
        sequence: context, tokens with their row ends, and question.
        columns: `[N]` places of the tokens that get a score.
        tokens: those N tokens; pooled ones where the pass would not fit the model's context.
    """

    sequence: Sequence
    columns: Tensor
    tokens: VisualTokens


@dataclass(frozen=True, slots=True)
class _Probe:
    """Whose attention is read: `rfm` or `llm`, its layer's index, rows of `last` or all `text`."""

    source: str
    depth: int
    rows: str = "last"


class RelevanceReader:
    """Scores visual tokens for one question.

    Args:
        model: whose attention is read.
        prompt: the question.
        ledger: where passes and their time are noted.
    """

    def __init__(self, model: SceneModel, prompt: Prompt, ledger: Ledger) -> None:
        self._model = model
        self._prompt = prompt
        self._ledger = ledger
        self._known: dict[tuple[object, ...], Tensor] = {}

    def source(self, wanted: str) -> str:
        """What gives scores: `rfm`, `llm` or `clip`; `auto` takes the RFM where there is one.

        Raises:
            ConfigError: `rfm` or `clip` where the model has none, or another word.
        """
        if wanted == "auto":
            return "rfm" if self._model.rfm_layers else "llm"
        if wanted == "rfm" and not self._model.rfm_layers:
            raise ConfigError(
                f"relevance=rfm: {self._model.card.name} has no Region Focus Module; "
                "use --option relevance=llm"
            )
        if wanted == "clip" and self._model.paired is None:
            raise ConfigError(NO_CLIP.format(name=self._model.card.name))
        if wanted not in ("rfm", "llm", "clip"):
            raise ConfigError(f"relevance={wanted}: give auto, rfm, llm or clip")
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
        probe = _Probe(source, self._probe_depth(source, layer), rows)
        key = (probe, _where(context))
        return self.once(key, tokens, lambda: self._read_fitted(tokens, context, probe))

    def _read_fitted(
        self, tokens: VisualTokens, context: VisualTokens | None, probe: _Probe
    ) -> Tensor:
        """One pass over all tokens, or over groups of them where they would not fit."""
        pooled, group = self._fitted(tokens, context)
        ended = end_rows(pooled, self._model.newline)
        scores = self._pass(ended, context, ~ended.is_separator, probe)
        return scores if group is None else (scores / pooled.weight)[group]

    def once(
        self, key: tuple[object, ...], tokens: VisualTokens, read: Callable[[], Tensor]
    ) -> Tensor:
        """What `read` gives for some tokens, which is asked for the first time alone."""
        full = (*key, _where(tokens))
        if full not in self._known:
            self._known[full] = read()
        return self._known[full].clone()

    def lay_out(self, tokens: VisualTokens, context: VisualTokens | None) -> Reading:
        """What a pass would read, and nothing is attended yet: for those who train an RFM.

        Args:
            tokens: N tokens in raster order.
            context: tokens before them that get no score.

        Raises:
            BudgetError: question and `context` leave no room in the model's context.
        """
        pooled, _ = self._fitted(tokens, context)
        ended = end_rows(pooled, self._model.newline)
        sequence, columns = self._place(ended, context, ~ended.is_separator)
        return Reading(sequence, columns, pooled)

    def _fitted(
        self, tokens: VisualTokens, context: VisualTokens | None
    ) -> tuple[VisualTokens, Tensor | None]:
        """The tokens, pooled where they would not fit; then also the group of each."""
        factor = self._pool_factor(tokens, context)
        return (tokens, None) if factor == 1 else pool(tokens, factor)

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

    def read_grid(self, tokens: VisualTokens, context: VisualTokens, blank: Tensor) -> Tensor:
        """Relevance as the released LRS-VQA code reads it: over separators and empty cells, too.

        Args:
            tokens: N tokens of a whole grid with its row ends.
            context: the thumbnail.
            blank: `[N]` bool, cells that hold no tile: nothing attends to them, but the softmax
                runs over them.

        Returns:
            `[N]` float32, from the Region Focus Module's last layer, last text token, mean over
            heads.

        Raises:
            ConfigError: the model has no Region Focus Module.
        """
        scored = torch.ones(len(tokens), dtype=torch.bool)
        source = self.source("rfm")
        probe = _Probe(source, self._probe_depth(source, None))
        return self._pass(tokens, context, scored, probe, blank)

    def read_whole(self, tokens: VisualTokens, layer: int) -> Tensor:
        """Relevance as the released UHR-BAT reads it: a softmax over the whole sequence, text too.

        Args:
            tokens: N tokens in raster order; no row ends are added.
            layer: decoder layer, negative from the last one.

        Returns:
            `[N]` float32, last text token, mean over heads; their sum is below 1.

        Raises:
            ConfigError: the decoder has no such layer.
        """
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

    def _pass(
        self,
        tokens: VisualTokens,
        context: VisualTokens | None,
        scored: Tensor,
        probe: _Probe,
        blank: Tensor | None = None,
    ) -> Tensor:
        """`[K]` scores of the tokens that are `scored`, from one pass as they stand."""
        with self._ledger.stage("relevance"):
            sequence, columns = self._place(tokens, context, scored)
            asked = 1 if probe.rows == "last" else self._prompt.asked or len(sequence.text_after)
            asking = sequence.text_after[-asked:]
            scores = self._model.attend(
                sequence,
                layer=None if probe.source == "rfm" else probe.depth,
                rows=asking,
                columns=columns,
                blank=blank,
            )
        self._ledger.passes.append(
            RelevancePass(
                probe.source,
                full_layers=probe.depth,
                sequence=sequence.embeds.shape[1],
                seen=len(sequence.visual),
                rows=len(asking),
                columns=len(scores),
            )
        )
        return scores

    def _place(
        self, tokens: VisualTokens, context: VisualTokens | None, scored: Tensor
    ) -> tuple[Sequence, Tensor]:
        """The pass' sequence, and the places of the tokens that are `scored`."""
        parts = [tokens] if context is None else [context, tokens]
        sequence = self._model.assemble(self._prompt, VisualTokens.cat(parts))
        own = sequence.visual[len(sequence.visual) - len(tokens) :]
        return sequence, own[scored.to(own.device)]

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


def _where(tokens: VisualTokens | None) -> tuple[bytes, bytes, bytes] | None:
    """Where tokens lie: which tells them apart, as a scene encodes every place once."""
    if tokens is None:
        return None
    parts = tokens.level, tokens.box, tokens.weight
    level, box, weight = (part.numpy().tobytes() for part in parts)
    return level, box, weight
