"""What the two methods are compared with, under the same cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uhrqa.strategies.one_level import (
    LEVEL_DOC,
    even_tokens,
    level_of,
    room_behind_thumbnail,
    whole,
    whole_cost,
)
from uhrqa.strategies.options import LAYER_DOC, RELEVANCE, RELEVANCE_DOC, check_choice, option

if TYPE_CHECKING:
    from uhrqa.budget import Budget
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection

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
        needed = whole_cost(scene, level) + scene.token_count(scene.pyramid.thumbnail)
        require(needed, budget, f"all of level {level.index} with the thumbnail", UNPRUNED)
        return whole(scene, level, scene.tokens(scene.pyramid.thumbnail))


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
