"""Ask questions about ultra-high-resolution remote-sensing images.

    from uhrqa import ask, load_model, open_raster

Names are imported when they are first used, so `import uhrqa` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uhrqa.answer import Answer, ask
    from uhrqa.budget import Budget
    from uhrqa.errors import UhrqaError
    from uhrqa.features import FeatureCache
    from uhrqa.raster import open_raster
    from uhrqa.vlm import load_model

__version__ = "0.1.0"

_HOMES = {
    "Answer": "uhrqa.answer",
    "Budget": "uhrqa.budget",
    "FeatureCache": "uhrqa.features",
    "UhrqaError": "uhrqa.errors",
    "ask": "uhrqa.answer",
    "load_model": "uhrqa.vlm",
    "open_raster": "uhrqa.raster",
}

__all__ = [
    "Answer",
    "Budget",
    "FeatureCache",
    "UhrqaError",
    "ask",
    "load_model",
    "open_raster",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'uhrqa' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
