"""What the two methods are compared with, under the same cap."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.strategies.options import LAYER_DOC, RELEVANCE, RELEVANCE_DOC, check_choice, option

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

TRIES = 4  # at a finer resize of an image with no-data; its mask is read for each
LEVEL_DOC = "pyramid level the tokens come from"
UNPRUNED = (
    "the image does not fit this model unpruned: use a strategy that prunes, such as -s rfm-dip"
)


@dataclass(frozen=True)
class Thumbnail:
    """The whole image in one tile, nothing else."""

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.selection import require, unscored

        level = scene.pyramid.thumbnail
        require(scene.token_count(level), budget, "the thumbnail")
        return unscored(scene.tokens(level))


@dataclass(frozen=True)
class Full:
    """Thumbnail and every token of the finest level; refuses when they do not fit."""

    level: int | None = option(None, f"{LEVEL_DOC}; the finest by default")

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.selection import require

        level = level_of(scene, self.level)
        scene.require_tiles((scene.pyramid.thumbnail, level))
        needed = _whole_cost(scene, level) + scene.token_count(scene.pyramid.thumbnail)
        require(needed, budget, f"all of level {level.index} with the thumbnail", UNPRUNED)
        return _whole(scene, level, scene.tokens(scene.pyramid.thumbnail))


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
        return _whole(scene, level, None)


@dataclass(frozen=True)
class Uniform:
    """Thumbnail and an even grid of tokens of one level."""

    level: int = option(1, LEVEL_DOC)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.selection import behind_thumbnail

        thumbnail, tokens, room = room_behind_thumbnail(scene, budget, self.level)
        return behind_thumbnail(thumbnail, tokens.take(even_tokens(tokens, room)))


@dataclass(frozen=True)
class Random:
    """Thumbnail and random tokens of one level."""

    level: int = option(1, LEVEL_DOC)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        import torch

        from uhrqa.selection import behind_thumbnail

        thumbnail, tokens, room = room_behind_thumbnail(scene, budget, self.level)
        picks = torch.randperm(len(tokens), generator=scene.generator())[:room].sort().values
        return behind_thumbnail(thumbnail, tokens.take(picks))


@dataclass(frozen=True)
class AttentionTopK:
    """Thumbnail and the most relevant tokens of one level, without zooming."""

    level: int = option(1, LEVEL_DOC)
    relevance: str = option("auto", RELEVANCE_DOC)
    layer: int | None = option(None, LAYER_DOC)

    def __post_init__(self) -> None:
        check_choice("relevance", self.relevance, RELEVANCE)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.selection import behind_thumbnail

        thumbnail, tokens, room = room_behind_thumbnail(scene, budget, self.level)
        scores = scene.relevance(tokens, thumbnail, source=self.relevance, layer=self.layer)
        picks = scores.argsort(descending=True, stable=True)[:room].sort().values
        return behind_thumbnail(thumbnail, tokens.take(picks), scores[picks])


def even_grid(rows: int, cols: int, count: int) -> Tensor:
    """Flat indices of at most `count` cells, spread evenly over both axes of a grid."""
    import torch

    shrink = min(1.0, (count / (rows * cols)) ** 0.5)
    high = min(rows, max(1, round(rows * shrink)), count)
    wide = min(cols, count // high)
    row = ((torch.arange(high) + 0.5) * rows / high).long()
    col = ((torch.arange(wide) + 0.5) * cols / wide).long()
    cells: Tensor = row[:, None] * cols + col
    return cells.flatten()


def even_tokens(tokens: VisualTokens, count: int) -> Tensor:
    """Indices of at most `count` tokens of one level, spread evenly over those that show image.

    Where cells of its grid show none, the grid is the finest even one of which enough show some.
    """
    import torch

    rows, cols = tokens.grid[0].tolist()
    place = torch.full((rows * cols,), -1)
    place[tokens.row * cols + tokens.col] = torch.arange(len(tokens))
    if len(tokens) <= count:
        return torch.arange(len(tokens))
    low, high = count, rows * cols  # of `low` cells, at most `count` show image
    while high - low > 1 and len(tokens) < rows * cols:
        middle = (low + high) // 2
        if int((place[even_grid(rows, cols, middle)] >= 0).sum()) <= count:
            low = middle
        else:
            high = middle
    picked = place[even_grid(rows, cols, low)]
    return picked[picked >= 0]


def level_of(scene: Scene, index: int | None) -> Level:
    """A level besides the thumbnail, the finest for None.

    Raises:
        ConfigError: the image has no such level.
    """
    from uhrqa.errors import ConfigError

    pyramid = scene.pyramid
    wanted = len(pyramid) - 1 if index is None else index
    if not 1 <= wanted < len(pyramid):
        raise ConfigError(f"level={wanted}: this image has levels 1 to {len(pyramid) - 1}")
    return pyramid[wanted]


def _whole_cost(scene: Scene, level: Level) -> int:
    """Tokens of a whole level with its row ends."""
    rows, cols = scene.token_grid(level)
    return rows * (cols + (scene.newline is not None))


def _whole(scene: Scene, level: Level, thumbnail: VisualTokens | None) -> Selection:
    from uhrqa.selection import unscored
    from uhrqa.tokens import VisualTokens, end_rows

    tokens = end_rows(scene.tokens(level), scene.newline)
    return unscored(tokens if thumbnail is None else VisualTokens.cat([thumbnail, tokens]))


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
        if _whole_cost(scene, level) <= budget and (tiles is None or level.tile_count <= tiles):
            best, low = level, middle + 1
        else:
            high = middle - 1
    return best


def room_behind_thumbnail(
    scene: Scene, budget: Budget, index: int
) -> tuple[VisualTokens, VisualTokens, int]:
    """The thumbnail, all tokens of a level, and how many of them there is room for."""
    level = level_of(scene, index)
    require_room(scene, budget, level)
    thumbnail = scene.tokens(scene.pyramid.thumbnail)  # without what shows no image
    return thumbnail, scene.tokens(level), budget.tokens - len(thumbnail)


def require_room(scene: Scene, budget: Budget, level: Level) -> int:
    """How many tokens of a level there is room for behind the thumbnail; nothing is read.

    Raises:
        BudgetError: none, or more tiles than allowed.
    """
    from uhrqa.selection import require

    spent = scene.token_count(scene.pyramid.thumbnail)
    require(spent + 1, budget, f"the thumbnail ({spent}) and one token")
    scene.require_tiles((scene.pyramid.thumbnail, level))
    return budget.tokens - spent
