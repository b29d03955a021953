"""The field's other selection rules, each in a few lines over the same tokens and the same cap.

Written from their papers. Differences are listed in docs/deviations.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uhrqa.strategies.by_tower import tiles_of
from uhrqa.strategies.one_level import LEVEL_DOC, room_behind_thumbnail
from uhrqa.strategies.options import (
    LAYER_DOC,
    RELEVANCE,
    RELEVANCE_DOC,
    check_choice,
    check_count,
    option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection


@dataclass(frozen=True)
class DivPrune:
    """Thumbnail and tokens of one level that are farthest apart (DivPrune); knows no question."""

    level: int = option(1, LEVEL_DOC)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.diversity import farthest_apart, unit_features
        from uhrqa.selection import behind_thumbnail

        thumbnail, tokens, room = room_behind_thumbnail(scene, budget, self.level)
        scene.note_choosing(len(tokens), min(room, len(tokens)))
        unit = unit_features(scene.features_of(tokens), scene.seed)
        picks = farthest_apart(unit, room).sort().values
        return behind_thumbnail(thumbnail, tokens.take(picks))


@dataclass(frozen=True)
class CdPruner:
    """Thumbnail and tokens of one level that are relevant and unlike each other (CDPruner)."""

    level: int = option(1, LEVEL_DOC)
    candidates: int = option(4, "times as many tokens, the most relevant, are looked at as fit")
    relevance: str = option("auto", RELEVANCE_DOC)
    layer: int | None = option(None, LAYER_DOC)

    def __post_init__(self) -> None:
        check_count("candidates", self.candidates)
        check_choice("relevance", self.relevance, RELEVANCE)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.diversity import conditional_dpp, unit_features
        from uhrqa.selection import behind_thumbnail

        thumbnail, tokens, room = room_behind_thumbnail(scene, budget, self.level)
        scores = scene.relevance(tokens, thumbnail, source=self.relevance, layer=self.layer)
        near = scores.argsort(descending=True, stable=True)[: self.candidates * room]
        scene.note_choosing(len(near), min(room, len(near)), has_factor=True)
        unit = unit_features(scene.features_of(tokens.take(near)), scene.seed)
        picks = near[conditional_dpp(unit, scores[near].to(unit), room)].sort().values
        return behind_thumbnail(thumbnail, tokens.take(picks), scores[picks])


@dataclass(frozen=True)
class Dart:
    """Thumbnail and tokens of one level least like a few pivots (DART); knows no question."""

    level: int = option(1, LEVEL_DOC)
    pivots: int = option(8, "tokens with the longest features, which the others are compared with")

    def __post_init__(self) -> None:
        check_count("pivots", self.pivots)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        import torch

        from uhrqa.diversity import CHUNK, least_alike, unit_features
        from uhrqa.selection import behind_thumbnail

        thumbnail, tokens, room = room_behind_thumbnail(scene, budget, self.level)
        scene.note_choosing(len(tokens), min(self.pivots, room))
        features = scene.features_of(tokens)
        lengths = torch.cat([part.float().norm(dim=1) for part in torch.split(features, CHUNK)])
        longest = lengths.argsort(descending=True, stable=True)
        unit = unit_features(features, scene.seed)
        picks = least_alike(unit, longest[: min(self.pivots, room)].cpu(), room).sort().values
        return behind_thumbnail(thumbnail, tokens.take(picks))


@dataclass(frozen=True)
class ThumbnailQuota:
    """Thumbnail and the most relevant tokens of each tile, more where it matters (GlobalCom2)."""

    level: int = option(1, LEVEL_DOC)
    temperature: float = option(0.1, "of the softmax over tiles; lower favours the best tiles more")
    relevance: str = option("auto", RELEVANCE_DOC)
    layer: int | None = option(None, LAYER_DOC)

    def __post_init__(self) -> None:
        check_choice("relevance", self.relevance, RELEVANCE)
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature}: give a number above 0")

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        import torch

        from uhrqa.diversity import quotas
        from uhrqa.selection import behind_thumbnail

        thumbnail, tokens, room = room_behind_thumbnail(scene, budget, self.level)
        coarse = scene.relevance(thumbnail, source=self.relevance, layer=self.layer)
        scores = scene.relevance(tokens, thumbnail, source=self.relevance, layer=self.layer)
        _, tile = torch.unique(tiles_of(scene, tokens), return_inverse=True)
        sizes = torch.bincount(tile)
        seen = _at(coarse, thumbnail.centres(), tokens.centres())
        mean = torch.zeros(len(sizes)).index_add_(0, tile, seen) / sizes
        given = quotas(mean / mean.max().clamp_min(1e-12), sizes, room, self.temperature)
        order = scores.argsort(descending=True, stable=True)
        picks = torch.cat(
            [order[tile[order] == part][: int(given[part])] for part in range(len(sizes))]
        )
        picks = picks.sort().values
        return behind_thumbnail(thumbnail, tokens.take(picks), scores[picks])


def _at(scores: Tensor, places: Tensor, wanted: Tensor) -> Tensor:
    """`[N]` the score of the nearest of `[M, 2]` places for each of `[N, 2]`."""
    import torch

    nearest = [torch.cdist(part, places).argmin(1) for part in torch.split(wanted, 4096)]
    return scores[torch.cat(nearest)]
