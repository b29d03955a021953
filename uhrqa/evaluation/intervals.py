"""How far a share may be off: 95 % intervals, over questions or over scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Z = 1.959964  # of 95 %, both sides
DRAWS = 2000
LEAST_SCENES = 2  # fewer say nothing of how scenes differ


class Interval(NamedTuple):
    """Where a share lies with 95 % confidence, ends included."""

    low: float
    high: float


def wilson(right: int, count: int) -> Interval:
    """Wilson's score interval, which takes every question to be independent of the others.

    Args:
        right: questions answered rightly.
        count: questions asked, 1 or more.

    Source: Wilson 1927.
    """
    share = right / count
    spread = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    middle, scale = share + Z**2 / (2 * count), 1 + Z**2 / count
    return Interval(max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def scene_bootstrap(
    scenes: Sequence[tuple[int, int]], seed: int = 0, draws: int = DRAWS
) -> Interval | None:
    """Percentiles of the share right over scenes drawn again with replacement.

    Questions about one scene stand or fall together, so that scenes are drawn and not questions.

    Args:
        scenes: questions answered rightly (or, of two ways, the difference) and questions asked, 1
            or more, of each scene.
        seed: of the draws.
        draws: how often as many scenes are drawn.

    Returns:
        None for fewer than `LEAST_SCENES` scenes.
    """
    if len(scenes) < LEAST_SCENES:
        return None
    table = np.array(scenes, dtype=np.float64)  # [S, 2]
    even = np.full(len(scenes), 1 / len(scenes))
    taken = np.random.default_rng(seed).multinomial(len(scenes), even, size=draws)  # [draws, S]
    right, asked = (taken @ table).T
    low, high = np.percentile(right / asked, (2.5, 97.5))
    return Interval(float(low), float(high))
