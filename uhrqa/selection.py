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
from uhrqa.errors import BudgetError, QuestionError
from uhrqa.scene import Scene
from uhrqa.tokens import VisualTokens


@dataclass(frozen=True, slots=True)
class Selection:
    """The visual tokens that enter the answering pass, in this order.

    Attributes:
        tokens: N tokens, separators among them.
        relevance: `[N]` float32 where the strategy scored them; NaN where it did not.
        steps: one line for each decision, for people.
    """

    tokens: VisualTokens
    relevance: Tensor
    steps: tuple[str, ...] = ()


class Strategy(Protocol):
    """A frozen dataclass whose fields are its options, with defaults and documentation."""

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """Choose at most `budget.tokens` visual tokens of a scene.

        Raises:
            BudgetError: even the least this strategy can do is more; names the least feasible.
        """
        ...


def select(strategy: Strategy, scene: Scene, budget: Budget) -> Selection:
    """Run a strategy and hold it to the budget, whatever it does.

    Raises:
        BudgetError: the strategy cannot do with so little.
    """
    with scene.ledger.stage("total"):
        selection = strategy.select(scene, budget)
    spent = ("read", "encode", "relevance")
    seconds = scene.ledger.seconds
    seconds["select"] = seconds.pop("total") - sum(seconds[name] for name in spent)
    if len(selection.tokens) <= budget.tokens:
        return selection
    kept = torch.arange(budget.tokens)
    note = f"cut from {len(selection.tokens)} to the budget of {budget.tokens} tokens"
    return replace(
        selection,
        tokens=selection.tokens.take(kept),
        relevance=selection.relevance[kept],
        steps=(*selection.steps, note),
    )


def select_within_context(
    strategy: Strategy, scene: Scene, budget: Budget, max_new_tokens: int
) -> tuple[Selection, Budget, tuple[str, ...]]:
    """Run a strategy under the budget, or under what the model's context has room for if less.

    Returns:
        The selection, the budget that held, and a note where it was lowered.

    Raises:
        QuestionError: the question leaves no room at all.
        BudgetError: the strategy cannot do with so little.
    """
    if max_new_tokens < 1:
        raise BudgetError(f"{max_new_tokens} new tokens: use 1 or more", least=1)
    context = scene.model.card.context
    room = context - len(scene.prompt) - max_new_tokens
    if room < 1:
        raise QuestionError(
            f"the question has {len(scene.prompt)} tokens; with {max_new_tokens} for the answer "
            f"nothing is left of the model's context of {context}; shorten it"
        )
    if budget.tokens <= room:
        return select(strategy, scene, budget), budget, ()
    lowered = replace(budget, tokens=room)
    note = f"budget lowered from {budget.tokens} to {room} tokens: the model's context is {context}"
    try:
        return select(strategy, scene, lowered), lowered, (note,)
    except BudgetError as error:
        if error.least is None or error.least <= room or "--max-tiles" in str(error):
            raise
        raise BudgetError(
            f"this strategy needs {error.least} visual tokens here, but the model's context of "
            f"{context} has room for {room}; use another strategy",
            least=error.least,
        ) from error


def unscored(tokens: VisualTokens, steps: tuple[str, ...] = ()) -> Selection:
    """A selection whose tokens nobody scored."""
    return Selection(tokens, torch.full((len(tokens),), torch.nan), steps)


def require(needed: int, budget: Budget, what: str) -> None:
    """Refuse a budget that is too small.

    Raises:
        BudgetError: `needed` is more than the budget.
    """
    if needed > budget.tokens:
        raise BudgetError(
            f"budget of {budget.tokens} visual tokens: {what} needs {needed}; "
            f"use -b {needed} or more",
            least=needed,
        )
