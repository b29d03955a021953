"""What a strategy is measured against: the same model that sees nothing, or all that matters.

Controls are no registered strategies: one of them is told where the answer lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from uhrqa.budget import MOST_TOKENS, Budget
from uhrqa.geometry import Box
from uhrqa.pyramid import Tile
from uhrqa.scene import Scene
from uhrqa.selection import Selection, behind_thumbnail, require, unscored
from uhrqa.tokens import VisualTokens

MAJORITY, BLIND, ORACLE = "majority", "blind", "oracle"
CONTROLS = (MAJORITY, BLIND, ORACLE)
"""The most common answer of a category, which asks no model; no token; every token that matters."""
NO_CAP = Budget(MOST_TOKENS)  # only the model's context limits what the oracle keeps


@dataclass(frozen=True)
class Blind:
    """No visual token at all: what the words of a question give away."""

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        return unscored(VisualTokens.empty(scene.model.card.dims.decoder.width))


@dataclass(frozen=True)
class Oracle:
    """Thumbnail and all tokens of the finest level's tiles that touch what is asked about.

    Where nothing in particular is asked about, the thumbnail and all of level 1.

    Attributes:
        boxes: what must be looked at, XYXY source pixels.
    """

    boxes: tuple[Box, ...] = ()

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`.

        Raises:
            BudgetError: the tiles hold more tokens than the model's context has room for.
        """
        pyramid = scene.pyramid
        level = pyramid.finest if self.boxes else pyramid[1]
        tiles: set[Tile] = set().union(*(level.tiles_in(box) for box in self.boxes))
        tokens = scene.tokens(level, tiles if self.boxes else None)
        selection = behind_thumbnail(scene.tokens(pyramid.thumbnail), tokens)
        require(len(selection.tokens), budget, "the oracle")
        return selection
