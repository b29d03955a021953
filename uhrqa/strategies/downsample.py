"""The whole image, shrunk: what a model sees of it without any choice of tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.strategies.one_level import whole, whole_cost

if TYPE_CHECKING:
    from uhrqa.budget import Budget
    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection

TRIES = 4  # at a finer resize of an image with no-data; its mask is read for each


@dataclass(frozen=True)
class Downsample:
    """The whole image, shrunk until all its tokens fit."""

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.selection import require, unscored

        thumbnail = scene.pyramid.thumbnail
        require(scene.token_count(thumbnail), budget, "one tile")
        level = _largest_shown(scene, budget.tokens, scene.tiles_left)
        if level is None:
            return unscored(scene.tokens(thumbnail))
        return whole(scene, level, None)


def _largest_shown(scene: Scene, budget: int, tiles: int | None) -> Level | None:
    """The finest resize whose tokens that show image fit, as near as a few tries bring it."""
    level = _largest_that_fits(scene, budget, tiles)
    if level is None or not scene.may_hide:
        return level
    room, larger = float(budget), level
    for _ in range(TRIES):
        room *= budget / max(1, _shown_cost(scene, larger))
        found = _largest_that_fits(scene, int(room), tiles)
        if found is None or found.size.area <= level.size.area:
            break
        larger = found
        if _shown_cost(scene, larger) <= budget:
            level = larger
    return level


def _shown_cost(scene: Scene, level: Level) -> int:
    """Tokens of a level that show image, with the ends of the rows that hold one."""
    cells = scene.shown_cells(level)
    return int(cells.sum()) + (scene.newline is not None) * int(cells.any(1).sum())


def _largest_that_fits(scene: Scene, budget: int, tiles: int | None) -> Level | None:
    """The finest resize of the image whose tokens and row ends fit, at most its own size in cells.

    Sides are whole tokens along the longer side; None when even two tokens do not fit.
    """
    whole = scene.pyramid.thumbnail
    cell = scene.cell(replace(whole, index=1))
    longest = math.ceil(max(scene.size) / cell)
    low, high = 1, max(longest, int(whole.tile // cell))
    best: Level | None = None
    while low <= high:
        middle = (low + high) // 2
        factor = middle * cell / max(scene.size)
        size = type(scene.size)(*(max(1, round(side * factor)) for side in scene.size))
        level = replace(whole, index=1, size=size)
        if whole_cost(scene, level) <= budget and (tiles is None or level.tile_count <= tiles):
            best, low = level, middle + 1
        else:
            high = middle - 1
    return best
