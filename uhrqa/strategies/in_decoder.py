"""Rules that drop visual tokens inside the decoder, between two of its layers.

More tokens enter than the budget allows, and fewer reach the end: the mean over layers is what
counts, as in their papers. Written from these; differences are listed in docs/deviations.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uhrqa.strategies.one_level import LEVEL_DOC, even_tokens, level_of
from uhrqa.strategies.options import check_count, check_share, option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from uhrqa.budget import Budget
    from uhrqa.drops import Drop
    from uhrqa.scene import Scene
    from uhrqa.selection import Selection

KEEP_DOC = "share of the visual tokens that stay after each drop"


@dataclass(frozen=True)
class FastV:
    """Thumbnail and an even grid of one level, of which the decoder soon drops a part (FastV)."""

    level: int = option(1, LEVEL_DOC)
    layer: int = option(2, "decoder layers that see all of them, K; the last one's attention ranks")
    keep_ratio: float = option(0.5, KEEP_DOC)

    def __post_init__(self) -> None:
        check_count("layer", self.layer)
        check_share("keep_ratio", self.keep_ratio)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.errors import ConfigError

        deepest = scene.decoder_layers - 1
        if self.layer > deepest:
            raise ConfigError(f"layer={self.layer}: give 1 to {deepest}, of this model's decoder")
        return _dropping(scene, budget, self.level, (self.layer,), self.keep_ratio)


@dataclass(frozen=True)
class PyramidDrop:
    """Thumbnail and an even grid of one level, thinned out stage by stage (PyramidDrop)."""

    level: int = option(1, LEVEL_DOC)
    stages: int = option(4, "equal parts of the decoder; a drop stands between each two")
    keep_ratio: float = option(0.5, KEEP_DOC)

    def __post_init__(self) -> None:
        check_count("stages", self.stages)
        check_share("keep_ratio", self.keep_ratio)

    def select(self, scene: Scene, budget: Budget) -> Selection:
        """See `Strategy.select`."""
        from uhrqa.errors import ConfigError

        layers = scene.decoder_layers
        if self.stages > layers:
            raise ConfigError(f"stages={self.stages}: this model's decoder has {layers} layers")
        at = tuple(layers * part // self.stages for part in range(1, self.stages))
        return _dropping(scene, budget, self.level, at, self.keep_ratio)


def drops_of(tokens: int, at: Sequence[int], keep_ratio: float) -> tuple[Drop, ...]:
    """Drops that each leave a share of what is there, one token at least.

    Args:
        tokens: visual tokens that enter.
        at: decoder layers, ascending.
        keep_ratio: that share.
    """
    from uhrqa.drops import Drop

    found: list[Drop] = []
    for layer in at:
        tokens = max(1, int(tokens * keep_ratio + 1e-9))
        found.append(Drop(layer, tokens))
    return tuple(found)


def _dropping(
    scene: Scene, budget: Budget, index: int, at: Sequence[int], keep_ratio: float
) -> Selection:
    """As many tokens as the budget carries, averaged over layers, and the drops among them."""
    from uhrqa.drops import load
    from uhrqa.selection import TooFewTokensError, behind_thumbnail, require

    def mean(tokens: int) -> int:
        return load(tokens, drops_of(tokens, at, keep_ratio), scene.decoder_layers)

    level = level_of(scene, index)
    thumbnail = scene.pyramid.thumbnail
    spent = scene.token_count(thumbnail)
    what = f"the thumbnail ({spent}) and one token"
    require(mean(spent + 1), budget, f"{what}, on average over layers,")
    whole = spent + scene.token_count(level)
    most = whole if budget.entering is None else min(whole, budget.entering)
    if most < spent + 1:
        raise TooFewTokensError(budget, spent + 1, what, "use a model with a longer context")
    scene.require_tiles((thumbnail, level))
    entering = _largest(spent + 1, most, lambda tokens: mean(tokens) <= budget.tokens)
    first, tokens = scene.tokens(thumbnail), scene.tokens(level)  # without what shows no image
    selection = behind_thumbnail(first, tokens.take(even_tokens(tokens, entering - len(first))))
    drops = drops_of(len(selection.tokens), at, keep_ratio)
    limits: tuple[str, ...] = ()  # where the budget decided
    if entering == most:
        limits = ("level", "keep_ratio") if entering == whole else ("keep_ratio",)
    return replace(selection, drops=drops, limits=limits)


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number from `low`, which fits, to `high` that does; all below it do, too."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
