"""Scenes for the demonstration: fixed seeds that nothing else draws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.questions import Question
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.splits import scene_seed

DEMO_SIDE = 8192
DEMO_SEED = 0


def demo_scene(seed: int = DEMO_SEED) -> tuple[SceneTruth, list[Question]]:
    """An 8192 px scene and three questions: a count, a colour and a yes/no about a tiny car.

    Args:
        seed: other seeds give other scenes of the same kind; the car is there for about half.
    """
    for attempt in range(1000):
        own = scene_seed("demo", seed * 1000 + attempt)
        scene = draw_scene(own, DEMO_SIDE, unit=13.0)
        questions = _demo_questions(scene)
        if questions:
            return scene, questions
    raise ValueError(f"no demonstration scene for seed {seed}")


def _demo_questions(scene: SceneTruth) -> list[Question]:
    """The three questions, or none when the scene lacks what they ask about."""
    sites = {site.kind: site for site in scene.sites}
    full = {kind: site for kind, site in sites.items() if site.things}
    if len(full) < 3 or len(sites) < len(scene.sites) or "car" not in sites or "ship" not in full:
        return []
    car, ship = sites["car"], full["ship"]
    if len(car.things) > 1 or not 2 <= len(ship.things) <= 6:
        return []
    third = next((site for kind, site in full.items() if kind in ("airplane", "house")), None)
    if third is None or len({scene.things[index].colour for index in third.things}) > 1:
        return []
    colour = scene.things[third.things[0]].colour
    parked = _question(scene, "Is there a car in the parking lot?", "yes", "existence", car.things)
    if not car.things:
        where = (scene.sites.index(car),)
        parked = replace(parked, answer="no", boxes=(car.box,), sites=where)
    return [
        _question(scene, "How many ships are there?", str(len(ship.things)), "count", ship.things),
        _question(scene, f"What color are the {third.kind}s?", colour, "color", third.things),
        parked,
    ]


def _question(
    scene: SceneTruth, text: str, answer: str, category: str, things: tuple[int, ...]
) -> Question:
    boxes = tuple(scene.things[index].box for index in things)
    return Question(text, answer, category, boxes, things)


def smallest_px(scene: SceneTruth, question: Question) -> float:
    """Length of the shortest object a question asks about, source pixels; nan for none."""
    lengths = [scene.things[index].length for index in question.things]
    return float(np.min(lengths)) if lengths else math.nan
