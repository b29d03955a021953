"""Questions about a scene, with answers that follow from its vectors.

Every reference is unique: a question names "the ships" only where one site holds ships, a place
only where it is told apart by its cell, and one object among several by `references`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from uhrqa.synth import looks, numbers, phrases
from uhrqa.synth.asking import Asker, Question
from uhrqa.synth.kinds import KINDS
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.wording import Wording

__all__ = ["CATEGORIES", "DETAIL", "UNKNOWN", "Question", "make_questions"]

CATEGORIES = (
    "count", "color", "category", "shape", "status", "reasoning", "rural/urban", "background",
    "existence", "position", "comparison", "unknown",
)  # fmt: skip
DETAIL = {"count": 3.5, "color": 3.5, "status": 6.0, "shape": 7.0, "existence": 2.5,
          "comparison": 3.0}  # fmt: skip
"""Apparent object length in px from which a question of a category can be answered."""
UNKNOWN = "unknown"
MARGIN = 0.15  # between town and country, as shares of the land, from which on one of them leads


def make_questions(
    scene: SceneTruth, seed: int, suffix: float = 0.0, held_out: bool = False
) -> list[Question]:
    """Some twenty to fifty questions in random order; as many "yes" as "no" on the whole.

    Args:
        scene: a scene.
        seed: of the choice and the wording.
        suffix: share of questions that end with the benchmark's request for a short answer.
        held_out: ask about the strange things that training never asks about, and only what
            nobody could answer.
    """
    asker = Asker(scene, Wording(np.random.default_rng([2, seed])))
    found = [
        *looks.about_sites(asker),
        *looks.about_single(asker),
        *numbers.counts(asker),
        *numbers.existences(asker),
        *numbers.comparisons(asker),
        *_rural(asker),
        *_strange(asker, held_out),
    ]
    order = asker.say.rng.permutation(len(found)).tolist()
    return [
        replace(found[index], text=asker.say.dressed(found[index].text, suffix)) for index in order
    ]


def _rural(asker: Asker) -> Iterator[Question]:
    """Town or country, where one of them clearly leads."""
    shares = asker.scene.shares
    town, country = shares.get("town", 0.0), shares.get("farm", 0.0) + shares.get("forest", 0.0)
    if abs(town - country) > MARGIN:
        answer = "urban" if asker.scene.is_urban else "rural"
        yield asker.ask(asker.say.say(phrases.RURAL), answer, "rural/urban")


def _strange(asker: Asker, held_out: bool) -> Iterator[Question]:
    """Questions that the drawn world has no answer to."""
    say = asker.say
    nouns = phrases.STRANGE_NOUNS_HELD_OUT if held_out else phrases.STRANGE_NOUNS
    syllables = phrases.SYLLABLES_HELD_OUT if held_out else phrases.SYLLABLES
    templates = phrases.STRANGE if held_out else phrases.STRANGE_IN_TRAINING
    for _ in range(2):
        one, many = say.strange(nouns, syllables)
        known = say.words(say.one_of(KINDS).name)[1]
        text = say.say(templates, one=one, many=many, known=known)
        yield asker.ask(text, UNKNOWN, "unknown")
    if say.chance(0.2):
        whole = phrases.STRANGE_WHOLE_HELD_OUT if held_out else phrases.STRANGE_WHOLE
        yield asker.ask(say.one_of(whole), UNKNOWN, "unknown")
