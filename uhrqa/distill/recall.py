"""Whether a module finds the objects that are asked about, beside its teacher and chance.

Source: Luo et al. 2025, supplement, Table 7 (localisation recall).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from uhrqa.distill.examples import Example
from uhrqa.distill.student import Losses, Student
from uhrqa.evaluation.rows import centres_shown
from uhrqa.geometry import Box
from uhrqa.relevance_pass import Reading

SHARES = (0.002, 0.01, 0.05, 0.25)  # of a level's tokens: the best
MEASURED = 256  # questions, at most


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of boxes whose centre lies in one of the best tokens.

    Attributes:
        share: of the high-resolution tokens that count as the best, at least one.
        module: by the module's scores.
        teacher: by those of the decoder layer that teaches it.
        chance: by scores drawn at random, in the mean.
    """

    share: float
    module: float
    teacher: float
    chance: float


@dataclass(frozen=True, slots=True)
class Check:
    """A module measured.

    Attributes:
        questions: how many it was measured on.
        boxes: how many objects were looked for.
        losses: mean over the questions, of the layer that is read alone.
        recalls: one for each of `SHARES`; none without boxes.
    """

    questions: int
    boxes: int
    losses: Losses
    recalls: tuple[Recall, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "recalls": [asdict(recall) for recall in self.recalls]}

    @classmethod
    def of_dict(cls, saved: dict[str, Any]) -> Check:
        """What `to_dict` made."""
        losses = Losses(**saved["losses"])
        recalls = tuple(Recall(**recall) for recall in saved["recalls"])
        return cls(saved["questions"], saved["boxes"], losses, recalls)


def check(
    student: Student, examples: Sequence[Example], read: Callable[[Example], Reading]
) -> Check:
    """Measure a module on level 1 of the first `MEASURED` examples."""
    losses: list[Losses] = []
    hits: dict[float, list[tuple[float, float, float]]] = {share: [] for share in SHARES}
    boxes = 0
    for example in examples[:MEASURED]:
        reading = read(example)
        found, *scores = student.measure(reading)
        losses.append(found)
        boxes += len(example.boxes)
        for share in SHARES if example.boxes else ():
            hits[share] += _hits(example.boxes, reading.tokens.box, scores, share)
    recalls = tuple(
        Recall(share, *(sum(column) / boxes for column in zip(*rows, strict=True)))
        for share, rows in hits.items()
        if rows
    )
    return Check(len(losses), boxes, Losses.mean(losses), recalls)


def _hits(
    things: tuple[Box, ...], tokens: torch.Tensor, scores: list[torch.Tensor], share: float
) -> list[tuple[float, float, float]]:
    """Of each object: found by the module, by its teacher, and by chance."""
    count = len(tokens)
    best = max(1, int(share * count))
    own, other, shown = (
        centres_shown(tokens[order[:limit]].numpy(), things)
        for order, limit in (
            *((score.argsort(descending=True, stable=True), best) for score in scores),
            (torch.arange(count), count),
        )
    )
    # A level's tokens do not overlap: one at most fits, and is drawn with this probability.
    return [(a, b, c * best / count) for a, b, c in zip(own, other, shown, strict=True)]
