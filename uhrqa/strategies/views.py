"""The views region-merge looks at, and how they share its budget.

Source: Dang et al. 2026 (UHR-BAT), Sec. 3.3 and appendix A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uhrqa.errors import ConfigError

if TYPE_CHECKING:
    from uhrqa.pyramid import Level
    from uhrqa.scene import Scene

Scales = tuple[int, ...] | str | None
Shares = tuple[int, ...] | str

SIDE_TILES = (2, 4, 8, 12)  # 672, 1344, 2688, 4032 px for 336 px tiles
SHARES = {
    "default": (80, 320, 600, 2000),
    "xlrs": (180, 1320, 1600, 8000),
    "mme": (80, 320, 1600, 4000),
    "rshr": (80, 320, 1600, 4000),
}  # budgets of the paper's appendix A, of 3000, 11100, 6000 and 6000 tokens
FEWER_VIEWS = "give fewer or smaller views (-o scales=...), or use -s thumbnail (1 tile)"
MOST_PIXELS = 100_000  # of a view's longer side: all its tiles are encoded


def check_scales(scales: Scales, shares: Shares) -> None:
    """Refuse views or shares that cannot be.

    Raises:
        ValueError: another word, no number, one out of range, or fewer shares than views.
    """
    if isinstance(shares, str):
        if shares not in SHARES:
            words = ", ".join(SHARES)
            raise ValueError(f"shares={shares}: give {words}, or whole numbers with commas")
        shares = SHARES[shares]
    if not shares or min(shares) < 1:
        raise ValueError(f"shares={shares}: give whole numbers above 0")
    if isinstance(scales, str) and scales != "native":
        raise ValueError(f"scales={scales}: give native, or whole numbers with commas")
    if scales is None or isinstance(scales, str):
        return
    if not scales or not all(1 <= side <= MOST_PIXELS for side in scales):
        raise ValueError(f"scales={scales}: give pixels from 1 to {MOST_PIXELS}, at least one")
    if len(scales) > len(shares):
        raise ValueError(
            f"scales={_listed(scales)}: {len(scales)} views but {len(shares)} shares; "
            "give a share for each"
        )


def shares_of(shares: Shares, views: int) -> tuple[int, ...]:
    """A share for each view; where there are more views, each has twice the one before it."""
    found = SHARES[shares] if isinstance(shares, str) else shares
    while len(found) < views:
        found = (*found, 2 * found[-1])
    return found[:views]


def sides_of(scene: Scene, scales: Scales, shares: Shares) -> tuple[int, ...]:
    """Longer sides in pixels, coarsest first: as given, or those the model learned a map for.

    Raises:
        ConfigError: the model learned maps for views, and not for all of these.
    """
    if isinstance(scales, tuple):
        sides = tuple(sorted(scales))
    else:
        usual = scene.views or tuple(tiles * scene.tile for tiles in SIDE_TILES)
        sides = usual[: len(SHARES[shares] if isinstance(shares, str) else shares)]
    if scene.views and (odd := [side for side in sides if side not in scene.views]):
        raise ConfigError(
            f"scales={_listed(sides)}: the model has no map for views of {_listed(odd)} px; "
            f"give some of {_listed(scene.views)}"
        )
    return sides


def views_of(scene: Scene, scales: Scales, shares: Shares) -> tuple[Level, ...]:
    """The views, coarsest first; none beyond twice the image's own resolution.

    Raises:
        ConfigError: the model learned maps for views, and not for all of these.
    """
    from uhrqa.pyramid import Pyramid

    if scales == "native":
        if scene.views:
            raise ConfigError(
                "scales=native: the model has a map for each of its views alone; "
                f"give some of {_listed(scene.views)}"
            )
        first = SIDE_TILES[0] * scene.tile
        return Pyramid.native_views(scene.size, scene.tile, first).levels[1:]
    return Pyramid.views(scene.size, scene.tile, sides_of(scene, scales, shares)).levels[1:]


def _listed(sides: tuple[int, ...] | list[int]) -> str:
    return ",".join(map(str, sides))
