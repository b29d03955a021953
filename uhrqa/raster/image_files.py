"""The files that the pixels of an image come from, beside the one that is named."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from uhrqa.errors import RasterError
from uhrqa.raster.formats import OTHER, format_of
from uhrqa.raster.gdal import DRIVERS
from uhrqa.raster.gdal_env import gdal_env, import_rasterio
from uhrqa.raster.tiff_files import MASK_OVERVIEWS, MASKS, OVERVIEWS
from uhrqa.raster.vrt import SIDE, is_text, named_files, named_stores

MAX_FILES = 2**16
BESIDE = (OVERVIEWS, MASKS, MASK_OVERVIEWS)


def image_files(path: str) -> list[Path]:
    """Every file that an image consists of, the named one first; of a directory itself alone.

    Of a TIFF those beside it that do not exist, too: one that comes to be changes the image. Of a
    VRT the files that it names, with theirs, and Zarr stores with those in them, each at most
    `MAX_FILES`. Of what else GDAL reads, the files that GDAL says.
    """
    kind = _kind(path)
    if kind == "tiff":
        return [Path(path), *_beside(path)]
    if kind != OTHER:
        return [Path(path)]
    found = {Path(path): None}  # in order
    waiting = [path]
    while waiting and len(found) < MAX_FILES:
        place = waiting.pop()
        found |= dict.fromkeys((*_beside(place), Path(f"{place}{SIDE}")))
        if _kind(place) != OTHER:
            continue
        if not is_text(place):
            found |= dict.fromkeys(_of_gdal(place))
            continue
        fresh = [file for file in _named(place, named_files) if file not in found]
        found |= dict.fromkeys(fresh)
        waiting += map(str, fresh)
        for store in _named(place, named_stores):
            inside = (file for file in store.rglob("*") if file.is_file())
            found |= dict.fromkeys([store, *sorted(itertools.islice(inside, MAX_FILES))])
    return list(found)


def _kind(path: str) -> str | None:
    try:
        return format_of(path)
    except RasterError:
        return None


def _beside(path: str) -> Iterator[Path]:
    return (Path(f"{path}{suffix}") for suffix in BESIDE)


def _named(path: str, what: Callable[[str], set[Path]]) -> list[Path]:
    try:
        return sorted(what(path))
    except RasterError:  # one that is not read
        return []


def _of_gdal(path: str) -> list[Path]:
    try:
        rasterio = import_rasterio()
        with gdal_env(rasterio), rasterio.io.DatasetReader(path, driver=DRIVERS) as dataset:
            return [Path(name) for name in dataset.files]
    except Exception:  # noqa: BLE001 - whatever keeps it from being read is told when it is opened
        return []
