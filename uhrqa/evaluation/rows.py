"""One question answered one way, as a row, and what a row says of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np

from uhrqa.cost import projector_flops, vision_flops
from uhrqa.dims import Dims
from uhrqa.evaluation.cases import Case
from uhrqa.geometry import Box

if TYPE_CHECKING:
    from uhrqa.answer import Answer, Evidence

Key = tuple[int, int, str, int]


def is_right(said: str, expected: str) -> bool:
    """Whether an answer is the truth, letter case and outer blanks aside."""
    return said.strip().lower() == expected.strip().lower()


@dataclass(frozen=True, slots=True)
class Trial:
    """Which question is answered, and how.

    Attributes:
        scene: its number in the source.
        question: its number in the scene.
        strategy: its name, or that of a control.
        budget: the cap on visual tokens; 0 for a control, which has none.
    """

    scene: int
    question: int
    strategy: str
    budget: int

    @property
    def key(self) -> Key:
        """What tells it from every other."""
        return self.scene, self.question, self.strategy, self.budget


@dataclass(frozen=True, slots=True)
class Refusal(Trial):
    """A trial whose strategy cannot meet the budget, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Row(Trial):
    """A trial with its answer.

    Attributes:
        text: the question.
        category: of the question.
        side: longer side of the scene, source pixels.
        target: length of the shortest object asked about, source pixels; None for none.
        expected: the truth.
        said: what the model wrote.
        found: share of the objects asked about whose centre a kept token shows; None for none.
        kept: visual tokens in the answering pass.
        tiles: tiles used, as if none had been encoded before: those encoded and those reused.
        tflops: of the whole answer, as if none of these tiles had been encoded before.
        seconds: wall time really spent; what earlier questions about the scene paid for is free.
        bytes: pixels really drawn, in bytes; the same holds.
    """

    text: str
    category: str
    side: int
    target: float | None
    expected: str
    said: str
    found: float | None = None
    kept: int = 0
    tiles: int = 0
    tflops: float = 0.0
    seconds: float = 0.0
    bytes: int = 0

    @property
    def right(self) -> bool:
        """The answer is the truth, letter case and outer blanks aside."""
        return is_right(self.said, self.expected)


def _kinds(outcome: type[Trial]) -> dict[str, Any]:
    """The type of each field; where a fraction may stand, a whole number may too."""
    hints = get_type_hints(outcome).items()
    return {name: kind | int if float in (kind, *get_args(kind)) else kind for name, kind in hints}


KINDS = {outcome: _kinds(outcome) for outcome in (Row, Refusal)}


def check_types(found: Row | Refusal) -> None:
    """Refuse an outcome, as it was read, whose fields are not what they should be.

    Raises:
        TypeError: names the first field of another type.
    """
    for name, kind in KINDS[type(found)].items():
        if not isinstance(getattr(found, name), kind):
            raise TypeError(f"{name} is of another type")


def unasked_row(trial: Trial, side: int, case: Case, said: str) -> Row:
    """A row whose answer no model gave; all costs are 0."""
    return Row(
        *trial.key,
        text=case.text,
        category=case.category,
        side=side,
        target=case.target,
        expected=case.answer,
        said=said,
    )


def answered_row(trial: Trial, side: int, case: Case, answer: Answer, dims: Dims) -> Row:
    """A row from a model's answer.

    Args:
        trial: what was asked, and how.
        side: longer side of the image, source pixels.
        case: with its truth.
        answer: the model's.
        dims: of the model, for the cost of tiles that were reused.
    """
    counts = answer.counts
    tiles = counts.tiles_encoded + counts.tiles_reused
    cold = replace(
        answer.cost,
        vision=vision_flops(dims, tiles),
        projector=projector_flops(dims, tiles * dims.vision.features),
    )
    return replace(
        unasked_row(trial, side, case, answer.text),
        found=share_found(answer.evidence, case.things),
        kept=counts.kept,
        tiles=tiles,
        tflops=cold.total / 1e12,
        seconds=sum(answer.seconds.values()),
        bytes=answer.bytes_read,
    )


def share_found(evidence: Iterable[Evidence], things: Sequence[Box]) -> float | None:
    """Share of some objects whose centre lies in a kept, unmerged token of a tile."""
    if not things:
        return None
    boxes = [entry.box for entry in evidence if entry.level > 0 and entry.weight == 1]
    return float(np.mean(centres_shown(np.array(boxes, dtype=np.float64), things)))


def centres_shown(boxes: np.ndarray, things: Sequence[Box]) -> list[bool]:
    """Of each object, whether its centre lies in one of the boxes.

    Args:
        boxes: `[N, 4]` XYXY source pixels; N may be 0.
        things: the objects.
    """
    kept = boxes.reshape(-1, 4)
    hits = []
    for box in things:
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        inside = (kept[:, 0] <= x) & (x < kept[:, 2]) & (kept[:, 1] <= y) & (y < kept[:, 3])
        hits.append(bool(inside.any()))
    return hits
