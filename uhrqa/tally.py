"""Counts and cost of a question, added up from its ledger and its selection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from uhrqa.budget import Budget
from uhrqa.cost import (
    Cost,
    prefill_flops,
    projector_flops,
    relevance_flops,
    staged_decode_flops,
    staged_prefill_flops,
    vision_flops,
    watch_flops,
)
from uhrqa.drops import Stage, stages
from uhrqa.geometry import Size
from uhrqa.scene import Scene
from uhrqa.selection import Selection
from uhrqa.vlm import Generation


@dataclass(frozen=True, slots=True)
class LevelCount:
    """What happened at one level or view.

    Attributes:
        level: its index; 0 is the thumbnail.
        is_view: it is a view of fixed longer side, not a level of the image pyramid.
        size: of the resized image there.
        tiles: how many there are.
        encoded: how many of them this question encoded; each was read once for it.
        blank: how many it read and did not encode, as they show no image.
        reused: how many came from an earlier question.
        seen: visual tokens that were looked at.
        kept: tokens that entered the answering pass, separators left out.
    """

    level: int
    is_view: bool
    size: Size
    tiles: int
    encoded: int
    blank: int
    reused: int
    seen: int
    kept: int


@dataclass(frozen=True, slots=True)
class Answering:
    """One answering pass and the steps behind it.

    Attributes:
        stages: visual tokens the decoder's layers see, first layers first.
        text: text tokens of the prompt.
        steps: tokens that passed after the prefill.
    """

    stages: tuple[Stage, ...]
    text: int
    steps: int


@dataclass(frozen=True, slots=True)
class Counts:
    """All numbers of tiles and tokens behind an answer.

    Attributes:
        levels: by level, coarsest first.
        budget: the cap B.
        kept: visual tokens in the answering pass, separators included; at most `budget`. Where
            some are dropped between the decoder's layers, the mean over layers, rounded up.
        separators: newline tokens among those that enter.
        text: text tokens of the prompt.
        answer_tokens: tokens written, the end token left out.
        steps: tokens that passed after the prefill.
        relevance_passes: readings of attention.
        relevance_tokens: visual tokens in all of them together, counted apart from the budget.
        stages: visual tokens the decoder's layers see, first layers first.
        prompt_reused: tokens of the prompt, visual ones among them, that an earlier question had
            run.
        attempts_before: answering passes under smaller budgets, where the budget is `auto`; all
            else that is about an answering pass is about the last one.
    """

    levels: tuple[LevelCount, ...]
    budget: int
    kept: int
    separators: int
    text: int
    answer_tokens: int
    steps: int
    relevance_passes: int
    relevance_tokens: int
    stages: tuple[Stage, ...]
    prompt_reused: int = 0
    attempts_before: tuple[Answering, ...] = ()

    @property
    def answering(self) -> tuple[Answering, ...]:
        """All answering passes, in order."""
        return (*self.attempts_before, Answering(self.stages, self.text, self.steps))

    @property
    def entering(self) -> int:
        """Visual tokens the first layer sees, separators included; no later one sees more."""
        return self.stages[0].tokens

    @property
    def tiles_encoded(self) -> int:
        """Tiles encoded for this question."""
        return sum(level.encoded for level in self.levels)

    @property
    def tiles_read(self) -> int:
        """Tiles read from the raster: those that are encoded, and those that show no image."""
        return self.tiles_encoded + sum(level.blank for level in self.levels)

    @property
    def tiles_reused(self) -> int:
        """Tiles whose features an earlier question had paid for."""
        return sum(level.reused for level in self.levels)


def count_up(
    scene: Scene,
    selection: Selection,
    budget: Budget,
    written: Generation | int,
    before: tuple[Answering, ...] = (),
) -> Counts:
    """Counts from the scene's ledger and the selection.

    Args:
        scene: what was asked.
        selection: what the model saw.
        budget: the cap that held.
        written: the answer, or the decoding steps it takes.
        before: answering passes under smaller budgets.
    """
    steps, wrote, reused = (
        (written, written, 0)
        if isinstance(written, int)
        else (written.steps, len(written.ids), written.held)
    )
    ledger, tokens = scene.ledger, selection.tokens
    kept = Counter(tokens.level[~tokens.is_separator].tolist())
    levels = tuple(
        LevelCount(
            level.index,
            level.is_view,
            level.size,
            level.tile_count,
            ledger.encoded[level],
            ledger.blank[level],
            ledger.reused[level],
            ledger.seen[level],
            kept[level.index],
        )
        for level in sorted(ledger.seen, key=lambda level: level.index)
    )
    return Counts(
        levels=levels,
        budget=budget.tokens,
        kept=selection.load(scene.decoder_layers),
        separators=int(tokens.is_separator.sum()),
        text=scene.prompt.text_length(tokens),
        answer_tokens=wrote,
        steps=steps,
        relevance_passes=len(ledger.passes),
        relevance_tokens=sum(entry.seen for entry in ledger.passes),
        stages=_stages(scene, selection),
        prompt_reused=reused,
        attempts_before=before,
    )


def answering_of(scene: Scene, selection: Selection, steps: int) -> Answering:
    """What an answering pass is counted by."""
    return Answering(_stages(scene, selection), scene.prompt.text_length(selection.tokens), steps)


def cost_of(scene: Scene, selection: Selection, written: Generation | int) -> Cost:
    """FLOPs of what the ledger holds, and of the answer: it, or the decoding steps it takes."""
    dims, ledger = scene.model.card.dims, scene.ledger
    tiles = ledger.encoded.total()
    return answering_cost(scene, selection, written) + Cost(
        vision=vision_flops(dims, tiles) + watch_flops(dims, ledger.watched),
        projector=projector_flops(dims, tiles * dims.vision.features),
        relevance=sum(
            relevance_flops(
                dims.decoder, entry.sequence, entry.full_layers, entry.rows, entry.columns
            )
            if entry.flops is None
            else entry.flops
            for entry in ledger.passes
        ),
    )


def answering_cost(scene: Scene, selection: Selection, written: Generation | int) -> Cost:
    """FLOPs of an answering pass and of the steps behind it alone.

    What an earlier question had run of the prompt is not counted again; the rest attends to it.
    """
    decoder = scene.model.card.dims.decoder
    parts = _stages(scene, selection)
    text = scene.prompt.text_length(selection.tokens)
    runs, held = _runs(written)
    return Cost(
        prefill=staged_prefill_flops(decoder, text, parts) - prefill_flops(decoder, held, logits=0),
        decode=sum(staged_decode_flops(decoder, text, parts, steps) for steps in runs),
    )


def _runs(written: Generation | int) -> tuple[tuple[int, ...], int]:
    """Steps in runs that each began behind the prompt, and tokens of it that did not run."""
    if isinstance(written, int):
        return (written,), 0
    return (written.steps,) if written.passes is None else written.passes, written.held


def _stages(scene: Scene, selection: Selection) -> tuple[Stage, ...]:
    return stages(len(selection.tokens), selection.drops, scene.decoder_layers)
