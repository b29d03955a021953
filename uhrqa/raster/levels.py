"""A raster made of stored levels: how the one that serves a read becomes pixels.

Every format ends here. It gives its levels as `StoredLevel`s; choosing (`ladder.py`), resampling,
the mask and the bound on memory are the same for all.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import NoOverviewWarning
from uhrqa.geometry import Box, Size
from uhrqa.raster import Pixels
from uhrqa.raster.block_cache import CACHE_BYTES
from uhrqa.raster.blocks import BadTiles, Meter, StoredLevel, Window
from uhrqa.raster.derived_levels import CroppedLevel, Touched, expect_of
from uhrqa.raster.ground import Ground, NoGround
from uhrqa.raster.kept_levels import KeptLevels
from uhrqa.raster.ladder import Ladder
from uhrqa.raster.made_levels import MadeLevels
from uhrqa.raster.painter import Painter
from uhrqa.raster.resample import Span, resample, without_rim
from uhrqa.reading import Reading

Array = NDArray[np.uint8]
WINDOW_PIXELS = 2**24  # no read holds more source pixels than this at once


class LevelRaster:
    """An image stored at one or more resolutions; see `Raster` for what it offers.

    When even the coarsest stored level is large, coarse reads use levels that are made of it (see
    `made_levels`). Which level serves a read depends on the read alone, so the pixels do not depend
    on what was read before.

    Args:
        path: what the user gave.
        levels: finest first.
        meter: counts the bytes that `levels` read.
        close: releases the file.
        remedy: how to add overviews to such a file; None when no warning is due.
        ground: where the image lies on the Earth, or why that is not known.
        painter: what made colours of samples.
        bad: tiles that could not be decoded.
        reading: what was asked for.
        decoder: what decodes it: a format, and how, where there are two ways.
        part: which part of the file this shows, where made levels are kept.
        scales: pixels of each level for one of the image, along y and x, where the file says so:
            the last row and column may lie in part beyond the image, or stop before its edge; else
            they are told from the sizes.
        absent: tells how many files of the finest level are not there, of how many.
    """

    def __init__(  # noqa: PLR0913 - what a format does not have, it leaves out
        self,
        path: str,
        levels: Sequence[StoredLevel],
        *,
        meter: Meter | None = None,
        close: Callable[[], None] | None = None,
        remedy: str | None = None,
        ground: Ground | NoGround | None = None,
        painter: Painter | None = None,
        bad: BadTiles | None = None,
        reading: Reading | None = None,
        decoder: str = "",
        part: str = "",
        scales: Sequence[tuple[float, float]] | None = None,
        absent: Callable[[], tuple[int, int] | None] | None = None,
    ) -> None:
        self.path = path
        self.ground = ground or NoGround()
        self.size = levels[0].size
        self.levels = tuple(level.size for level in levels)
        self._meter = meter or Meter()
        self._close = close
        self._remedy = remedy
        self.decoder = decoder
        self._painter = painter
        self._bad = bad
        self.absent = absent
        self.reading = reading or Reading()
        self._made = MadeLevels(levels[-1], WINDOW_PIXELS, part)
        self._ladder = Ladder(levels, self._made, scales)
        self._closed = False
        self._far = any(getattr(level, "is_far", False) for level in levels)

    @property
    def bytes_read(self) -> int:
        """Encoded bytes taken from storage so far."""
        return self._meter.total

    @property
    def held_bytes(self) -> int:
        """Bytes of decoded pixels that stay in memory while the image is read, at most."""
        stored = [scaled.level for scaled in self._ladder.stored]
        whole = [getattr(level, "decoded_bytes", 0) for level in stored]
        decoded = sum(whole)
        blocks = sum(
            level.size.area * level.channels
            for level, taken in zip(stored, whole, strict=True)
            if not taken
        )
        return decoded + min(blocks, CACHE_BYTES) + self._made.held_bytes

    @property
    def painter(self) -> Painter | None:
        """What makes colours of samples; None where there are colours alone."""
        return self._painter

    @property
    def finest(self) -> StoredLevel:
        """The full resolution, as colours."""
        return self._ladder.stored[0].level

    @property
    def has_mask(self) -> bool:
        """See `uhrqa.raster.has_mask`."""
        return any(scaled.level.channels == 4 for scaled in self._ladder.stored)

    @property
    def requests(self) -> int:
        """See `uhrqa.raster.requests_made`."""
        return self._meter.requests

    @property
    def overview_advice(self) -> str | None:
        """See `uhrqa.raster.overview_advice`."""
        if self._remedy is None or not self._made.sizes:
            return None
        below = f" below {self.levels[-1]}" if len(self.levels) > 1 else ""
        return (
            f"{self.path}: no overview{below} is stored; a question reads all of it once for the "
            f"coarse views; {self._remedy}"
        )

    def shown(self) -> dict[str, Any]:
        """See `uhrqa.raster.shown`."""
        if self._painter is None:
            return {}
        masked = self._bad.count if self._bad is not None else 0
        return {**self._painter.describe(), "masked_tiles": masked}

    def read(self, box: Box, out: Size) -> Pixels:
        """The part of the image under `box`, resampled to `out`. See `Raster.read`."""
        level, rows, cols = self._located(box, out)
        samples = _sampled(level, rows, cols) if rows.count and cols.count else None
        if samples is not None and samples.shape == (*out, 3) and samples.flags.owndata:
            return Pixels(samples, np.ones(out, np.bool_), box)
        array, mask = np.zeros((*out, 3), np.uint8), np.zeros(out, np.bool_)
        if samples is not None:
            place = slice(*rows.out), slice(*cols.out)
            if samples.shape[2] == 4:
                array[place], mask[place] = without_rim(samples)
            else:
                array[place], mask[place] = samples, True
        return Pixels(array, mask, box)

    def expect(self, reads: Sequence[tuple[Box, Size]]) -> None:
        """See `uhrqa.raster.expect`."""
        if not self._far:
            return
        windows: dict[StoredLevel, list[Window]] = {}
        for box, out in reads:
            level, rows, cols = self._located(box, out)
            if rows.count and cols.count:
                windows.setdefault(level, []).append(Window(*rows.inside, *cols.inside))
        for level, wanted in windows.items():
            expect_of(level, wanted)

    def touched(self, reads: Sequence[tuple[Box, Size]]) -> Touched:
        """See `uhrqa.raster.foreseen.touched`."""
        windows: dict[StoredLevel, list[Window]] = {}
        passed: StoredLevel | None = None
        for box, out in reads:
            source, made = self._ladder.serving(box, out)
            if made is not None and self._made.needs_pass(made):
                source, box = self._ladder.stored[-1], Box.whole(self.size)
                passed = source.level
            elif made is not None:
                source = self._ladder.made_level(made)
            rows, cols = self._ladder.spans(source, box, out)
            if rows.count and cols.count:
                window = Window(*rows.inside, *cols.inside)
                windows.setdefault(source.level, []).append(window)
        return windows, passed

    def _located(self, box: Box, out: Size) -> tuple[StoredLevel, Span, Span]:
        """The level that serves a read, and what of its rows and columns."""
        if self._closed:
            raise ValueError(f"{self.path}: read after it was closed")
        if min(out) < 1 or box.is_empty or not all(map(math.isfinite, box)):
            raise ValueError(f"cannot read {box} as {out}: both must have an area")
        source, made = self._ladder.serving(box, out)
        if made is not None:
            source = self._ladder.made_level(made, self._warn)
        return source.level, *self._ladder.spans(source, box, out)

    def keep_levels(self, kept: KeptLevels) -> None:
        """Say where made levels outlive this process; of its windows, too."""
        self._made.kept = kept

    def cropped(self, window: Window) -> LevelRaster:
        """A window of the finest level as an image of its own; closing it closes nothing."""
        level = CroppedLevel(self._ladder.stored[0].level, window)
        cut = LevelRaster(
            self.path,
            [level],
            meter=self._meter,
            remedy=self._remedy,
            reading=self.reading,
            decoder=self.decoder,
            part=repr(tuple(window)),
        )
        cut._made.kept = self._made.kept
        return cut

    def close(self) -> None:
        """Release the file; again does nothing."""
        if self._close is not None and not self._closed:
            self._close()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _warn(self) -> None:
        if self.overview_advice:
            warnings.warn(self.overview_advice, NoOverviewWarning, stacklevel=6)


def _sampled(level: StoredLevel, rows: Span, cols: Span) -> Array:
    """Read and resample; in bands of output rows when the window would be too large."""
    (y0, y1), (x0, x1) = rows.inside, cols.inside
    if (y1 - y0) * (x1 - x0) > WINDOW_PIXELS and rows.count > 1 and y1 - y0 > 2 * level.band:
        middle = (rows.out[0] + rows.out[1]) // 2
        parts = (rows.part(rows.out[0], middle), rows.part(middle, rows.out[1]))
        return np.concatenate([_sampled(level, part, cols) for part in parts])
    return resample(level.window(Window(y0, y1, x0, x1)), rows, cols)
