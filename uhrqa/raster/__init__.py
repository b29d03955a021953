"""Rasters: files of pixels behind one protocol. Knows no model, no pyramid, no question.

    with open_raster("harbour.tif") as raster:
        view = raster.read(Box.whole(raster.size), Size(336, 336))

A format is one module with one `open_*` function and one line in `FORMATS`. It is chosen by what a
file contains, not by its name. Nothing heavier than numpy is imported before a file is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster.formats import format_of, is_remote
from uhrqa.reading import Reading
from uhrqa.registry import Registry

if TYPE_CHECKING:
    from uhrqa.raster.kept_levels import KeptLevels

Array = NDArray[np.uint8]

FORMATS = Registry(
    "raster format",
    {
        "tiff": "uhrqa.raster.tiff:open_tiff",
        "zarr": "uhrqa.raster.zarr_store:open_zarr",
        "png": "uhrqa.raster.image:open_png",
        "jpeg": "uhrqa.raster.image:open_jpeg",
        "array": "uhrqa.raster.array:open_array",
        "gdal": "uhrqa.raster.gdal:open_gdal",
    },
)
IN_MEMORY = "array"  # path of every raster over an array


class ExtraBandsWarning(UserWarning):
    """The image has more bands than are shown."""


class StretchWarning(UserWarning):
    """Values are shown with a contrast that nobody asked for."""


class NoDataWarning(UserWarning):
    """What marks pixels without image cannot be understood, and marks none."""


class OtherPagesWarning(UserWarning):
    """The file holds several full images, of which one is read."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a read gives: never a bare array.

    Attributes:
        array: `[h, w, 3]` uint8, RGB; black where the mask is False.
        mask: `[h, w]` bool, True where there is image; False beyond the source's edges and where
            the source is fully transparent.
        box: the part of the source shown, XYXY half-open source pixels.
    """

    array: Array
    mask: NDArray[np.bool_]
    box: Box


@runtime_checkable
class Raster(Protocol):
    """An image that is read by window, at any scale. Reads may come from several threads.

    One that knows how its coarse reads could become cheap may also have `overview_advice`, one that
    knows whether it has places without image `has_mask`, one that makes colours of samples `shown`,
    one on a server `requests` and `expect`; the functions of these names stand below.
    """

    @property
    def path(self) -> str:
        """What the user gave, for messages."""
        ...

    @property
    def size(self) -> Size:
        """(h, w) of the full-resolution image."""
        ...

    @property
    def levels(self) -> tuple[Size, ...]:
        """Sizes of the stored resolutions, finest first; `levels[0] == size`."""
        ...

    @property
    def bytes_read(self) -> int:
        """Encoded bytes taken from storage so far."""
        ...

    def read(self, box: Box, out: Size) -> Pixels:
        """The part of the image under `box`, resampled with antialiasing to `out`.

        Parts of `box` beyond the image come back black and masked.

        Raises:
            RasterError: the data under the box is damaged or cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_raster(
    source: str | Path | NDArray[np.uint8],
    reading: Reading | None = None,
    *,
    roi: str | None = None,
    kept: KeptLevels | None = None,
) -> Raster:
    """Open an image; works as a context manager.

    Args:
        source: path or address (`https://`, `s3://`, `gs://`, `az://`) of a TIFF, Zarr, PNG or JPEG
            image, or an array `[h, w]` or `[h, w, 3]` uint8.
        reading: bands, contrast, limits; an array is shown as it is.
        roi: the region that is seen, as `uhrqa.raster.roi` reads it; all by default.
        kept: where coarse levels that the image does not store are kept for the next process, as
            `uhrqa.raster.kept_levels` does; pixels are the same without.

    Raises:
        RasterError: there is no image there, or it is of a kind that cannot be read.
        ConfigError: the region is written wrongly, or lies outside the image.
    """
    raster = _open_whole(source, reading or Reading())
    if kept is not None and (keep := getattr(raster, "keep_levels", None)) is not None:
        keep(kept)
    if roi is None:
        return raster
    from uhrqa.raster.clip import clip

    try:
        return clip(raster, roi)
    except BaseException:
        raster.close()
        raise


def in_source(raster: Raster, box: Box) -> Box:
    """A box of a raster as one of the image it is a window of; of all others as it is."""
    move = getattr(raster, "in_source", None)
    moved: Box = box if move is None else move(box)
    return moved


def whole_of(raster: Raster) -> Raster:
    """The image that a raster is a window of, or the raster itself."""
    whole: Raster = getattr(raster, "whole", raster)
    return whole


def _open_whole(source: str | Path | NDArray[np.uint8], reading: Reading) -> Raster:
    if isinstance(source, np.ndarray):
        return _opened("array", source, reading)
    if not isinstance(source, str | Path):
        raise RasterError(f"cannot open a {type(source).__name__}: give a path or a uint8 array")
    path = str(source)
    if is_remote(path):
        from uhrqa.raster.remote import open_remote

        return open_remote(path, reading)
    return _opened(format_of(path), path, reading)


def requests_made(raster: Raster) -> int:
    """Requests to a server so far; 0 for what is on a disk. Repeated ones count once."""
    return int(getattr(raster, "requests", 0))


def expect(raster: Raster, reads: Sequence[tuple[Box, Size]]) -> None:
    """Say what will be read next: what lies on a server is then fetched together.

    Args:
        raster: the image; one that gains nothing does nothing.
        reads: boxes and sizes, as `read` will be given them.

    Raises:
        RasterError: the server fails, or the file was replaced.
    """
    told = getattr(raster, "expect", None)
    if told is not None:
        told(reads)


def overview_advice(raster: Raster) -> str | None:
    """What to tell of a raster whose coarse reads need all of the image; reads nothing.

    Returns:
        One line with the remedy; None where coarse reads are cheap, or nothing can be done.
    """
    advice: str | None = getattr(raster, "overview_advice", None)
    return advice


def has_mask(raster: Raster) -> bool:
    """Whether there may be places without image inside a raster; one that does not say so, may."""
    masked: bool = getattr(raster, "has_mask", True)
    return masked


def absent_files(raster: Raster) -> tuple[int, int] | None:
    """How many chunks of an image are not there, of how many; reads none of them.

    Files of a Zarr array's chunks or shards, which are its fill value, whether they were never
    written or are lost; tiles or strips that a TIFF leaves out, which are no data, or else 0.
    None of other formats, of Zarr on servers, and where there are very many.
    """
    tell: Callable[[], tuple[int, int] | None] | None = getattr(whole_of(raster), "absent", None)
    return tell() if tell is not None else None


def shown(raster: Raster) -> dict[str, Any]:
    """How the samples of a raster became colours, JSON-ready; empty where they were colours.

    Keys: `bands` (from 1), `bands_stored`, `type`, `colour`, `alpha`, `nodata`, `stretch`, `limits`
    (what is black and white in each band), `masked_tiles` (that could not be decoded).
    """
    tell: Callable[[], dict[str, Any]] | None = getattr(raster, "shown", None)
    return tell() if tell is not None else {}


def first_bands(count: int) -> str:
    """Which bands are shown, with the verb, for messages."""
    return "the first is" if count == 1 else f"the first {count} are"


def _opened(name: str, source: str | NDArray[np.uint8], reading: Reading) -> Raster:
    raster: Raster = FORMATS.load(name)(source, reading)
    return raster
