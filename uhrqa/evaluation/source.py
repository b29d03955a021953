"""Where the questions come from: drawn scenes that training never sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from uhrqa.config import SPLITS
from uhrqa.evaluation.cases import Case, Subject, most_common
from uhrqa.synth.benchmark import SIDES, benchmark
from uhrqa.synth.questions import Question
from uhrqa.synth.raster import SceneRaster
from uhrqa.synth.scene import SceneTruth

BENCHMARK = "uhr-synth/1"
"""What `Source` draws; another name for other scenes, so that their rows do not mix."""
PRIOR_SCENES = 400  # drawn for the most common answers


@dataclass(frozen=True, slots=True)
class Source:
    """Which scenes are asked about.

    Attributes:
        scenes: how many.
        split: one of `uhrqa.config.SPLITS`.
        sides: longer sides in source pixels, taken in turn.
        per_category: questions of one category about one scene, at most.
    """

    scenes: int
    split: str = "test"
    sides: tuple[int, ...] = SIDES
    per_category: int = 2

    def subjects(self) -> Iterator[Subject]:
        """The scenes with their questions, one after the other; the same every time."""
        drawn = benchmark(self.scenes, self.split, self.sides, self.per_category)
        for scene, questions in drawn:
            yield subject_of(scene, questions)

    def common(self, scenes: int = PRIOR_SCENES) -> dict[str, str]:
        """The most common answer of each category, over scenes of another split."""
        other = next(split for split in SPLITS if split != self.split)
        drawn = replace(self, scenes=scenes, split=other).subjects()
        return most_common(case for subject in drawn for case in subject.cases)


def subject_of(scene: SceneTruth, questions: list[Question]) -> Subject:
    """A drawn scene as a subject."""
    cases = tuple(_case(scene, question) for question in questions)
    return Subject(max(scene.size), cases, lambda: SceneRaster(scene))


def _case(scene: SceneTruth, question: Question) -> Case:
    return Case(
        question.text,
        question.category,
        question.answer,
        question.boxes[: len(question.things)],
        question.boxes,
        min((scene.things[index].length for index in question.things), default=None),
    )
