"""Where the questions come from: drawn scenes that training never sees."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from uhrqa.synth.demo import HELD_OUT_SEED, few_of_each
from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.questions import Question, make_questions
from uhrqa.synth.scene import SceneTruth

Drawn = tuple[SceneTruth, list[Question]]
BENCHMARK = "held-out/1"
"""What `drawn` draws; another name for other scenes, so that their rows do not mix."""
SIDES = (4096, 5792, 8192)
SPLITS = {"test": 0, "validation": 77}
"""Name of a split to the seed its scenes are drawn from."""
PRIOR_SCENES = 400  # drawn for the most common answers


@dataclass(frozen=True, slots=True)
class Source:
    """Which scenes are asked about.

    Attributes:
        scenes: how many.
        split: one of `SPLITS`.
        sides: longer sides in source pixels, taken in turn.
        per_category: questions of one category about one scene, at most.
    """

    scenes: int
    split: str = "test"
    sides: tuple[int, ...] = SIDES
    per_category: int = 2


def drawn(source: Source) -> Iterator[Drawn]:
    """The scenes with their questions, one after the other; the same every time."""
    for index in range(source.scenes):
        seed = HELD_OUT_SEED + SPLITS[source.split] * 100_000 + index
        aspect = 0.75 if index % 4 == 3 else 1.0
        scene = draw_scene(seed, source.sides[index % len(source.sides)], aspect)
        questions = make_questions(scene, seed, suffix=0.1)
        yield scene, few_of_each(questions, source.per_category)


def common_answers(source: Source, scenes: int = PRIOR_SCENES) -> dict[str, str]:
    """The most common answer of each category, over scenes of another split."""
    other = next(split for split in reversed(SPLITS) if split != source.split)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for _, questions in drawn(replace(source, scenes=scenes, split=other)):
        for question in questions:
            seen[question.category][question.answer] += 1
    return {category: counts.most_common(1)[0][0] for category, counts in seen.items()}
