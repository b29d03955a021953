"""Questions about one image, one after the other: tiles are encoded once, answers are remembered.

Encoded tiles stay cached, those of the thumbnail and of level 1 above all, which every question
looks at; which finer tiles are looked at is decided anew for each question.

Source: Luo et al. 2025 (LRS-VQA), supplement B.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from uhrqa.account import Answer
from uhrqa.answer import ask
from uhrqa.features import FeatureCache
from uhrqa.raster import Raster
from uhrqa.vlm import VisionLanguageModel
from uhrqa.vlm.prefix import Prefix
from uhrqa.vlm.turns import Turn, Turns

TEXT_SHARE = 0.25  # of the model's context; with more text than that, old turns are left out


@dataclass
class Conversation:
    """One image, one model, and what has been said.

    Attributes:
        raster: the image.
        model: what answers.
        keep: earlier turns that stand in a prompt; the card's where None.
        how: other arguments of `ask`, the same for every question.
        turns: what was asked and answered, oldest first.
        last: the last answer.
        features: encoded tiles, shared by all questions.
        prefix: keys and values of the visual tokens, where a question keeps the same as the last.
    """

    raster: Raster
    model: VisionLanguageModel
    keep: int | None = None
    how: Mapping[str, Any] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    last: Answer | None = None
    features: FeatureCache = field(default_factory=FeatureCache)
    prefix: Prefix = field(default_factory=Prefix)

    def ask(self, question: str) -> Answer:
        """Answer a question; one that cannot be answered leaves everything as it was.

        Raises:
            UhrqaError: see `uhrqa.answer.ask`.
        """
        answer = ask(
            self.raster,
            question,
            model=self.model,
            features=self.features,
            prefix=self.prefix,
            history=self.history(question),
            **self.how,
        )
        self.turns.append(Turn(question, answer.text))
        self.last = answer
        return answer

    def history(self, question: str) -> Turns:
        """Earlier turns that stand before a question, oldest first.

        As many as are to be kept; fewer where their text would take more than a quarter of the
        model's context.

        Raises:
            QuestionError: the question is empty or holds the image token.
        """
        card = self.model.card
        kept = self.turns[max(0, len(self.turns) - self.most) :]
        while kept and len(self.model.build_prompt(question, kept)) > TEXT_SHARE * card.context:
            kept = kept[1:]
        return kept

    @property
    def most(self) -> int:
        """Earlier turns that may stand in a prompt."""
        return self.model.card.history if self.keep is None else self.keep
