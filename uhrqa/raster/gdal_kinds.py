"""What rasterio says of an image: the meaning of its samples, and where it lies."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.raster.gdal_env import gdal_env, import_rasterio
from uhrqa.raster.ground import Ground, NoGround, checked
from uhrqa.raster.samples import CMYK, GREY, PALETTE, RGB, Samples

COLOURS = ("red", "green", "blue")
INKS = ("cyan", "magenta", "yellow", "black")
Dataset = Any  # rasterio's; it has no types


def samples_of(path: str, dataset: Dataset) -> Samples:
    """The samples of a dataset, and which are shown where nothing else is asked for.

    Raises:
        RasterError: samples that numpy has no type for.
    """
    try:
        dtype = np.result_type(*map(np.dtype, dataset.dtypes))
    except TypeError as error:
        raise RasterError(f"{path}: {dataset.dtypes[0]} samples, which are not read") from error
    roles = [role.name for role in dataset.colorinterp]
    alphas = [band for band, role in enumerate(roles) if role == "alpha"]
    colours = [band for band in range(dataset.count) if band not in alphas]
    colour, shown, guessed = GREY, colours[:1] or [0], False
    if roles[0] == "palette":
        colour, shown = PALETTE, [0]
    elif tuple(roles[:4]) == INKS:
        colour, shown = CMYK, [0, 1, 2, 3]
    elif all(name in roles for name in COLOURS):
        colour, shown = RGB, [roles.index(name) for name in COLOURS]
    elif len(colours) >= 3:
        colour, shown, guessed = RGB, colours[:3], True
    return Samples(
        count=dataset.count,
        dtype=dtype,
        bits=_bits(dataset, dtype),
        colour=colour,
        shown=tuple(shown),
        alpha=alphas[0] if alphas and alphas[0] not in shown else None,
        nodata=dataset.nodatavals[shown[0]],
        palette=_palette(dataset, dtype) if colour == PALETTE else None,
        masked=has_mask_band(dataset),
        guessed=guessed,
    )


def has_mask_band(dataset: Dataset) -> bool:
    """Whether a mask lies beside the samples: no alpha, and no value among them."""
    flags = {flag.name for flag in dataset.mask_flag_enums[0]}
    return "per_dataset" in flags and not flags & {"alpha", "nodata"}


def ground_of(dataset: Dataset) -> Ground | NoGround:
    """Where a dataset lies; of its reference system the EPSG code, else the definition."""
    if not dataset.crs:
        return NoGround()
    if dataset.transform.is_identity:
        return NoGround("it has no transform; warp it: gdalwarp image.tif placed.tif")
    return checked(crs_of(dataset), tuple(dataset.transform)[:6])


def crs_of(dataset: Dataset) -> str:
    """The reference system as pyproj takes it."""
    with suppress(Exception):  # rasterio's own, for systems it cannot name
        if code := dataset.crs.to_epsg(confidence_threshold=100):
            return f"EPSG:{code}"
    return str(dataset.crs.to_wkt())


def tiff_crs(path: str) -> str | None:
    """The reference system of a GeoTIFF as GDAL reads it; None without rasterio, or without one."""
    try:
        rasterio = import_rasterio()
    except ImportError:
        return None
    with suppress(Exception), gdal_env(rasterio), rasterio.open(path, driver="GTiff") as dataset:
        crs = dataset.crs
        return crs_of(dataset) if crs and (crs.is_projected or crs.is_geographic) else None
    return None


def _bits(dataset: Dataset, dtype: np.dtype[Any]) -> int:
    said = str(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", ""))
    most = 8 * dtype.itemsize
    return int(said) if said.isdigit() and 0 < int(said) <= most else most


def _palette(dataset: Dataset, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
    """`[2^bits, 3]`; black where the palette names no colour."""
    table = np.zeros((2 ** min(16, 8 * dtype.itemsize), 3), np.uint8)
    for value, colour in dataset.colormap(1).items():
        if 0 <= value < len(table):
            table[value] = colour[:3]
    return table
