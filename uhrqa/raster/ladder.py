"""The resolutions of one image, stored and made, with their scales: which of them serves a read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uhrqa.geometry import Box, Size
from uhrqa.raster.blocks import StoredLevel
from uhrqa.raster.made_levels import MadeLevels
from uhrqa.raster.resample import Span, span
from uhrqa.raster.serving import level_for

WHOLE = 0.9  # share of the image in a read that is one of all of it


@dataclass(frozen=True, slots=True)
class Scaled:
    """A level with its pixels per source pixel, along y and x."""

    level: StoredLevel
    sy: float
    sx: float


class Ladder:
    """Levels from the finest down, and coarser ones that are made of the last.

    Args:
        levels: stored, finest first.
        made: of the last one.
        scales: pixels of each stored level for one of the image, along y and x; None: sizes tell.
    """

    def __init__(
        self,
        levels: Sequence[StoredLevel],
        made: MadeLevels,
        scales: Sequence[tuple[float, float]] | None,
    ) -> None:
        self.size = levels[0].size
        self.made = made
        h, w = self.size
        scales = scales or [(level.size.h / h, level.size.w / w) for level in levels]
        self.stored = [Scaled(lv, *scale) for lv, scale in zip(levels, scales, strict=True)]

    def serving(self, box: Box, out: Size) -> tuple[Scaled, int | None]:
        """Which level serves a read.

        Returns:
            The coarsest stored one, and the index of a made one that is coarser still, if any.
        """
        (h, w), stored = self.size, len(self.stored)
        last = self.stored[-1].level.size
        made = [(last.h / factor, last.w / factor) for factor in self.made.factors]
        shown = box.intersect(Box.whole(self.size))
        number = level_for(
            [*(scaled.level.size for scaled in self.stored), *made],
            (h * out.h / box.h, w * out.w / box.w),
            whole=shown.w * shown.h >= WHOLE * self.size.area,
        )
        return self.stored[min(number, stored - 1)], number - stored if number >= stored else None

    def made_level(self, index: int, warn: Callable[[], None] = lambda: None) -> Scaled:
        """A made level; `warn` is called where the image has to be read for it."""
        last, factor = self.stored[-1], self.made.factors[index]
        return Scaled(self.made.get(index, warn), last.sy / factor, last.sx / factor)

    def spans(self, source: Scaled, box: Box, out: Size) -> tuple[Span, Span]:
        """What of a level's rows and columns serves a read."""
        h, w = source.level.size
        rows = span((box.y0, box.y1), self.size.h, out.h, (h, source.sy))
        cols = span((box.x0, box.x1), self.size.w, out.w, (w, source.sx))
        return rows, cols
