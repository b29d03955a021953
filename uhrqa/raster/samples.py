"""What the samples of an image mean, and which of them are shown. Knows no file format.

A reader says what it found as `Samples`; `choose` puts what the user asked for on top.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.raster import ExtraBandsWarning, StretchWarning, first_bands
from uhrqa.reading import DEFAULT_PERCENTILES, Reading

GREY, WHITE_ZERO, RGB, PALETTE, CMYK, YCBCR = (
    "grey", "white-is-zero grey", "rgb", "palette", "cmyk", "ycbcr",
)  # fmt: skip
CONVERTED = {PALETTE: 1, CMYK: 4, YCBCR: 3}  # samples that one colour needs together
INTEGERS = ("uint8", "uint16", "uint32", "int8", "int16", "int32")
FLOATS = ("float16", "float32", "float64")
KINDS = ("bool", *INTEGERS, *FLOATS)


@dataclass(frozen=True)
class Samples:
    """The samples of one image.

    Attributes:
        count: samples of a pixel, as stored.
        dtype: of a decoded sample.
        bits: that hold one; 12 for values to 4095 in uint16.
        colour: one of the words above.
        shown: indices of the samples that make the colour.
        alpha: index of the one that is 0 where there is no image.
        nodata: value that says so, where the file declares one.
        palette: `[2^bits, 3]` uint8.
        masked: whether masks come with the samples.
        guessed: red, green and blue are the first three bands alone because nothing names others.
        premultiplied: colours are multiplied by alpha.
    """

    count: int
    dtype: np.dtype[np.generic]
    bits: int
    colour: str
    shown: tuple[int, ...]
    alpha: int | None = None
    nodata: float | None = None
    palette: NDArray[np.uint8] | None = None
    masked: bool = False
    guessed: bool = False
    premultiplied: bool = False

    @property
    def indices(self) -> tuple[int, ...]:
        """The samples to decode."""
        return self.shown if self.alpha is None else (*self.shown, self.alpha)

    @property
    def is_small(self) -> bool:
        """Whether a value fits 8 bits, so that it is shown as it is."""
        return self.dtype == np.bool_ or (self.dtype == np.uint8 and self.bits <= 8)


def choose(path: str, found: Samples, reading: Reading) -> Samples:
    """What is shown of an image: what it holds, and on top what was asked for.

    Raises:
        RasterError: a kind of sample that is not covered, or a band that is not there.
    """
    if found.dtype.name not in KINDS:
        raise RasterError(
            f"{path}: {found.dtype.name} samples; 8 to 32-bit integers and floats are read; "
            f"convert it: gdal_translate -ot Float32 {path} floats.tif"
        )
    masked = found.masked or reading.masks_bad_tiles
    if reading.all_bands:
        every = tuple(band for band in range(found.count) if band != found.alpha)
        return replace(found, shown=every, masked=masked)
    if found.dtype.kind == "f" and reading.stretch == "none":
        raise RasterError(
            f"{path}: {found.dtype.name} samples have no range of their own, so they must be "
            "stretched: give --stretch minmax or percentiles such as 2,98"
        )
    chosen = found if reading.bands is None else _of_bands(path, found, reading.bands)
    _warn(path, found, chosen, reading)
    return replace(chosen, masked=masked)


def _of_bands(path: str, found: Samples, bands: tuple[int, ...]) -> Samples:
    if found.colour in CONVERTED:
        raise RasterError(
            f"{path}: its {found.count} samples are one colour ({found.colour}) and no bands; "
            "leave --bands out"
        )
    if max(bands) > found.count:
        raise RasterError(
            f"{path}: --bands {','.join(map(str, bands))}, but it has {found.count} "
            f"band{'s' * (found.count > 1)}; count from 1 to {found.count}"
        )
    shown = tuple(band - 1 for band in bands)
    colour = found.colour if found.colour == WHITE_ZERO else RGB if len(bands) == 3 else GREY
    return replace(
        found,
        shown=shown,
        colour=colour,
        alpha=None if found.alpha in shown else found.alpha,
    )


def _warn(path: str, found: Samples, chosen: Samples, reading: Reading) -> None:
    """Say what is left out or changed without having been asked for."""
    unseen = found.count - len(found.indices)
    if reading.bands is None and unseen > 0:
        example = "4,3,2" if found.count > 3 else str(found.count)
        warnings.warn(
            f"{path}: {found.count} bands; {first_bands(len(found.shown))} shown; choose others "
            f"by number, for example --bands {example}",
            ExtraBandsWarning,
            stacklevel=6,
        )
    if reading.stretch is None and not chosen.is_small:
        low, high = DEFAULT_PERCENTILES
        warnings.warn(
            f"{path}: {chosen.dtype.name} samples, shown from the {low:g}nd to the {high:g}th "
            "percentile of each band; choose otherwise with --stretch LOW,HIGH, minmax or none",
            StretchWarning,
            stacklevel=6,
        )
