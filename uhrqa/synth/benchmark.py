"""The benchmark: scenes of a split and balanced questions about them.

Answers are balanced within a category, so that a model that does not look scores at chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.questions import Question, make_questions
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.splits import scene_seed

SIDES = (4096, 5792, 8192)
UNITS = (8.0, 15.0)  # px: most objects are 7 to 24 px long
SUFFIXED = 0.1  # share of questions that end with LRS-VQA's request
SLACK = 1.0  # how many more than its even share an answer may have
ONCE = {"unknown": 1}  # needs no image, so that many would tell little
COUNTED_ALONE = 8  # larger numbers are balanced by bins of this many


def benchmark(
    scenes: int,
    split: str = "test",
    sides: Sequence[int] = SIDES,
    per_category: int = 2,
    first: int = 0,
) -> Iterator[tuple[SceneTruth, list[Question]]]:
    """Scenes, sizes in turn, each with its questions.

    Args:
        scenes: how many.
        split: "train", "validation" or "test".
        sides: longer sides in px; every fourth scene is 3/4 as high as wide.
        per_category: questions of a category about one scene, at most.
        first: index of the first scene within the split.

    Raises:
        ConfigError: no such split or scene.
    """
    balance = Balance(per_category)
    for index in range(first, first + scenes):
        seed = scene_seed(split, index)
        unit = math.exp(np.random.default_rng([6, seed]).uniform(*np.log(UNITS)))
        aspect = 0.75 if index % 4 == 3 else 1.0
        scene = draw_scene(seed, sides[index % len(sides)], aspect, unit)
        questions = make_questions(scene, seed, SUFFIXED, held_out=split != "train")
        yield scene, balance.choose(questions)


class Balance:
    """Chooses questions so that the answers of a category are about equally common.

    Args:
        per_category: questions of a category about one scene, at most.
    """

    def __init__(self, per_category: int) -> None:
        self.per_category = per_category
        self.said: dict[str, Counter[str]] = {
            "rural/urban": Counter(rural=0, urban=0),
            "existence": Counter(yes=0, no=0),
            "relation": Counter(yes=0, no=0),
        }

    def choose(self, questions: Iterable[Question]) -> list[Question]:
        """Some questions of one scene, rare answers first."""
        groups: dict[str, list[Question]] = {}
        for question in questions:
            groups.setdefault(question.category, []).append(question)
        return [question for name in groups for question in self._of(name, groups[name])]

    def _of(self, category: str, options: list[Question]) -> Iterator[Question]:
        said = self.said.setdefault(category, Counter())
        left = list(options)
        for _ in range(ONCE.get(category, self.per_category)):
            left.sort(key=lambda question: said[answer_bin(question)])
            if not left:
                return
            best = left.pop(0)
            even = said.total() / max(1, len(said))
            if len(said) > 1 and said[answer_bin(best)] > even + SLACK:
                return
            said[answer_bin(best)] += 1
            yield best


def answer_bin(question: Question) -> str:
    """What is balanced: the answer, but larger counts in bins."""
    if question.category != "count" or int(question.answer) <= COUNTED_ALONE:
        return question.answer
    return f"over {(int(question.answer) - 1) // COUNTED_ALONE * COUNTED_ALONE}"
