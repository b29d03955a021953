"""What a copy of an image holds: its samples as they are stored, with their meaning.

Palettes, CMYK, uncompressed YCbCr and samples of less than 8 bits have no mean that could be
stored, so they are copied as the colours they show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Size
from uhrqa.raster.blocks import BlockLevel, StoredLevel, Window, read_once
from uhrqa.raster.ground import Ground, ground_of, usable
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.painter import Mask, Painter
from uhrqa.raster.reduce import half
from uhrqa.raster.sample_halving import SampleHalving
from uhrqa.raster.samples import CONVERTED, FLOATS, GREY, RGB, Samples

Values = NDArray[Any]
TILE = 512  # px
BAND_SAMPLES = 2**23  # read at once


@dataclass(frozen=True)
class Copy:
    """An image that will be written.

    Attributes:
        sizes: of its levels, finest first, down to one tile.
        dtype: of a sample.
        bits: of a sample that the image used; 12 for values to 4095 in uint16.
        count: samples of a pixel, without the mask.
        colour: see `samples`; grey where bands are shown as colours but nothing names them so.
        shown: indices of the samples that make the colour.
        alpha: index of the one that is 0 where there is no image.
        premultiplied: colours are multiplied by it.
        nodata: value that says so.
        masked: whether a mask comes as a last plane, 0 or 1.
        ground: where it lies.
        band: rows that are cheap to read together.
        read: `[h, w, count (+ 1)]` of a window.
        halving: what halves that.
        holes: tells how many blocks so far could not be decoded and are no image.
    """

    sizes: tuple[Size, ...]
    dtype: np.dtype[Any]
    bits: int
    count: int
    colour: str
    shown: tuple[int, ...]
    alpha: int | None
    premultiplied: bool
    nodata: float | None
    masked: bool
    ground: Ground | None
    band: int
    read: Callable[[Window], Values]
    halving: SampleHalving
    holes: Callable[[], int]

    def bands(self, told: Callable[[int], None]) -> Iterator[Values]:
        """All rows from top to bottom; `told` how many they were after each band."""
        h, w = self.sizes[0]
        rows = self.band * max(1, BAND_SAMPLES // (w * self.count * self.band))
        for top in range(0, h, rows):
            bottom = min(h, top + rows)
            yield self.read(Window(top, bottom, 0, w))
            told(bottom - top)


def is_painted(samples: Samples) -> bool:
    """Whether colours are copied in the place of samples."""
    return samples.colour in CONVERTED or samples.bits < 8


def copy_of(raster: LevelRaster, shown: tuple[int, ...]) -> Copy:
    """What a copy of a raster holds.

    Args:
        raster: read with `all_bands`, or of colours alone.
        shown: the samples that the file says are its colour.
    """
    painter, ground = raster.painter, usable(ground_of(raster), raster.size)
    place = ground if isinstance(ground, Ground) else None
    band, size = raster.finest.band, raster.size
    if painter is None or is_painted(painter.samples):
        count = raster.finest.channels
        rgb = count >= 3
        return Copy(
            sizes=level_sizes(size), dtype=np.dtype(np.uint8), bits=8, count=count,
            colour=RGB if rgb else GREY, shown=(0, 1, 2) if rgb else (0,),
            alpha=3 if count == 4 else None, premultiplied=False, nodata=None, masked=False,
            ground=place, band=band, read=partial(read_once, raster.finest),
            halving=SampleHalving(None, (), False, np.zeros(count, np.uint8)),
            holes=lambda: int(raster.shown().get("masked_tiles", 0)),
        )  # fmt: skip
    samples, shown = _alpha_behind(painter.samples, shown)
    order = tuple(int(place) for place in np.argsort(np.argsort(samples.indices)))
    back = [int(place) for place in np.argsort(samples.indices)]

    holes: set[Window] = set()

    def read(window: Window) -> Values:
        values, valid = _stored(painter, raster.finest, window, holes)
        values = values[..., back]
        if not samples.masked:
            return values
        mask = np.ones(window.size, bool) if valid is None else valid
        return np.concatenate([values, mask[..., None].astype(values.dtype)], axis=2)

    return Copy(
        sizes=level_sizes(size), dtype=samples.dtype, bits=samples.bits, count=samples.count,
        colour=GREY if samples.guessed else samples.colour, shown=shown, alpha=samples.alpha,
        premultiplied=samples.premultiplied, nodata=samples.nodata,
        masked=samples.masked, ground=place, band=band, read=read,
        halving=SampleHalving(painter, order, samples.masked, _fill(samples, painter.nodata)),
        holes=lambda: len(holes),
    )  # fmt: skip


def _alpha_behind(samples: Samples, shown: tuple[int, ...]) -> tuple[Samples, tuple[int, ...]]:
    """Samples, all of them, with an alpha behind the others where TIFF has it lie behind colours.

    The painter decodes alpha last, so that no sample has to be moved.
    """
    others, alpha = samples.count - 1, samples.alpha
    if alpha is None or alpha >= (3 if others >= 3 else 1):
        return samples, shown
    moved = replace(samples, shown=tuple(range(others)), alpha=others)
    return moved, tuple(index - (index > alpha) for index in shown)


def _stored(
    painter: Painter, finest: StoredLevel, window: Window, holes: set[Window]
) -> tuple[Values, Mask | None]:
    """Samples of a window, and where they are image; blocks that may be holes are noted."""
    if (got := painter.stored(window)) is not None:
        return got
    samples = painter.samples
    values = np.zeros((*window.size, len(samples.indices)), samples.dtype)
    valid = np.zeros(window.size, bool)
    for part in finest.parts(window) if isinstance(finest, BlockLevel) else [window]:
        rows = slice(part.y0 - window.y0, part.y1 - window.y0)
        cols = slice(part.x0 - window.x0, part.x1 - window.x0)
        if (got := painter.stored(part)) is None:
            holes.add(part)
            continue
        values[rows, cols] = got[0]
        valid[rows, cols] = True if got[1] is None else got[1]
    return values, valid


def level_sizes(size: Size) -> tuple[Size, ...]:
    """Of an image and its halvings, down to one tile."""
    sizes = [size]
    while max(sizes[-1]) > TILE:
        sizes.append(half(sizes[-1]))
    return tuple(sizes)


def _fill(samples: Samples, nodata: Any) -> Values:  # noqa: ANN401 - a sample
    empty: Any = 0 if nodata is None else nodata
    if nodata is None and samples.dtype.name in FLOATS:
        empty = np.nan
    fill = np.full(samples.count, empty, samples.dtype)
    if samples.alpha is not None:
        fill[samples.alpha] = 0
    return fill
