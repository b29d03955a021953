"""RFM-DIP: coarse-to-fine zoom through the dynamic image pyramid, guided by relevance.

Source: Luo et al. 2025 (LRS-VQA), Algorithm 1. Differences are listed in docs/deviations.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.strategies.options import (
    LAYER_DOC,
    NEWLINES_DOC,
    RELEVANCE,
    RELEVANCE_DOC,
    check_choice,
    check_count,
    check_share,
    option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.budget import Budget
    from uhrqa.pyramid import Level, Tile
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens


@dataclass(frozen=True)
class RfmDip:
    """Zooms from the thumbnail and level 1 into the tiles the question attends to (LRS-VQA)."""

    keep_ratio: float = option(0.25, "α: share of the last level's tokens that is kept")
    zoom_ratio: float = option(0.25, "λ: share of a level's tokens that point to finer tiles")
    mass: float = option(
        1.0, "tokens are taken only until they hold this share of the relevance; 1 takes all of "
        "the best α or λ, as in the paper"
    )  # fmt: skip
    max_tiles: int = option(40, "N_max: tiles encoded at each level from 2 on")
    overflow: str = option(
        "best", "when more than N_max tiles are hit: 'best' zooms into the most relevant, 'stop' "
        "answers from this level as in the paper"
    )  # fmt: skip
    relevance: str = option("auto", RELEVANCE_DOC)
    layer: int | None = option(None, LAYER_DOC)
    newlines: bool = option(True, NEWLINES_DOC)
    compat: str = option(
        "paper", "'released' follows the published LRS-VQA code step by step, with keep_ratio for "
        "both shares; the other options do nothing then"
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_share("keep_ratio", self.keep_ratio)
        check_share("zoom_ratio", self.zoom_ratio)
        check_share("mass", self.mass)
        check_count("max_tiles", self.max_tiles)
        check_choice("overflow", self.overflow, ("best", "stop"))
        check_choice("relevance", self.relevance, RELEVANCE)
        check_choice("compat", self.compat, ("paper", "released"))

    def costliest(self) -> RfmDip:
        """The variant a plan is made with: it never stops early, however attention is spread."""
        return replace(self, overflow="best", mass=1.0)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`. Line numbers are those of Algorithm 1."""
        from uhrqa.selection import behind_thumbnail, require
        from uhrqa.tokens import end_rows, fit_rows

        if self.compat == "released":
            from uhrqa.strategies.rfm_dip_released import select_as_released

            return select_as_released(scene, budget, self.keep_ratio)
        spent = scene.token_count(scene.pyramid.thumbnail)
        newline = scene.newline if self.newlines else None
        least = spent + 1 + (newline is not None)
        require(least, budget, f"the thumbnail ({spent}) and one token")
        scene.require_tiles(scene.pyramid.levels[:2])
        thumbnail = scene.tokens(scene.pyramid.thumbnail)
        trail = self.zoom_in(scene, thumbnail)
        tokens, scores = trail.sights[-1]
        order = most_relevant(scores, self.keep_ratio, self.mass)
        kept = fit_rows(tokens, order, budget.tokens - len(thumbnail), newline)
        ended = end_rows(tokens.take(kept), newline)
        limits = (*self._shares_that_cut(len(order), len(scores)), *trail.limits)
        return replace(
            behind_thumbnail(thumbnail, ended, score_ended(ended, scores[kept])),
            steps=trail.steps,
            limits=limits if len(kept) == len(order) else (),
        )

    def zoom_in(self, scene: Scene, thumbnail: VisualTokens) -> Trail:
        """Level 1, and as far down as relevance and the caps on tiles lead: lines 2-17."""
        pyramid = scene.pyramid
        steps: list[str] = []
        limits: tuple[str, ...] = ()
        tokens = scene.tokens(pyramid[1])
        sights: list[tuple[VisualTokens, Tensor]] = []
        for level in pyramid.levels[1:]:  # line 2
            scores = scene.relevance(tokens, thumbnail, source=self.relevance, layer=self.layer)
            sights.append((tokens, scores))
            if level is pyramid.finest:
                break  # lines 15-17
            finer = pyramid[level.index + 1]
            zoom = self._zoom(scene, tokens, scores, finer)  # lines 5-8
            limits = zoom.limits
            steps.append(f"level {level.index}: {len(tokens)} tokens, {zoom.note}")
            if not zoom.tiles:
                break  # lines 9-10
            found = scene.tokens(finer, zoom.tiles)  # lines 12-13
            if not len(found):  # a coarse token may reach into tiles that are no-data
                steps.append(f"level {finer.index}: no image in these tiles")
                break
            tokens = found
        steps.append(f"level {int(tokens.level[0])}: {len(tokens)} tokens, answers from here")
        return Trail(tuple(sights), tuple(steps), limits)

    def _zoom(self, scene: Scene, tokens: VisualTokens, scores: Tensor, finer: Level) -> _Zoom:
        """Tiles of the next level that the most relevant tokens lie in; none means stop."""
        key = most_relevant(scores, self.zoom_ratio, self.mass)
        ranked = rank_tiles(tokens.take(key), scores[key], finer)
        hit, left = f"{len(ranked)} tiles hit", scene.tiles_left
        room = self.max_tiles if left is None else min(left, self.max_tiles)
        limits = ("max_tiles",) if room == self.max_tiles else ()
        if room < 1:
            return _Zoom([], "no tiles left under --max-tiles")
        if len(ranked) <= room:
            return _Zoom(ranked, hit)
        if self.overflow == "stop":
            return _Zoom([], f"{hit}, more than {room}", limits)
        return _Zoom(ranked[:room], f"{hit}, the best {room} taken", limits)

    def _shares_that_cut(self, count: int, whole: int) -> tuple[str, ...]:
        """The option that let just `count` of `whole` tokens be the most relevant, if any did."""
        if count == whole:
            return ()
        return ("mass",) if count < max(1, int(whole * self.keep_ratio)) else ("keep_ratio",)


@dataclass(frozen=True)
class Trail:
    """What was seen on the way down.

    Attributes:
        sights: of every level from 1 on, the tokens that were looked at and their relevance.
        steps: a line each, for people.
        limits: options that allowed no more tiles at the last level.
    """

    sights: tuple[tuple[VisualTokens, Tensor], ...]
    steps: tuple[str, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True)
class _Zoom:
    """Where to look next.

    Attributes:
        tiles: of the next level, the most relevant first.
        note: why these, for people.
        limits: options that allow no more of them.
    """

    tiles: list[Tile]
    note: str
    limits: tuple[str, ...] = ()


def score_ended(ended: VisualTokens, scores: Tensor) -> Tensor:
    """Scores of tokens among which separators stand, which have none."""
    import torch

    scored = torch.full((len(ended),), torch.nan)
    scored[~ended.is_separator] = scores
    return scored


def rank_tiles(tokens: VisualTokens, scores: Tensor, level: Level) -> list[Tile]:
    """Tiles that the tokens' boxes touch, the most relevant first.

    A token's score is shared among the tiles it touches by the area it has in each; a tile's rank
    is the sum. Boxes are source pixels, so newlines and padding cannot shift the mapping.

    Source: Luo et al. 2025, Algorithm 1, line 7.
    """
    from collections import defaultdict

    from uhrqa.geometry import Box

    mass: dict[Tile, float] = defaultdict(float)
    for corners, score in zip(tokens.box.tolist(), scores.tolist(), strict=True):
        box = Box(*corners)
        for tile in level.tiles_in(box):
            shared = level.box(tile).intersect(box)
            mass[tile] += score * shared.w * shared.h / (box.w * box.h)
    return sorted(mass, key=lambda tile: (-mass[tile], tile.row, tile.col))


def most_relevant(scores: Tensor, ratio: float, mass: float) -> Tensor:
    """Indices of the best `ratio` of the tokens, cut where they hold `mass` of all relevance.

    Args:
        scores: `[N]`, sum to 1.
        ratio: share of N.
        mass: share of the sum.

    Returns:
        At least one index, the most relevant first; ties by index.
    """
    order = scores.argsort(descending=True, stable=True)[: max(1, int(len(scores) * ratio))]
    if mass >= 1:
        return order
    held = scores[order].double().cumsum(0)
    return order[: 1 + int((held < mass).sum())]
