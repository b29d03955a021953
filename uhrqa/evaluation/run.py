"""Ask every question in every way that has no outcome yet, scene by scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from uhrqa.answer import ask
from uhrqa.config import MAX_NEW_TOKENS
from uhrqa.errors import BudgetError
from uhrqa.evaluation.controls import BLIND, CONTROLS, MAJORITY, NO_CAP, ORACLE, Blind, Oracle
from uhrqa.evaluation.row_log import RowLog
from uhrqa.evaluation.rows import Refusal, Row, Trial, answered_row, unasked_row
from uhrqa.evaluation.source import Drawn, Source, common_answers, drawn
from uhrqa.features import FeatureCache
from uhrqa.selection import Strategy
from uhrqa.synth.questions import Question
from uhrqa.synth.raster import SceneRaster
from uhrqa.vlm import VisionLanguageModel


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked, and in which ways.

    Attributes:
        source: of scenes and questions.
        strategies: names; the controls come on top.
        budgets: caps on visual tokens.
        limit: questions in all, at most.
        seed: of the strategies' random choices.
        max_new_tokens: longest answer.
    """

    source: Source
    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    limit: int | None = None
    seed: int = 0
    max_new_tokens: int = MAX_NEW_TOKENS

    @property
    def ways(self) -> tuple[tuple[str, int], ...]:
        """Strategy and budget of every trial of a question; a control's budget is 0."""
        return (*((name, 0) for name in CONTROLS), *product(self.strategies, self.budgets))


def asked(plan: Plan) -> Iterator[Drawn]:
    """The scenes with the questions that the limit leaves."""
    left = plan.limit
    for scene, questions in drawn(plan.source):
        kept = questions if left is None else questions[:left]
        if left is not None:
            left -= len(kept)
        yield scene, kept
        if left == 0:
            return


def evaluate(
    plan: Plan,
    load: Callable[[], VisionLanguageModel],
    log: RowLog,
    progress: Callable[[int, int], None] = lambda scene, questions: None,
) -> None:
    """Put every question in every way, and every outcome into the log.

    Args:
        plan: what is asked.
        load: gives the model; called once, and only when there is something to ask it.
        log: where outcomes go; it knows what is done.
        progress: called after each scene with its number, from 0, and that of its questions.

    Raises:
        OutputError: the log cannot be written.
        UhrqaError: whatever `load` and `ask` raise, but for budgets that cannot be met.
    """
    common = common_answers(plan.source)
    model = cache(load)
    for index, (scene, questions) in enumerate(asked(plan)):
        asker = _Asker(plan, (scene, questions), model, common)
        for number, (strategy, budget) in product(range(len(questions)), plan.ways):
            trial = Trial(index, number, strategy, budget)
            if trial.key not in log.done:
                log.append(asker.outcome(trial))
        progress(index, len(questions))


class _Asker:
    """Puts the questions of one scene; its encoded tiles are shared by all of them."""

    def __init__(
        self,
        plan: Plan,
        drawn: Drawn,
        model: Callable[[], VisionLanguageModel],
        common: dict[str, str],
    ) -> None:
        self.plan = plan
        self.scene, self.questions = drawn
        self.model = model
        self.common = common
        self.raster = SceneRaster(self.scene)
        self.features = FeatureCache()

    def outcome(self, trial: Trial) -> Row | Refusal:
        """The row of a trial, or why there is none."""
        question = self.questions[trial.question]
        if trial.strategy == MAJORITY:
            said = self.common.get(question.category, "")
            return unasked_row(trial, self.scene, question, said)
        model = self.model()
        try:
            answer = ask(
                self.raster,
                question.text,
                model=model,
                strategy=_strategy(trial.strategy, question),
                budget=trial.budget or NO_CAP,
                max_new_tokens=self.plan.max_new_tokens,
                seed=self.plan.seed,
                features=self.features,
            )
        except BudgetError as error:
            return Refusal(*trial.key, reason=str(error))
        return answered_row(trial, self.scene, question, answer, model.card.dims)


def _strategy(name: str, question: Question) -> Strategy | str:
    """What `ask` takes: a control as an instance, a strategy by its name."""
    if name == BLIND:
        return Blind()
    return Oracle(question.boxes) if name == ORACLE else name
