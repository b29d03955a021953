"""What a strategy returns, and the one place where the budget is enforced.

A strategy has one verb: `select(scene, budget) -> Selection`. It sees tokens, relevance and
regions, never pixels, prompts or devices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from uhrqa.budget import Budget
from uhrqa.drops import Drop, describe, load
from uhrqa.errors import BudgetError, QuestionError, RasterError
from uhrqa.scene import NOTHING, Scene
from uhrqa.tokens import VisualTokens

MUCH = 0.5  # a share of the budget; who keeps less is told why
LONGER = "shorten the question, or use a model with a longer context"


@dataclass(frozen=True, slots=True)
class Selection:
    """The visual tokens that enter the answering pass, in this order.

    Attributes:
        tokens: N tokens, separators among them.
        relevance: `[N]` float32 where the strategy scored them; NaN where it did not.
        steps: one line for each decision, for people.
        limits: the strategy's options that, and not the budget, decided how many tokens are kept.
        drops: visual tokens that leave between two layers of the decoder, first layer first.
        notes: what the user should know: of an option, for example, that could not be followed.
    """

    tokens: VisualTokens
    relevance: Tensor
    steps: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    drops: tuple[Drop, ...] = ()
    notes: tuple[str, ...] = ()

    def load(self, layers: int) -> int:
        """Visual tokens a decoder of that many layers sees, on average over them, rounded up.

        This is what the budget caps. Without drops it is the number of tokens.
        """
        return load(len(self.tokens), self.drops, layers)


class Strategy(Protocol):
    """A frozen dataclass whose fields are its options, with defaults and documentation.

    A field that names a file it reads has the metadata `file`, so that the content counts too.
    One whose work depends on what it sees may also have `costliest()`: the variant of itself that
    plans are made with, and whose cost is their upper bound.
    """

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """Choose at most `budget.tokens` visual tokens of a scene.

        Raises:
            BudgetError: even the least this strategy can do is more; names the least feasible.
        """
        ...


def select(strategy: Strategy, scene: Scene, budget: Budget) -> Selection:
    """Run a strategy and hold it to the budget, whatever it does.

    What counts is the mean over the decoder's layers, so that tokens which are dropped between them
    count for the layers that see them. A selection above a cap is cut to it, and keeps its drops.

    Raises:
        BudgetError: the strategy cannot do with so little.
        RasterError: the image shows nothing.
    """
    spent = ("read", "encode", "relevance")
    seconds = scene.ledger.seconds
    before = sum(seconds[name] for name in spent)
    try:
        with scene.ledger.stage("total"):
            selection = strategy.select(scene, budget)
    finally:
        seconds["select"] += seconds.pop("total") - (sum(seconds[name] for name in spent) - before)
    if not len(selection.tokens) and scene.ledger.blank:
        raise RasterError(f"{scene.raster.path}: {NOTHING}")
    layers = scene.decoder_layers
    most = budget.tokens if selection.load(layers) > budget.tokens else len(selection.tokens)
    most = min(most, len(selection.tokens) if budget.entering is None else budget.entering)
    if most < len(selection.tokens):
        kept = torch.arange(most)
        note = f"cut from {len(selection.tokens)} to the budget of {most} tokens"
        selection = replace(
            selection,
            tokens=selection.tokens.take(kept),
            relevance=selection.relevance[kept],
            steps=(*selection.steps, note),
            limits=(),
        )
    if selection.drops:
        told = describe(len(selection.tokens), selection.drops, layers)
        selection = replace(selection, steps=(*selection.steps, told))
    return selection


def select_within_context(
    strategy: Strategy, scene: Scene, budget: Budget, max_new_tokens: int
) -> tuple[Selection, Budget, tuple[str, ...]]:
    """Run a strategy under the budget, or under what the model's context has room for if less.

    Args:
        strategy: what selects.
        scene: what from; its prompt takes room too.
        budget: the caps.
        max_new_tokens: longest answer, which takes room as well.

    Returns:
        The selection, the budget that held, and notes: that it was lowered, and the selection's.

    Raises:
        QuestionError: the question leaves no room at all.
        BudgetError: the answer leaves none, or the strategy cannot do with so little.
    """
    if max_new_tokens < 1:
        raise BudgetError(f"{max_new_tokens} new tokens: use 1 or more", least=1)
    context = scene.model.card.context
    beside = context - len(scene.prompt)  # what image and answer share
    room = beside - max_new_tokens
    if beside < 2:
        raise QuestionError(
            f"the question has {len(scene.prompt)} tokens, which leaves nothing of the model's "
            f"context of {context}; shorten it"
        )
    if room < 1:
        raise BudgetError(_too_long(scene, budget, max_new_tokens))
    held = _within(budget, room)
    try:
        selection = select(strategy, scene, held)
    except TooFewTokensError as error:
        if error.least <= room:
            raise
        raise BudgetError(_beyond_context(scene, error, max_new_tokens), error.least) from error
    marks = scene.prompt.text_length(selection.tokens) - len(scene.prompt)  # between levels
    if len(selection.tokens) > room - marks > 0:
        room -= marks
        held = _within(budget, room)
        selection = select(strategy, scene, held)
    lowered = (
        f"budget lowered from {budget.tokens} to {room} tokens: the model's context is {context}"
    )
    unused = _unused(strategy, selection, held, scene.decoder_layers)
    notes = (lowered if held.tokens < budget.tokens else None, unused, *selection.notes)
    return selection, held, tuple(note for note in notes if note)


def _within(budget: Budget, room: int) -> Budget:
    """The budget, or what there is room for if that is less."""
    return replace(budget, tokens=min(budget.tokens, room), entering=room)


def _unused(strategy: Strategy, selection: Selection, budget: Budget, layers: int) -> str | None:
    """Which of the strategy's options left much of the budget unused, if any did."""
    kept = selection.load(layers)
    if not selection.limits or kept >= MUCH * budget.tokens:
        return None
    caps = " and ".join(f"{name}={getattr(strategy, name)}" for name in selection.limits)
    allow, them = ("allow", "them") if len(selection.limits) > 1 else ("allows", "it")
    return (
        f"kept {kept} of {budget.tokens} tokens: {caps} {allow} no more; "
        f"raise {them} with --option KEY=VALUE"
    )


def _too_long(scene: Scene, budget: Budget, max_new_tokens: int) -> str:
    """Why an answer so long cannot be had, and how long it may be."""
    context, text = scene.model.card.context, len(scene.prompt)
    line = (
        f"--max-new-tokens {max_new_tokens}: too many for the model's context of {context}, "
        f"of which the question takes {text}"
    )
    longest, whole = context - text - 1, context - text - budget.tokens
    if whole < 1:
        return f"{line}; use {longest} or less, or shorten the question"
    return f"{line}; use {whole} or less beside a budget of {budget.tokens} ({longest} at most)"


def _beyond_context(scene: Scene, error: TooFewTokensError, max_new_tokens: int) -> str:
    """Why no budget would do, and what would."""
    context, text = scene.model.card.context, len(scene.prompt)
    line = (
        f"{error.what} needs {error.least} visual tokens, but beside the question ({text} tokens) "
        f"and --max-new-tokens {max_new_tokens} the model's context of {context} has room for "
        f"{context - text - max_new_tokens}"
    )
    if (longest := context - text - error.least) > 0:
        return f"{line}; use --max-new-tokens {longest} or less"
    return f"{line}; {error.instead}"


def behind_thumbnail(
    thumbnail: VisualTokens, tokens: VisualTokens, scores: Tensor | None = None
) -> Selection:
    """A selection of the thumbnail, which nobody scored, and tokens behind it.

    Args:
        thumbnail: tokens of level 0.
        tokens: N tokens, separators among them.
        scores: `[N]` float32; None where nobody scored them.
    """
    blank = torch.full((len(thumbnail),), torch.nan)
    scored = torch.full((len(tokens),), torch.nan) if scores is None else scores
    return Selection(VisualTokens.cat([thumbnail, tokens]), torch.cat([blank, scored]))


def unscored(tokens: VisualTokens, steps: tuple[str, ...] = ()) -> Selection:
    """A selection whose tokens nobody scored."""
    return Selection(tokens, torch.full((len(tokens),), torch.nan), steps)


class TooFewTokensError(BudgetError):
    """A budget of visual tokens is less than a strategy can do with.

    Args:
        budget: what there is.
        least: visual tokens that are needed.
        what: the thing that needs them, as the subject of a sentence.
        instead: what to do where the model's context has no room for so many.
    """

    least: int

    def __init__(self, budget: Budget, least: int, what: str, instead: str) -> None:
        super().__init__(
            f"budget of {budget.tokens} visual tokens: {what} needs {least}; "
            f"use -b {least} or more",
            least=least,
        )
        self.what = what
        self.instead = instead


def require(needed: int, budget: Budget, what: str, instead: str = LONGER) -> None:
    """Refuse a budget that is too small.

    Args:
        needed: visual tokens.
        budget: what there is.
        what: the thing that needs them, as the subject of a sentence.
        instead: what to do where the model's context has no room for so many.

    Raises:
        TooFewTokensError: `needed` is more than the budget.
    """
    if needed > budget.tokens:
        raise TooFewTokensError(budget, needed, what, instead)
