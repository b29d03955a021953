"""Ask every question in every way that has no outcome yet, scene by scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import Self

from uhrqa.answer import ask
from uhrqa.config import MAX_NEW_TOKENS
from uhrqa.errors import BudgetError
from uhrqa.evaluation.cases import Case, Questions, Subject
from uhrqa.evaluation.controls import BLIND, CONTROLS, MAJORITY, NO_CAP, ORACLE, Blind, Oracle
from uhrqa.evaluation.row_log import RowLog
from uhrqa.evaluation.rows import Refusal, Row, Trial, answered_row, unasked_row
from uhrqa.features import FeatureCache
from uhrqa.raster import Raster
from uhrqa.selection import Strategy
from uhrqa.vlm import VisionLanguageModel


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked, and in which ways.

    Attributes:
        source: of images and questions.
        strategies: by name; the controls come on top.
        budgets: caps on visual tokens.
        limit: questions in all, at most.
        seed: of the strategies' random choices.
        max_new_tokens: longest answer.
        tiles: cap on the tiles of a question, the oracle's too; none by default.
    """

    source: Questions
    strategies: Mapping[str, Strategy]
    budgets: tuple[int, ...]
    limit: int | None = None
    seed: int = 0
    max_new_tokens: int = MAX_NEW_TOKENS
    tiles: int | None = None

    @property
    def ways(self) -> tuple[tuple[str, int], ...]:
        """Strategy and budget of every trial of a question; a control's budget is 0."""
        return (*((name, 0) for name in CONTROLS), *product(self.strategies, self.budgets))


def asked(plan: Plan) -> Iterator[Subject]:
    """The subjects with the questions that the limit leaves."""
    left = plan.limit
    for subject in plan.source.subjects():
        kept = subject if left is None else replace(subject, cases=subject.cases[:left])
        if left is not None:
            left -= len(kept.cases)
        yield kept
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
    common = plan.source.common()
    model = cache(load)
    for index, subject in enumerate(asked(plan)):
        numbers = range(len(subject.cases))
        trials = [Trial(index, *parts) for parts in _ways_of(numbers, plan)]
        waiting = [trial for trial in trials if trial.key not in log.done]
        with _Asker(plan, subject, model, common) as asker:
            for trial in waiting:
                log.append(asker.outcome(trial))
        progress(index, len(subject.cases))


def _ways_of(numbers: range, plan: Plan) -> Iterator[tuple[int, str, int]]:
    for number, (strategy, budget) in product(numbers, plan.ways):
        yield number, strategy, budget


class _Asker:
    """Puts the questions of one subject; its encoded tiles are shared by all of them."""

    def __init__(
        self,
        plan: Plan,
        subject: Subject,
        model: Callable[[], VisionLanguageModel],
        common: dict[str, str],
    ) -> None:
        self.plan = plan
        self.subject = subject
        self.model = model
        self.common = common
        self.features = FeatureCache()
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @cached_property
    def raster(self) -> Raster:
        """Opened when it is first asked about."""
        return self._opened.enter_context(self.subject.open())

    def outcome(self, trial: Trial) -> Row | Refusal:
        """The row of a trial, or why there is none."""
        case, side = self.subject.cases[trial.question], self.subject.side
        if trial.strategy == MAJORITY:
            return unasked_row(trial, side, case, self.common.get(case.category, ""))
        model = self.model()
        try:
            answer = ask(
                self.raster,
                case.text,
                model=model,
                strategy=self._strategy(trial.strategy, case),
                budget=trial.budget or NO_CAP,
                max_tiles=self.plan.tiles,
                choices=case.choices or None,
                max_new_tokens=self.plan.max_new_tokens,
                seed=self.plan.seed,
                features=self.features,
            )
        except BudgetError as error:
            return Refusal(*trial.key, reason=str(error))
        return answered_row(trial, side, case, answer, model.card.dims)

    def _strategy(self, name: str, case: Case) -> Strategy:
        if name == BLIND:
            return Blind()
        return Oracle(case.boxes) if name == ORACLE else self.plan.strategies[name]
