"""One question answered under one budget, or under growing ones until the answer stays the same.

Knows nothing of rasters or files: it is handed a scene.
"""

from __future__ import annotations

from dataclasses import dataclass

from uhrqa.budget import Budget
from uhrqa.scene import Scene
from uhrqa.selection import Selection, Strategy, TooFewTokensError, select_within_context
from uhrqa.vlm import Generation


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one of the budgets that `auto` tried.

    Attributes:
        budget: visual tokens that it was allowed.
        kept: visual tokens that entered its answering pass.
        text: what the model wrote.
    """

    budget: int
    kept: int
    text: str


@dataclass(frozen=True, slots=True)
class Try:
    """A question answered once.

    Attributes:
        selection: what the model saw.
        held: the budget that held.
        notes: what the user should know.
        written: the answer.
    """

    selection: Selection
    held: Budget
    notes: tuple[str, ...]
    written: Generation

    def summary(self) -> Attempt:
        """What is told of it."""
        return Attempt(self.held.tokens, len(self.selection.tokens), self.written.text)

    def agrees(self, other: Try) -> bool:
        """Whether both say the same, letter case and a full stop aside."""
        mine, its = (entry.written.text.strip(" .").casefold() for entry in (self, other))
        return mine == its


def answer_until_stable(
    strategy: Strategy, scene: Scene, budget: Budget, max_new_tokens: int
) -> list[Try]:
    """Answers under the rungs of a budget in turn, until two in a row agree.

    Tiles are encoded once for all of them, and the same tokens are scored once. A rung with fewer
    tokens than the strategy can do with is left out, unless it is the last.

    Args:
        strategy: what selects.
        scene: image and question; its ledger adds up what all of them cost.
        budget: one rung, or several where it is `auto`.
        max_new_tokens: longest answer.

    Returns:
        At least one; the last one counts.

    Raises:
        QuestionError: the question leaves no room in the model's context.
        BudgetError: not even the last rung is enough.
    """
    tries: list[Try] = []
    rungs = budget.rungs()
    for rung in rungs:
        try:
            selection, held, notes = select_within_context(strategy, scene, rung, max_new_tokens)
        except TooFewTokensError:
            if rung is rungs[-1]:
                raise
            continue
        sequence = scene.model.assemble(scene.prompt, selection.tokens)
        tries.append(
            Try(
                selection,
                held,
                notes,
                scene.model.generate(sequence, max_new_tokens, selection.drops),
            )
        )
        if len(tries) > 1 and tries[-1].agrees(tries[-2]):
            break
    return tries
