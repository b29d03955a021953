"""What strategies that choose among the tokens of one level share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

LEVEL_DOC = "pyramid level the tokens come from"


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


def whole_cost(scene: Scene, level: Level) -> int:
    """Tokens of a whole level with its row ends."""
    rows, cols = scene.token_grid(level)
    return rows * (cols + (scene.newline is not None))


def whole(scene: Scene, level: Level, thumbnail: VisualTokens | None) -> Selection:
    """All of a level with its row ends, behind the thumbnail where there is one."""
    from uhrqa.selection import unscored
    from uhrqa.tokens import VisualTokens, end_rows

    tokens = end_rows(scene.tokens(level), scene.newline)
    return unscored(tokens if thumbnail is None else VisualTokens.cat([thumbnail, tokens]))


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
