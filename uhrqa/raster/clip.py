"""A raster of which only a region is seen: a window of whole pixels, masked outside its polygons.

What is asked about the region alone works on it as on an image of its own: its levels, tiles and
tokens are those of the window. Where the window lies in its source is kept beside it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import ClippedRegionWarning, ConfigError
from uhrqa.geometry import Box, Size
from uhrqa.raster import Pixels, Raster, expect, has_mask, overview_advice, requests_made, shown
from uhrqa.raster.blocks import Window
from uhrqa.raster.derived_levels import Touched
from uhrqa.raster.foreseen import decoder_of, held_bytes, touched
from uhrqa.raster.ground import Ground, NoGround, ground_of
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.roi import Polygon, bounds, inside, pixel_polygons, place_of, read_roi
from uhrqa.reading import Reading

TINY = 1e-4  # pixels: less than the error of a projection there and back


def clip(raster: Raster, region: str) -> ClippedRaster:
    """A raster seen through a region of interest.

    Args:
        raster: the image; closed with what is returned.
        region: as `uhrqa.raster.roi` reads it.

    Raises:
        ConfigError: the region is written wrongly, or lies outside the image.
        RasterError: it is in degrees, and where the image lies is not known.
    """
    asked = read_roi(region)
    polygons = [] if isinstance(asked, Box) else pixel_polygons(raster, asked, region)
    box = asked if isinstance(asked, Box) else bounds(polygons)
    whole = box.intersect(Box.whole(raster.size))
    if whole.is_empty:
        place = ",".join(str(round(edge, 1)) for edge in box)
        degrees = "" if isinstance(asked, Box) else place_of(raster, asked)
        raise ConfigError(
            f"region '{region}': lies outside the image: pixels {place} of {raster.size}{degrees}"
        )
    (y0, y1), (x0, x1) = _rounded(whole.y0, whole.y1), _rounded(whole.x0, whole.x1)
    window = Window(y0, y1, x0, x1)
    _tell_of_edges(f"{raster.path}: region '{region}'", box, window)
    corner = np.array([window.x0, window.y0], np.float64)
    moved = [[ring - corner for ring in polygon] for polygon in polygons]
    return ClippedRaster(raster, window, moved, region)


def _tell_of_edges(what: str, box: Box, window: Window) -> None:
    """Warn of a region that goes on beyond the image."""
    (top, bottom), (left, right) = _rounded(box.y0, box.y1), _rounded(box.x0, box.x1)
    if (top, bottom, left, right) != window:
        warnings.warn(
            f"{what}: clipped at the edge of the image to {window.size.w} x "
            f"{window.size.h} px, of {right - left} x {bottom - top}",
            ClippedRegionWarning,
            stacklevel=4,
        )


def _rounded(start: float, stop: float) -> tuple[int, int]:
    """Whole pixels around an interval; an edge that lies on one but for rounding takes no other."""
    first = math.floor(start + TINY)
    return first, max(first + 1, math.ceil(stop - TINY))


class ClippedRaster:
    """See `uhrqa.raster.Raster`; boxes are pixels of the window.

    Attributes:
        whole: the image the window is of.
        origin: (x, y) of the window's first pixel in it.
        roi: what the user wrote.
    """

    def __init__(self, raster: Raster, window: Window, polygons: list[Polygon], roi: str) -> None:
        self.whole = raster
        self.path = raster.path
        self.size = window.size
        self.origin = window.x0, window.y0
        self.roi = roi
        self._polygons = polygons
        self._source, self._shift = raster, self.origin
        # Of an image that stores one resolution, coarse views of the window come from it alone.
        if isinstance(raster, LevelRaster) and len(raster.levels) == 1:
            self._source, self._shift = raster.cropped(window), (0, 0)

    @property
    def levels(self) -> tuple[Size, ...]:
        """Stored resolutions as they would be of the window."""
        h, w = self.whole.size
        return tuple(
            Size(max(1, round(self.size.h * level.h / h)), max(1, round(self.size.w * level.w / w)))
            for level in self.whole.levels
        )

    @property
    def bytes_read(self) -> int:
        """Encoded bytes taken from storage so far."""
        return self.whole.bytes_read

    @property
    def requests(self) -> int:
        """See `uhrqa.raster.requests_made`."""
        return requests_made(self.whole)

    @property
    def overview_advice(self) -> str | None:
        """See `uhrqa.raster.overview_advice`."""
        return overview_advice(self._source)

    @property
    def decoder(self) -> str:
        """See `uhrqa.raster.foreseen.decoder_of`."""
        return decoder_of(self._source)

    @property
    def held_bytes(self) -> int:
        """See `uhrqa.raster.foreseen.held_bytes`."""
        return held_bytes(self._source)

    @property
    def has_mask(self) -> bool:
        """See `uhrqa.raster.has_mask`: outside a polygon there is no image."""
        return bool(self._polygons) or has_mask(self.whole)

    @property
    def reading(self) -> Reading:
        """Bands, contrast and limits that the image was opened with."""
        reading: Reading = getattr(self.whole, "reading", Reading())
        return reading

    def shown(self) -> dict[str, Any]:
        """See `uhrqa.raster.shown`: contrast is that of the whole image."""
        return shown(self.whole)

    @property
    def ground(self) -> Ground | NoGround:
        """Where the window lies."""
        ground, (x, y) = ground_of(self.whole), self.origin
        return ground.moved(x, y) if isinstance(ground, Ground) else ground

    def in_source(self, box: Box) -> Box:
        """A box of the window as one of the image it is of."""
        return box.moved(*self.origin)

    def read(self, box: Box, out: Size) -> Pixels:
        """The part of the window under `box`, masked outside it and its polygons."""
        array, mask = np.zeros((*out, 3), np.uint8), np.zeros(out, np.bool_)
        if part := self._part(box, out):
            rows, cols, shown, wanted = part
            found = self._source.read(shown, Size(*wanted.shape))
            mask[rows, cols] = found.mask & wanted
            array[rows, cols] = found.array * mask[rows, cols][:, :, None]
        return Pixels(array, mask, box)

    def expect(self, reads: Sequence[tuple[Box, Size]]) -> None:
        """See `uhrqa.raster.expect`."""
        parts = [part for box, out in reads if (part := self._part(box, out))]
        expect(self._source, [(shown, Size(*wanted.shape)) for _, _, shown, wanted in parts])

    def touched(self, reads: Sequence[tuple[Box, Size]]) -> Touched | None:
        """See `uhrqa.raster.foreseen.touched`."""
        parts = [part for box, out in reads if (part := self._part(box, out))]
        moved = [(shown, Size(*wanted.shape)) for _, _, shown, wanted in parts]
        return touched(self._source, moved)

    def close(self) -> None:
        """Release the file."""
        self.whole.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _part(self, box: Box, out: Size) -> tuple[slice, slice, Box, NDArray[np.bool_]] | None:
        """What of a read is in the region: its rows and columns, source box and wanted pixels."""
        edges = [[0.0, 0.0], [self.size.w, 0.0], [self.size.w, self.size.h], [0.0, self.size.h]]
        window = [[np.array([*edges, edges[0]])]]
        wanted = inside(window, box, out)
        if self._polygons:
            wanted &= inside(self._polygons, box, out)
        rows, cols = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
        if not len(rows):
            return None
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
        sx, sy = box.w / out.w, box.h / out.h
        shown = Box(box.x0 + x0 * sx, box.y0 + y0 * sy, box.x0 + x1 * sx, box.y0 + y1 * sy)
        wanted = wanted[y0:y1, x0:x1]
        return slice(y0, y1), slice(x0, x1), shown.moved(*self._shift), wanted
