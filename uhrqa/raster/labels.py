"""Label rasters: integers a segmenter wrote over an image's extent, as TIFF, PNG or Zarr.

All of one is read at once, into the integers it is stored as.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import LabelsWarning, RasterError
from uhrqa.geometry import Size
from uhrqa.raster import open_raster
from uhrqa.raster.formats import format_of
from uhrqa.raster.ground import Ground, NoGround, ground_of, usable
from uhrqa.raster.guard import guarded
from uhrqa.reading import Reading

Labels = NDArray[np.integer]
MOST_LABELS = 2**29  # 2 GiB as 32-bit integers
ONE_BAND = "give one band of integers"
NO_GROUND = NoGround()


def read_labels(path: str, size: Size, ground: Ground | NoGround = NO_GROUND) -> Labels:
    """A raster of integers with the extent of an image.

    Args:
        path: a TIFF, PNG or Zarr file of one band.
        size: of the image; the raster may have another resolution but no other shape.
        ground: where the image lies. Where the labels say so, too (that of 64-bit integers is not
            looked at), it must be the same.

    Returns:
        `[h, w]`.

    Raises:
        RasterError: nothing is there, it is no raster of integers, it has another shape, or it lies
            elsewhere.
    """
    kind = format_of(path)
    readers: dict[str, Callable[[str], Labels]] = {
        "tiff": _read_tiff, "png": _read_png, "zarr": _read_zarr,
    }  # fmt: skip
    if kind not in readers:
        raise RasterError(f"{path}: labels are read from PNG, TIFF or Zarr, not {kind}; convert it")
    with guarded(f"{path}: not a readable raster of labels"):
        labels = readers[kind](path)
    image = usable(ground, size)
    if isinstance(image, Ground) and kind != "png":
        _check_place(path, Size(*labels.shape), image, size)
    if (most := labels.max()) <= 0:
        told = f"{path}: no label above 0 ({labels.min()} to {most}); is it the segmenter's result?"
        warnings.warn(told, LabelsWarning, stacklevel=2)
    return _of_extent(path, labels, size)


def _check_place(path: str, own: Size, image: Ground, size: Size) -> None:
    """Refuse labels whose corners lie more than one of them, and a pixel, from the image's."""
    try:
        with open_raster(path, Reading(stretch="none")) as raster:
            ground = usable(ground_of(raster), own)
    except RasterError:  # integers of 64 bits are labels, but no picture
        return
    if isinstance(ground, NoGround):
        return
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
    found = image.to_pixels(ground.to_lonlat(corners * (own.w, own.h)))
    whole = np.array([size.w, size.h])
    off = np.abs(found - corners * whole)
    if not (off <= whole / (own.w, own.h) + 1).all():  # infinite where they lie on no map
        (x0, y0), *_, (x1, y1) = found.round() + 0.0  # no "-0"
        raise RasterError(
            f"{path}: labels that lie elsewhere: their corners are at ({x0:.0f}, {y0:.0f}) and "
            f"({x1:.0f}, {y1:.0f}) of an image of {size}; bring them to its extent (gdalwarp -r "
            "near -te), or take away a georeference that is wrong (gdal_edit.py -unsetgt)"
        )


def _of_extent(path: str, labels: Labels, size: Size) -> Labels:
    h, w = labels.shape
    # The shorter side may be a pixel off: it was rounded when labels were made.
    off = min(abs(w - h * size.w / size.h), abs(h - w * size.h / size.w))
    if off > 1:
        raise RasterError(
            f"{path}: labels of {Size(h, w)} for an image of {size}: another shape; "
            "label the whole image, at any resolution"
        )
    return labels


def _check(path: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> tuple[int, ...]:
    """The axis of bands, if there is one, to be dropped.

    Raises:
        RasterError: no integers, several bands or too many pixels.
    """
    if dtype.kind not in "iub":
        raise RasterError(f"{path}: labels of type {dtype}, not integers; {ONE_BAND}")
    bands = tuple(axis for axis in (0, len(shape) - 1) if len(shape) == 3 and shape[axis] == 1)[:1]
    if len(shape) - len(bands) != 2 or min(shape, default=0) < 1:
        raise RasterError(f"{path}: labels of shape {list(shape)}; {ONE_BAND}")
    if np.prod(shape) > MOST_LABELS:
        raise RasterError(
            f"{path}: {np.prod(shape)} labels, more than the limit of {MOST_LABELS}; "
            "write them at a lower resolution, for example: "
            f"gdal_translate -r nearest -outsize 25% 25% {path} labels.tif"
        )
    return bands


def _read_tiff(path: str) -> Labels:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.series[0].levels[0]
        bands = _check(path, page.shape, np.dtype(page.dtype))
        return np.asarray(page.asarray()).squeeze(bands)


def _read_png(path: str) -> Labels:
    from PIL.PngImagePlugin import PngImageFile

    with Path(path).open("rb") as file, PngImageFile(file) as image:
        if image.mode not in ("L", "P", "1", "I", "I;16"):
            raise RasterError(f"{path}: a PNG of colours ({image.mode}); {ONE_BAND}")
        _check(path, (image.height, image.width), np.dtype(np.int32))
        return np.asarray(image).astype(np.uint8) if image.mode == "1" else np.asarray(image)


def _read_zarr(path: str) -> Labels:
    import zarr

    found = zarr.open(path, mode="r")
    if isinstance(found, zarr.Group):
        arrays = dict(found.arrays())
        if not arrays:
            raise RasterError(f"{path}: a Zarr group without arrays; name the array of labels")
        found = arrays.get("labels", arrays.get("0", next(iter(arrays.values()))))
    bands = _check(path, found.shape, np.dtype(found.dtype))
    return np.asarray(found[...]).squeeze(bands)
