"""Rasters: files of pixels behind one protocol. Knows no model, no pyramid, no question.

    with open_raster("harbour.tif") as raster:
        view = raster.read(Box.whole(raster.size), Size(336, 336))

A format is one module with one `open_*` function and one line in `FORMATS`. It is chosen by what a
file contains, not by its name. Nothing heavier than numpy is imported before a file is opened.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.registry import Registry

Array = NDArray[np.uint8]

FORMATS = Registry(
    "raster format",
    {
        "tiff": "uhrqa.raster.tiff:open_tiff",
        "zarr": "uhrqa.raster.zarr_store:open_zarr",
        "png": "uhrqa.raster.image:open_png",
        "jpeg": "uhrqa.raster.image:open_jpeg",
        "array": "uhrqa.raster.array:open_array",
    },
)
MAGIC = {
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",  # BigTIFF
    b"MM\x00+": "tiff",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
}
ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
IN_MEMORY = "array"  # path of every raster over an array
REMOTE = ("http://", "https://", "s3://", "gs://", "az://")


class ExtraBandsWarning(UserWarning):
    """The image has more bands than are shown."""


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
    knows whether it has places without image `has_mask`, one on a server `requests` and `expect`;
    the functions of these names stand below.
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


def open_raster(source: str | Path | NDArray[np.uint8], *, roi: str | None = None) -> Raster:
    """Open an image; works as a context manager.

    Args:
        source: path or address (`https://`, `s3://`, `gs://`, `az://`) of a TIFF, Zarr, PNG or JPEG
            image, or an array `[h, w]` or `[h, w, 3]` uint8.
        roi: the region that is seen, as `uhrqa.raster.roi` reads it; all by default.

    Raises:
        RasterError: there is no image there, or it is of a kind that cannot be read.
        ConfigError: the region is written wrongly, or lies outside the image.
    """
    raster = _open_whole(source)
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


def _open_whole(source: str | Path | NDArray[np.uint8]) -> Raster:
    if isinstance(source, np.ndarray):
        return _opened("array", source)
    if not isinstance(source, str | Path):
        raise RasterError(f"cannot open a {type(source).__name__}: give a path or a uint8 array")
    path = str(source)
    if is_remote(path):
        from uhrqa.raster.remote import open_remote

        return open_remote(path)
    return _opened(format_of(path), path)


def is_remote(path: str) -> bool:
    """Whether a path is an address on a server."""
    return path.lower().startswith(REMOTE)


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


def format_of(path: str) -> str:
    """Name of a file's format in `FORMATS`, by its first bytes or its Zarr metadata.

    Raises:
        RasterError: nothing is there, or nothing that can be read.
    """
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            return _directory_format(path)
        # Looked at before opening: to open a pipe would wait for a writer.
        if not stat.S_ISREG(mode):
            raise RasterError(f"{path}: not a regular file; save the image to a file first")
        with Path(path).open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        if "://" in path:
            schemes = ", ".join(REMOTE)
            raise RasterError(f"{path}: only {schemes} are read; download it first") from None
        raise RasterError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RasterError(f"{path!r}: cannot be opened: {reason}") from error
    if not start:
        raise RasterError(f"{path}: the file is empty (0 bytes); copy or export it again")
    for magic, name in MAGIC.items():
        if start.startswith(magic):
            return name
    raise RasterError(
        f"{path}: not a TIFF, Zarr, PNG or JPEG image (it starts with {start[:8]!r}); "
        f"convert it, for example: gdal_translate -of COG {path} image.tif"
    )


def first_bands(count: int) -> str:
    """Which bands are shown, with the verb, for messages."""
    return "the first is" if count == 1 else f"the first {count} are"


def _directory_format(path: str) -> str:
    if any(Path(path, name).is_file() for name in ZARR_FILES):
        return "zarr"
    raise RasterError(
        f"{path}: a directory without Zarr metadata ({', '.join(ZARR_FILES[:3])}); name an image"
    )


def _opened(name: str, source: str | NDArray[np.uint8]) -> Raster:
    raster: Raster = FORMATS.load(name)(source)
    return raster
