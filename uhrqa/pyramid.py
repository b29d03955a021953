"""Levels and tiles of an image pyramid, as geometry alone.

Level 0 is the thumbnail, level 1 the coarsest tiled level, level P the finest. This module reads no
pixel and knows no model: it takes sizes and gives grids and boxes.

Source: Luo et al. 2025 (LRS-VQA), Eq. 2-3; released settings where the text is silent. Differences
are listed in docs/deviations.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from uhrqa.geometry import Box, Size

GROW_LIMIT = 2.0  # a view never has more than twice the source's pixels a side
SLACK = 0.1  # tiles a level may exceed a whole number by and still shrink to it


@dataclass(frozen=True, slots=True)
class Tile:
    """One B x B crop of a level, by its place in the grid."""

    row: int
    col: int


@dataclass(frozen=True, slots=True)
class Level:
    """The source image resized to `size`, cut into a grid of square tiles.

    Content sits in the top-left corner; what is left of the last row and column of tiles is
    padding.

    Attributes:
        index: 0 for the thumbnail, 1 for the coarsest tiled level, and so on.
        source: size of the source image, or of the padded square it is put into.
        size: size of the resized content, without padding.
        tile: side B of a tile, in pixels.
        is_view: its longer side was asked for; else halving the source led to it.
        origin: (x, y) of the level's corner in source pixels; negative where it is padded there.
    """

    index: int
    source: Size
    size: Size
    tile: int
    is_view: bool = False
    origin: tuple[int, int] = (0, 0)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles (Eq. 2)."""
        return self.cells(self.tile)

    @property
    def tile_count(self) -> int:
        """Number of tiles."""
        rows, cols = self.grid
        return rows * cols

    @property
    def scale(self) -> tuple[float, float]:
        """Level pixels per source pixel, along y and x."""
        return self.size.h / self.source.h, self.size.w / self.source.w

    def cells(self, cell: Fraction | int) -> tuple[int, int]:
        """Rows and columns of a `cell`-pixel grid over the content, padding left out."""
        return math.ceil(self.size.h / cell), math.ceil(self.size.w / cell)

    def tiles(self) -> Iterator[Tile]:
        """All tiles in raster order."""
        rows, cols = self.grid
        return (Tile(row, col) for row in range(rows) for col in range(cols))

    def box(self, tile: Tile) -> Box:
        """The part of the source a tile covers, padding included: it may pass the source's edge."""
        return self.cell_box(tile.row, tile.col, self.tile)

    def cell_box(self, row: int, col: int, cell: float) -> Box:
        """The part of the source that one cell of a `cell`-pixel grid over this level covers."""
        (sy, sx), (x, y) = self.scale, self.origin
        x0, x1 = col * cell / sx, (col + 1) * cell / sx
        y0, y1 = row * cell / sy, (row + 1) * cell / sy
        return Box(x + x0, y + y0, x + x1, y + y1)

    def tiles_in(self, box: Box) -> set[Tile]:
        """Tiles that a source box touches with positive area."""
        sy, sx = self.scale
        rows, cols = self.grid
        (x, y), (x0, y0, x1, y1) = self.origin, box
        own = Box(x0 - x, y0 - y, x1 - x, y1 - y).intersect(Box.whole(self.source))
        inside = own.scale(sx / self.tile, sy / self.tile)
        if inside.is_empty:
            return set()
        tiny = 1e-6  # keeps an edge that rounding puts a hair past a tile out of that tile
        row_range = range(int(inside.y0 + tiny), min(rows, math.ceil(inside.y1 - tiny)))
        col_range = range(int(inside.x0 + tiny), min(cols, math.ceil(inside.x1 - tiny)))
        return {Tile(row, col) for row in row_range for col in col_range}


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Levels from the thumbnail (0) to the finest (P)."""

    levels: tuple[Level, ...]

    def __iter__(self) -> Iterator[Level]:
        return iter(self.levels)

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> Level:
        return self.levels[index]

    @property
    def thumbnail(self) -> Level:
        """Level 0."""
        return self.levels[0]

    @property
    def finest(self) -> Level:
        """Level P."""
        return self.levels[-1]

    @classmethod
    def build(cls, source: Size, tile: int, min_side: int, *, stretch: bool = False) -> Pyramid:
        """The dynamic image pyramid of LRS-VQA.

        The source is halved until its longer side is as near `min_side` as halving brings it (as a
        ratio). Each level is then resized until one side fills its tiles (Eq. 3).

        Args:
            source: size of the source image.
            tile: side B of a tile in pixels (336 for CLIP-L/14).
            min_side: longer side of level 1 in pixels (1008 in the paper, three tiles).
            stretch: the thumbnail fills its tile, as LLaVA-NeXT was trained, instead of keeping
                the image's shape, as LRS-VQA was.

        Source: Luo et al. 2025, Eq. 2-3. The text halves until the shorter side reaches the
        minimum; the released code uses the longer side, which bounds level 1 for any shape, and
        adds a level of exactly `min_side` that may lie within 1 % of the next.
        """
        halvings = max(0, round(math.log2(max(source) / min_side)))
        scales = [0.5**step for step in range(halvings + 1)]
        levels = [thumbnail(source, tile, stretch=stretch)]
        for scale in reversed(scales):
            slack = SLACK if scale < 1 else 0.0  # the finest level keeps the source's resolution
            size = fill_tiles(_resized(source, scale), source, tile, slack)
            levels.append(Level(len(levels), source, size, tile))
        return cls(tuple(levels))

    @classmethod
    def views(cls, source: Size, tile: int, sides: Sequence[int]) -> Pyramid:
        """The multi-scale views of UHR-BAT: the source at fixed longer sides.

        Views beyond twice the source's resolution are left out, except the first: they would hold
        no detail the one before lacks.

        Args:
            source: size of the source image.
            tile: side B of a tile in pixels.
            sides: longer sides in pixels, ascending (672, 1344, 2688, 4032 in the paper).

        Source: Dang et al. 2026, Sec. 3.3. The released code pads the image to a square first; we
        keep its shape and spend no token on padding.
        """
        longer = max(source)
        levels = [thumbnail(source, tile)]
        for side in sorted(sides):
            if side > GROW_LIMIT * longer and len(levels) > 1:
                break
            size = _resized(source, side / longer)
            levels.append(Level(len(levels), source, size, tile, is_view=True))
        return cls(tuple(levels))

    @classmethod
    def native_views(cls, source: Size, tile: int, first: int) -> Pyramid:
        """The source at its own resolution, halved down to about a given longer side.

        Args:
            source: size of the source image.
            tile: side B of a tile in pixels.
            first: longer side that the coarsest view is as near as halving brings it (as a ratio).
        """
        halvings = max(0, round(math.log2(max(source) / first)))
        sizes = [_resized(source, 0.5**step) for step in range(halvings, -1, -1)]
        views = [Level(i, source, size, tile, True) for i, size in enumerate(sizes, start=1)]
        return cls((thumbnail(source, tile), *views))

    @classmethod
    def squares(cls, source: Size, tile: int, sides: Sequence[int]) -> Pyramid:
        """Views as the released UHR-BAT makes them: padded to a centred square, all sides always.

        Args:
            source: size of the source image.
            tile: side B of a tile in pixels.
            sides: of the squares in pixels.
        """
        longer = max(source)
        frame = Size(longer, longer)
        corner = (-((longer - source.w) // 2), -((longer - source.h) // 2))
        views = [
            Level(i, frame, Size(side, side), tile, True, corner)
            for i, side in enumerate(sorted(sides), start=1)
        ]
        return cls((thumbnail(source, tile), *views))


def thumbnail(source: Size, tile: int, *, stretch: bool = False) -> Level:
    """Level 0: the whole image in one tile, stretched to fill it or with its shape kept."""
    size = Size(tile, tile) if stretch else _resized(source, tile / max(source))
    return Level(0, source, size, tile)


def fill_tiles(size: Size, source: Size, tile: int, slack: float = 0.0) -> Size:
    """Grow a level until one of its sides is a whole number of tiles.

    Rounding never adds a thin row or column of tiles, as the released code's does (1009 x 1007);
    a level up to `slack` tiles above a whole number shrinks (1024 px: 3 tiles of 336, not 4).

    Source: Luo et al. 2025, Eq. 3.
    """
    rows, cols = (max(1, math.ceil(side / tile - slack)) for side in size)
    factor = min(rows * tile / source.h, cols * tile / source.w)
    grown = _resized(source, factor)
    return Size(min(grown.h, rows * tile), min(grown.w, cols * tile))


def _resized(source: Size, scale: float) -> Size:
    return Size(max(1, round(source.h * scale)), max(1, round(source.w * scale)))
