"""Where the questions come from: drawn scenes that training never sees."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from uhrqa.config import SPLITS
from uhrqa.synth.benchmark import SIDES, benchmark
from uhrqa.synth.questions import Question
from uhrqa.synth.scene import SceneTruth

Drawn = tuple[SceneTruth, list[Question]]
BENCHMARK = "uhr-synth/1"
"""What `drawn` draws; another name for other scenes, so that their rows do not mix."""
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


def drawn(source: Source) -> Iterator[Drawn]:
    """The scenes with their questions, one after the other; the same every time."""
    yield from benchmark(source.scenes, source.split, source.sides, source.per_category)


def common_answers(source: Source, scenes: int = PRIOR_SCENES) -> dict[str, str]:
    """The most common answer of each category, over scenes of another split."""
    other = next(split for split in SPLITS if split != source.split)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for _, questions in drawn(replace(source, scenes=scenes, split=other)):
        for question in questions:
            seen[question.category][question.answer] += 1
    return {category: counts.most_common(1)[0][0] for category, counts in seen.items()}
