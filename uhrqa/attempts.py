"""One question answered under one budget, or under growing ones until the answer stays the same.

Knows nothing of rasters or files: it is handed a scene.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from uhrqa.budget import Budget
from uhrqa.drops import Drop
from uhrqa.scene import Scene
from uhrqa.selection import Selection, Strategy, TooFewTokensError, select_within_context
from uhrqa.vlm import Generation, VisionLanguageModel
from uhrqa.vlm.choosing import Choices
from uhrqa.vlm.prefix import Prefix
from uhrqa.vlm.sequence import Unanswered


@dataclass(frozen=True, slots=True)
class Writing:
    """How an answer is written.

    Attributes:
        max_new_tokens: the longest; with `choices` these decide.
        choices: texts of which the most probable is the answer; none: it is written freely.
        prefix: shared with other questions about the image.
    """

    max_new_tokens: int
    choices: tuple[str, ...] = ()
    prefix: Prefix | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one of the budgets that `auto` tried.

    Attributes:
        budget: visual tokens that it was allowed.
        kept: visual tokens in its answering pass, as `Counts` counts them.
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

    def summary(self, layers: int) -> Attempt:
        """What is told of it, by a decoder of so many layers."""
        return Attempt(self.held.tokens, self.selection.load(layers), self.written.text)

    def agrees(self, other: Try) -> bool:
        """Whether both say the same, letter case and a full stop aside."""
        mine, its = (entry.written.text.strip(" .").casefold() for entry in (self, other))
        return mine == its


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A question whose tokens are chosen, and whose answer is not written yet.

    Attributes:
        waiting: the sequence, and how long the answer may be.
        choices: what the answer is one of; None: it is written freely.
        drops: visual tokens that leave inside the decoder.
    """

    waiting: Unanswered
    choices: Choices | None
    drops: tuple[Drop, ...]

    def write(self, model: VisionLanguageModel) -> Generation:
        """The answer, by itself."""
        sequence, longest, prefix = self.waiting.sequence, self.waiting.longest, self.waiting.prefix
        if self.choices:
            return model.choose(sequence, self.choices, self.drops, prefix)
        return model.generate(sequence, longest, self.drops, prefix)


Answering = Generator[Unwritten, Generation, list[Try]]


def answer_until_stable(
    strategy: Strategy,
    scene: Scene,
    model: VisionLanguageModel,
    budget: Budget,
    writing: Writing,
) -> Answering:
    """Answers under the rungs of a budget in turn, until two in a row agree.

    Tiles are encoded once for all of them, and the same tokens are scored once. A rung with fewer
    tokens than the strategy can do with is left out, unless it is the last.

    Args:
        strategy: what selects.
        scene: image and question, as the model sees them; its ledger adds up what all of them cost.
        model: that answers.
        budget: one rung, or several where it is `auto`.
        writing: how answers are written. Its prefix is used where no relevance was read: then the
            question decided nothing, and the next one may see the same tokens.

    Yields:
        What is to be written, by itself or with that of other questions; it is sent what was.

    Returns:
        At least one; the last one counts.

    Raises:
        ConfigError: choices that the model's tokenizer cannot tell apart.
        QuestionError: the question leaves no room in the model's context.
        BudgetError: not even the last rung is enough.
    """
    tries: list[Try] = []
    rungs = budget.rungs()
    choices = model.spell(writing.choices) if writing.choices else None
    longest = choices.longest if choices else writing.max_new_tokens
    for rung in rungs:
        try:
            selection, held, notes = select_within_context(strategy, scene, rung, longest)
        except TooFewTokensError:
            if rung is rungs[-1]:
                raise
            continue
        prefix = None if scene.ledger.passes else writing.prefix
        waiting = Unanswered(model.assemble(scene.prompt, selection.tokens), longest, prefix)
        written = yield Unwritten(waiting, choices, selection.drops)
        tries.append(Try(selection, held, notes, written))
        if len(tries) > 1 and tries[-1].agrees(tries[-2]):
            break
    return tries
