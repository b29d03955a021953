"""Samples of one image as colour and mask, alike for all its levels, whatever the container."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uhrqa.geometry import Size
from uhrqa.raster.blocks import Window, with_alpha
from uhrqa.raster.samples import CMYK, CONVERTED, FLOATS, PALETTE, WHITE_ZERO, YCBCR, Samples
from uhrqa.raster.stretch import Tones, limits_of, sample
from uhrqa.reading import DEFAULT_PERCENTILES, Reading

Array = NDArray[np.uint8]
Values = NDArray[Any]
Mask = NDArray[np.bool_]
Read = Callable[[Window], tuple[Values, Mask | None] | None]
Expect = Callable[[Sequence[Window]], None]
BAND_SAMPLES = 2**20  # painted at once, so that what lies between stays small


class Painter:
    """Turns samples into what levels hold.

    Where contrast is stretched, the limits are found at the first need, from `source`.

    Args:
        samples: what they mean, and which are shown.
        reading: what was asked for.
    """

    def __init__(self, samples: Samples, reading: Reading) -> None:
        self.samples = samples
        self._percentiles = _percentiles(samples, reading)
        self._nodata = _exact(samples)
        self._size: Size | None = None
        self._read: Read | None = None
        self._expect: Expect | None = None
        self._made: Tones | None = None
        self._limits: list[tuple[float, float]] | None = None
        self._making = threading.Lock()
        may_hide = (
            samples.alpha is not None
            or self._nodata is not None
            or samples.masked
            or samples.dtype.name in FLOATS
        )
        colours = 3 if samples.colour in CONVERTED else len(samples.shown)
        self.channels = 4 if may_hide else colours
        self._is_plain = (
            samples.dtype == np.uint8
            and samples.bits == 8
            and self._percentiles is None
            and samples.colour not in (*CONVERTED, WHITE_ZERO)
        )

    def source(self, size: Size, read: Read, expect: Expect | None = None) -> None:
        """Say where samples for the contrast come from: the full-resolution image."""
        self._size, self._read, self._expect = size, read, expect

    def settle(self) -> None:
        """Find the limits of the contrast, if any, before samples are read to be painted.

        What is read for them may then serve again.
        """
        if self._percentiles is not None:
            self._tones()

    def stored(self, window: Window) -> tuple[Values, Mask | None] | None:
        """Samples of the full-resolution image as they are stored, and where a mask shows image.

        Returns:
            `[h, w, S]`, those of `samples.indices`, and `[h, w]` or None; None where damage under
            the window is masked.
        """
        if self._read is None:
            raise ValueError("no samples are at hand")
        return self._read(window)

    def paint(self, values: Values, valid: Mask | None = None) -> Array:
        """`[h, w, channels]` of samples.

        Args:
            values: `[h, w, S]`, just those of `samples.indices`.
            valid: `[h, w]`, False where a mask says that there is no image.
        """
        if self._is_plain and self.channels != 4:
            return values
        h, w = values.shape[:2]
        out = np.empty((h, w, self.channels), np.uint8)
        step = max(1, BAND_SAMPLES // max(1, w * values.shape[2]))
        for top in range(0, h, step):
            rows = slice(top, top + step)
            out[rows] = self._painted(values[rows], None if valid is None else valid[rows])
        return out

    @property
    def nodata(self) -> Any:  # noqa: ANN401 - a scalar of the samples' own type
        """The no-data value as a sample; None where no sample can have it, or NaN is one anyway."""
        return self._nodata

    def blank(self, size: Size) -> Array:
        """Pixels of which nothing is known, `[h, w, 4]`."""
        return np.zeros((*size, 4), np.uint8)

    def valid(self, values: Values, valid: Mask | None) -> Mask | None:
        """Where samples are image; None: everywhere."""
        samples = self.samples
        bands = [values[..., band] for band in range(len(samples.shown))]
        masks: list[Mask] = [] if valid is None else [valid]
        if samples.alpha is not None:
            masks.append(values[..., -1] > 0)
        if samples.dtype.name in FLOATS:
            masks.extend(map(np.isfinite, bands))
        if self._nodata is not None:
            masks.append(functools.reduce(np.logical_or, (band != self._nodata for band in bands)))
        return functools.reduce(np.logical_and, masks) if masks else None

    def describe(self) -> dict[str, Any]:
        """How the image is shown, JSON-ready; finds the limits where that was not done yet."""
        samples = self.samples
        found: dict[str, Any] = {
            "bands": [index + 1 for index in samples.shown],
            "bands_stored": samples.count,
            "type": samples.dtype.name,
            "colour": samples.colour,
            "alpha": None if samples.alpha is None else samples.alpha + 1,
            "nodata": _plain_number(samples.nodata),
            "stretch": "none",
        }
        if self._percentiles is not None:
            self._tones()
            found["stretch"] = ",".join(f"{value:g}" for value in self._percentiles)
            found["limits"] = [list(pair) for pair in self._limits or ()]
        return found

    def _painted(self, values: Values, valid: Mask | None) -> Array:
        colour = self._colour(values[..., : len(self.samples.shown)])
        if self.channels != 4:
            return colour
        shown = self.valid(values, valid)
        everywhere = np.ones(colour.shape[:2], np.bool_)
        return with_alpha(colour, everywhere if shown is None else shown)

    def _colour(self, values: Values) -> Array:
        colour = self.samples.colour
        if colour == PALETTE and self.samples.palette is not None:
            return self.samples.palette.take(values[..., 0], axis=0, mode="clip")
        if colour == CMYK:
            return cmyk_to_rgb(values if self.samples.dtype == np.uint8 else self._tones()(values))
        if colour == YCBCR:
            ycc = np.ascontiguousarray(values)
            return np.asarray(Image.fromarray(ycc, "YCbCr").convert("RGB"))
        return values if self._is_plain else self._tones()(values)

    def _tones(self) -> Tones:
        with self._making:
            if self._made is None:
                samples = self.samples
                self._limits = self._find_limits()
                dtype = np.dtype(np.uint8) if samples.dtype == np.bool_ else samples.dtype
                inverted = samples.colour == WHITE_ZERO
                self._made = Tones(dtype, self._limits, inverted=inverted)
            return self._made

    def _find_limits(self) -> list[tuple[float, float]]:
        samples, count = self.samples, len(self.samples.shown)
        if self._percentiles is None or self._read is None or self._size is None:
            return [_full_range(samples)] * count
        read = self._read

        def valid_part(window: Window) -> tuple[Values, Mask | None] | None:
            if (got := read(window)) is None:
                return None
            return got[0][..., :count], self.valid(*got)

        found = sample(self._size, valid_part, self._expect)
        return limits_of(found, self._percentiles) if len(found) else [_full_range(samples)] * count


def cmyk_to_rgb(values: Array) -> Array:
    """`[h, w, 4]` of inks as `[h, w, 3]`, without a colour profile: (1 - ink) (1 - black)."""
    light = 255 - values
    black = light[..., 3].astype(np.uint16)  # side by side: twice as fast to multiply with
    out = np.empty((*values.shape[:2], 3), np.uint8)
    for band in range(3):
        product = light[..., band].astype(np.uint16)
        product *= black
        product += 128  # what follows divides by 255 and rounds, exactly
        product += product >> 8
        out[..., band] = product >> 8
    return out


def _percentiles(samples: Samples, reading: Reading) -> tuple[float, float] | None:
    """What is stretched from where to where; None: values are shown as they are."""
    if reading.stretch == "none" or samples.colour in CONVERTED or samples.bits < 8:
        return None
    if isinstance(reading.stretch, tuple):
        return reading.stretch
    return None if samples.is_small else DEFAULT_PERCENTILES


def _full_range(samples: Samples) -> tuple[float, float]:
    if samples.dtype.kind == "f":
        return 0.0, 1.0
    if samples.dtype.kind == "i":
        return -(2.0 ** (samples.bits - 1)), 2.0 ** (samples.bits - 1) - 1
    return 0.0, 2.0**samples.bits - 1


def _exact(samples: Samples) -> Any:  # noqa: ANN401 - a scalar of the samples' own type
    """The no-data value as a sample; None where no sample can have it, or NaN is one anyway."""
    value, dtype = samples.nodata, samples.dtype
    if value is None or samples.colour in (CMYK, YCBCR) or not np.isfinite(value):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if dtype == np.bool_ or value != int(value):
        return None
    info = np.iinfo(dtype.name)
    return dtype.type(int(value)) if info.min <= value <= info.max else None


def _plain_number(value: float | None) -> float | str | None:
    """A number that JSON can hold; NaN and the infinities by name."""
    return value if value is None or np.isfinite(value) else str(value)
