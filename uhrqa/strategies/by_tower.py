"""Rules that keep what the vision tower attends to, and merge the rest; they know no question.

Written from their papers; differences are listed in docs/deviations.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uhrqa.strategies.one_level import LEVEL_DOC, level_of, require_room
from uhrqa.strategies.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens


@dataclass(frozen=True)
class VisionZip:
    """Thumbnail and the tokens of one level the tower looks at most, the others merged by keys."""

    level: int = option(1, LEVEL_DOC)
    contextual: float = option(0.16, "share of the room that goes to merged tokens (VisionZip)")

    def __post_init__(self) -> None:
        _check_part("contextual", self.contextual)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        import torch

        from uhrqa.saliency import dominant_and_contextual
        from uhrqa.selection import behind_thumbnail
        from uhrqa.tokens import VisualTokens, merge_groups

        thumbnail, tokens, saliency, unit, room = _watched(scene, budget, self.level)
        if len(tokens) <= room:
            return behind_thumbnail(thumbnail, tokens)
        kept, others, group = dominant_and_contextual(
            saliency, unit, room, int(self.contextual * room)
        )
        if not len(others):
            return behind_thumbnail(thumbnail, tokens.take(kept))
        share = 1 / torch.bincount(group).double()[group]
        merged = merge_groups(tokens, others, group, share)
        found = VisualTokens.cat([tokens.take(kept), merged])
        return behind_thumbnail(thumbnail, _in_raster_order(found))


@dataclass(frozen=True)
class PruMergePlus:
    """Thumbnail, tower outliers and an even sample of one level, each merged with its like."""

    level: int = option(1, LEVEL_DOC)
    outliers: float = option(
        0.5, "share of the room that outliers may take; the sample has the rest"
    )
    neighbours: int = option(32, "tokens of its tile, the most alike, merged into each; 0 for none")

    def __post_init__(self) -> None:
        _check_part("outliers", self.outliers)
        if self.neighbours < 0:
            raise ValueError(f"neighbours={self.neighbours}: give 0 or more")

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        import torch

        from uhrqa.saliency import evenly, neighbours, outliers
        from uhrqa.selection import behind_thumbnail
        from uhrqa.tokens import merge_groups

        thumbnail, tokens, saliency, unit, room = _watched(scene, budget, self.level)
        if len(tokens) <= room:
            return behind_thumbnail(thumbnail, tokens)
        tile = tiles_of(scene, tokens)
        far = outliers(saliency, tile)
        order = saliency.argsort(descending=True, stable=True)
        first = order[far[order]][: int(self.outliers * room)]
        left = torch.ones(len(tokens), dtype=torch.bool)
        left[first] = False
        rest = left.nonzero().flatten()
        kept = torch.cat([first, rest[evenly(room - len(first), len(rest))]]).sort().values
        member, group = neighbours(unit, tile, kept, self.neighbours)
        own = saliency[member].double().clamp_min(1e-12)
        total = torch.zeros(len(kept), dtype=torch.float64).index_add_(0, group, own)
        merged = merge_groups(tokens, member, group, own / total[group])
        return behind_thumbnail(thumbnail, _in_raster_order(merged))


def tiles_of(scene: Scene, tokens: VisualTokens) -> Tensor:
    """`[N]` which tile of their level tokens lie in, counted from 0 in raster order."""
    side = int(scene.tile // scene.cell(scene.pyramid[int(tokens.level[0])]))
    wide = int(tokens.grid[0, 1]) // side + 1
    places: Tensor = tokens.row // side * wide + tokens.col // side
    return places


def _watched(
    scene: Scene, budget: Budget, index: int
) -> tuple[VisualTokens, VisualTokens, Tensor, Tensor, int]:
    """Thumbnail, tokens of a level, their saliency `[N]` and unit keys `[N, d]`, and the room."""
    from torch.nn.functional import normalize

    level = level_of(scene, index)
    require_room(scene, budget, level)
    thumbnail = scene.tokens(scene.pyramid.thumbnail)  # without what shows no image
    room = budget.tokens - len(thumbnail)
    tokens, traits = scene.watched(level)
    own = traits.cpu()
    return thumbnail, tokens, own[:, 0], normalize(own[:, 1:], dim=1), room


def _in_raster_order(tokens: VisualTokens) -> VisualTokens:
    """Tokens of one level by row, then column; merged ones at their mean place."""
    order = tokens.col.argsort(stable=True)
    return tokens.take(order[tokens.row[order].argsort(stable=True)])


def _check_part(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value}: give a share from 0 to below 1")
