"""The cap on tiles that one question may use."""

from __future__ import annotations

from collections.abc import Iterable

from uhrqa.errors import BudgetError
from uhrqa.pyramid import Level, Tile


class TileCap:
    """Counts the tiles a question uses and refuses more than it may.

    Args:
        most: tiles; None where there is no cap.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._used: set[tuple[Level, Tile]] = set()

    @property
    def left(self) -> int | None:
        """Tiles that may still be used; None when there is no cap."""
        return None if self.most is None else self.most - len(self._used)

    def fresh(self, level: Level, tiles: Iterable[Tile]) -> set[Tile]:
        """Those of some tiles that were not used before."""
        return {tile for tile in tiles if (level, tile) not in self._used}

    def use(self, level: Level, tiles: Iterable[Tile]) -> set[Tile]:
        """Note tiles as used; those that were not before."""
        fresh = self.fresh(level, tiles)
        self._used.update((level, tile) for tile in fresh)
        return fresh

    def require(self, levels: Iterable[Level], instead: str) -> None:
        """Refuse whole levels that are more than the cap.

        Args:
            levels: all of whose tiles are needed.
            instead: what else could be done about it.

        Raises:
            BudgetError: names the least feasible cap.
        """
        needed = sum(level.tile_count for level in levels)
        if self.most is not None and needed > self.most:
            raise BudgetError(
                f"--max-tiles {self.most}: this strategy needs at least {needed} tiles here; "
                f"allow {needed}, {instead}",
                least=needed,
            )

    def check(self, level: Level, tiles: Iterable[Tile]) -> None:
        """Refuse tiles of a level that are more than what is left.

        Raises:
            BudgetError: names the least feasible cap.
        """
        fresh = len(self.fresh(level, tiles))
        if self.left is not None and fresh > self.left:
            needed = len(self._used) + fresh
            raise BudgetError(
                f"--max-tiles {self.most}: level {level.index} needs {fresh} tiles more, "
                f"{needed} in all; allow at least {needed}, or use -s thumbnail (1 tile)",
                least=needed,
            )
