"""TIFF, BigTIFF and Cloud Optimized GeoTIFF: which images of a file are its levels.

Structure comes from tifffile; everything a header promises is checked against the file before any
pixel is decoded. Covered: 8-bit grey and RGB, with or without alpha and further bands; tiles and
strips; every compression that imagecodecs decodes; overviews as SubIFDs or as later images.
Not covered, and refused: palettes, other depths, CMYK and other colour models. Ignored:
orientation, nodata values, mask images, georeferencing.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from tifffile import TiffFile, TiffPage

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster import ExtraBandsWarning, first_bands
from uhrqa.raster.blocks import BlockCache, Meter, StoredLevel
from uhrqa.raster.guard import check_size, guarded
from uhrqa.raster.levels import LevelRaster, is_reduction
from uhrqa.raster.tiff_level import JPEG, Bands, TiffSource, tiff_level

# What tifffile logs about odd headers either raises here or does not matter.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

MAX_IMAGES = 64  # images of a file that are looked at; overviews come early
GREY, RGB, YCBCR = 1, 2, 6
REFUSED = {
    0: ("white-is-zero grey", "tiff2rgba {path} rgb.tif"),
    3: ("a colour palette", "gdal_translate -expand rgb {path} rgb.tif"),
    5: ("CMYK colours", "convert {path} -colorspace sRGB rgb.tif"),
    6: ("YCbCr colours without JPEG compression", "tiff2rgba {path} rgb.tif"),
    8: ("CIE L*a*b* colours", "convert {path} -colorspace sRGB rgb.tif"),
}
OVERVIEWS = "add overviews: gdaladdo -r cubic {path} 2 4 8 16 32 64"


def open_tiff(path: str) -> LevelRaster:
    """Open a TIFF file.

    Raises:
        RasterError: the file is damaged, or of a kind that is not covered.
    """
    with guarded(f"{path}: not a readable TIFF"):
        tif = TiffFile(path)
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        tif.close()
        raise RasterError(f"{path}: cannot be opened: {error}") from error

    source = TiffSource(path, fd, os.fstat(fd).st_size, Meter(), BlockCache())

    def close() -> None:
        source.cache.clear()
        tif.close()
        os.close(fd)

    try:
        levels = _levels(source, tif)
    except BaseException:
        close()
        raise
    advice = OVERVIEWS.format(path=path)
    return LevelRaster(path, levels, meter=source.meter, close=close, overview_advice=advice)


def _levels(source: TiffSource, tif: TiffFile) -> list[StoredLevel]:
    """The main image and its overviews, finest first, all checked."""
    path = source.path
    with guarded(f"{path}: the TIFF headers cannot be read"):
        pages = list(_pages(tif))
        if not pages:
            raise RasterError(f"{path}: a TIFF file without any image; export it again")
        main = next((page for page in pages if not page.is_reduced), pages[0])
        check_size(path, main.imagelength, main.imagewidth)
        bands = _bands(path, main)
        overviews = _overviews(main, [*_sub_pages(main), *pages])
    if bands.unseen:
        others = [n + 1 for n in range(main.samplesperpixel) if n != bands.alpha]
        chosen = " ".join(f"-b {number}" for number in others[-bands.shown :])
        warnings.warn(
            f"{path}: {main.samplesperpixel} bands; {first_bands(bands.shown)} shown; choose "
            f"others by number, for example: gdal_translate {chosen} {path} chosen.tif",
            ExtraBandsWarning,
            stacklevel=5,
        )
    with guarded(f"{path}: the TIFF headers cannot be read"):
        return [
            tiff_level(source, page, bands, index) for index, page in enumerate([main, *overviews])
        ]


def _pages(tif: TiffFile) -> Iterator[TiffPage]:
    for index in range(MAX_IMAGES):
        try:
            page = tif.pages[index]
        except IndexError:
            return
        yield page if isinstance(page, TiffPage) else page.aspage()


def _sub_pages(page: TiffPage) -> list[TiffPage]:
    if not page.subifds or page.pages is None:
        return []
    found = [page.pages[index] for index in range(min(len(page.subifds), MAX_IMAGES))]
    return [sub if isinstance(sub, TiffPage) else sub.aspage() for sub in found]


def _overviews(main: TiffPage, pages: Sequence[TiffPage]) -> list[TiffPage]:
    """Reduced copies of the main image among other pages, finest first."""
    found: dict[Size, TiffPage] = {}
    whole = Size(main.imagelength, main.imagewidth)
    for page in pages:
        size = Size(page.imagelength, page.imagewidth)
        if (
            page is not main
            and page.is_reduced
            and not page.is_mask
            and min(size) > 0
            and page.dtype == main.dtype
            and page.samplesperpixel == main.samplesperpixel
            and page.photometric in (main.photometric, RGB, YCBCR)
            and is_reduction(size, whole)
        ):
            found.setdefault(size, page)
    return [found[size] for size in sorted(found, key=lambda size: -size.area)]


def _bands(path: str, page: TiffPage) -> Bands:
    """Which samples are shown.

    Raises:
        RasterError: the pixels are not 8-bit grey or RGB.
    """
    if page.dtype != "uint8" or page.bitspersample != 8:
        depth = f"{page.bitspersample}-bit {page.dtype or 'samples of an unknown kind'}"
        raise RasterError(
            f"{path}: {depth}, only 8-bit images are read; "
            f"convert it: gdal_translate -ot Byte -scale {path} bytes.tif"
        )
    photometric, samples = int(page.photometric), page.samplesperpixel
    if photometric not in (GREY, RGB) and not (photometric == YCBCR and page.compression == JPEG):
        unknown = f"photometric {photometric}", "convert {path} -colorspace sRGB rgb.tif"
        name, remedy = REFUSED.get(photometric, unknown)
        raise RasterError(
            f"{path}: {name}, not 8-bit grey or RGB; convert it: {remedy.format(path=path)}"
        )
    if photometric in (RGB, YCBCR) and samples < 3:
        raise RasterError(f"{path}: RGB with {samples} bands, 3 needed; export it again")
    extra: Sequence[Any] = page.extrasamples or ()
    alpha = [samples - len(extra) + i for i, kind in enumerate(extra) if int(kind) in (1, 2)]
    shown = 1 if samples - len(alpha) < 3 else 3
    first_alpha = alpha[0] if alpha and alpha[0] >= shown else None
    return Bands(shown, first_alpha, unseen=samples - len(alpha) > shown)
