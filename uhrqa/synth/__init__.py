"""Drawn aerial scenes with questions: what the embedded model is trained and shown on.

    scene = draw_scene(seed=3, side=8192)
    pixels = render(scene, Box(0, 0, 8192, 8192), Size(1024, 1024))
    write_scene(scene, Path("scene.tif"))

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uhrqa.synth.demo import demo_scene
    from uhrqa.synth.drawing import draw_scene
    from uhrqa.synth.files import write_scene
    from uhrqa.synth.questions import Question, make_questions
    from uhrqa.synth.raster import SceneRaster
    from uhrqa.synth.scene import SceneTruth
    from uhrqa.synth.window import render

_HOMES = {
    "Question": "questions",
    "SceneRaster": "raster",
    "SceneTruth": "scene",
    "demo_scene": "demo",
    "draw_scene": "drawing",
    "make_questions": "questions",
    "render": "window",
    "write_scene": "files",
}

__all__ = [
    "Question",
    "SceneRaster",
    "SceneTruth",
    "demo_scene",
    "draw_scene",
    "make_questions",
    "render",
    "write_scene",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'uhrqa.synth' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"uhrqa.synth.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
