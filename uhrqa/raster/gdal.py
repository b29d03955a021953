"""What only GDAL reads (JPEG 2000, VRT, NITF, ERDAS, ENVI ...), through the optional rasterio.

Covered: what the other readers cover of samples, palettes, alpha, masks, no-data values, overviews
and reference systems, user-defined ones too. Drivers are listed: none that asks a server, runs a
database or holds no pixels. GDAL does not say how many bytes it reads: counted is the share of the
files that the pixels read have of all pixels.
Not covered: images on servers, several images in one file (the first is read), warnings of GDAL:
of a damaged TIFF inside a VRT it may show what it could decode.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from uhrqa.errors import RasterError
from uhrqa.raster import OtherPagesWarning
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BadTiles, Meter
from uhrqa.raster.gdal_blocks import GdalBlocks, GdalSource, size_of
from uhrqa.raster.gdal_env import gdal_env, import_rasterio
from uhrqa.raster.gdal_kinds import Dataset, ground_of, samples_of
from uhrqa.raster.guard import PREPARE, check_block, check_plausible, check_size, guarded
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.painter import Painter
from uhrqa.raster.samples import choose
from uhrqa.raster.serving import is_reduction
from uhrqa.raster.vrt import check_names, check_side_file, is_text
from uhrqa.reading import Reading

DRIVERS = [
    "JP2OpenJPEG", "VRT", "NITF", "HFA", "ENVI", "EHdr", "ERS", "PCIDSK", "PNM", "BMP", "GIF",
    "WEBP", "SGI", "AAIGrid", "SRTMHGT", "DTED", "RST", "SAGA", "ILWIS", "ISIS3", "PDS", "PDS4",
    "VICAR", "USGSDEM", "RMF", "CEOS", "FAST",
]  # fmt: skip
MAX_OVERVIEWS = 32
ITEM_BYTES = {"complex_int16": 4}  # a type that numpy lacks
UNKNOWN = "not a TIFF, Zarr, PNG or JPEG image (it starts with {!r})"

logging.getLogger("rasterio").setLevel(logging.CRITICAL + 1)  # what it logs is raised, too


def open_gdal(path: str, reading: Reading) -> LevelRaster:
    """Open an image of a kind that GDAL knows.

    Raises:
        RasterError: rasterio is not installed, GDAL does not know the file, it is damaged, or its
            pixels are of a kind that is not covered.
    """
    rasterio = _rasterio(path)
    if is_text(path):
        check_names(path)
    else:
        check_side_file(path)
    cache = BlockCache()
    with ExitStack() as stack:
        stack.callback(cache.clear)
        whole = stack.enter_context(_opened(rasterio, path))
        levels = [whole, *_overviews(rasterio, path, whole, stack)]
        _check(path, levels, reading)
        with guarded(f"{path}: what GDAL says of it cannot be read"):
            samples = samples_of(path, whole)
            ground = ground_of(whole)
        painter = Painter(choose(path, samples, reading), reading)
        share = _bytes(whole) / sum(dataset.width * dataset.height for dataset in levels)
        bad = BadTiles(masked=reading.masks_bad_tiles)
        source = GdalSource(path, rasterio, Meter(), painter, bad, share)
        stored = [
            GdalBlocks(source, dataset, index).level(cache) for index, dataset in enumerate(levels)
        ]
        return LevelRaster(
            path,
            stored,
            meter=source.meter,
            close=stack.pop_all().close,
            remedy=PREPARE.format(path=path),
            ground=ground,
            painter=painter,
            bad=bad,
            reading=reading,
        )


def _rasterio(path: str) -> Any:  # noqa: ANN401 - a module without types
    try:
        return import_rasterio()
    except ImportError:
        with Path(path).open("rb") as file:
            start = file.read(8)
        raise RasterError(
            f"{path}: {UNKNOWN.format(start)}; GDAL may read it: pip install 'uhrqa[gdal]', "
            f"or convert it, for example: gdal_translate -of COG {path} image.tif"
        ) from None


def _opened(rasterio: Any, path: str) -> Dataset:  # noqa: ANN401
    """The image, open.

    Raises:
        RasterError: GDAL does not know it, or finds it damaged.
    """
    with Path(path).open("rb") as file:
        start = file.read(8)
    with (
        gdal_env(rasterio),
        guarded(f"{path}: {UNKNOWN.format(start)}, nor of a kind that GDAL reads here"),
    ):
        return rasterio.io.DatasetReader(path, driver=DRIVERS)  # `open` takes but one


def _overviews(rasterio: Any, path: str, whole: Dataset, stack: ExitStack) -> list[Dataset]:  # noqa: ANN401
    """Stored reductions, finest first, each a dataset of its own."""
    found: list[Dataset] = []
    with gdal_env(rasterio), guarded(f"{path}: its overviews cannot be read"):
        for index in range(min(MAX_OVERVIEWS, len(whole.overviews(1)) if whole.count else 0)):
            dataset = stack.enter_context(
                rasterio.open(path, driver=whole.driver, overview_level=index)
            )
            finest = found[-1] if found else whole
            if is_reduction(size_of(dataset), size_of(whole)) and dataset.width < finest.width:
                found.append(dataset)
    return found


def _check(path: str, levels: Sequence[Dataset], reading: Reading) -> None:
    """Refuse what cannot be, or cannot be read in bounded memory; warn of what is left out."""
    whole = levels[0]
    if not whole.count:
        raise RasterError(f"{path}: it holds no image of its own; convert one of its parts")
    check_size(path, *size_of(whole), reading.max_pixels)
    if whole.driver != "VRT":  # which may be empty in most places
        check_plausible(path, size_of(whole).area, _bytes(whole))
    for dataset in levels:
        for (h, w), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
            check_block(path, "block", h, w, int(ITEM_BYTES.get(dtype) or np.dtype(dtype).itemsize))
    if whole.subdatasets:
        warnings.warn(
            f"{path}: {len(whole.subdatasets)} images, of which the first is read; store the "
            "others as files of their own",
            OtherPagesWarning,
            stacklevel=5,
        )


def _bytes(dataset: Dataset) -> int:
    """Lengths of all files that belong to an image."""
    return sum(Path(name).stat().st_size for name in dataset.files if Path(name).is_file())
