"""TIFF, BigTIFF and Cloud Optimized GeoTIFF: which images of a file are its levels.

Structure comes from tifffile; everything a header promises is checked against the file before any
pixel is decoded. Covered: 8-bit grey and RGB, with or without alpha and further bands; tiles and
strips; every compression that imagecodecs decodes; overviews as SubIFDs or as later images; a first
image that is a thumbnail of a later one; GDAL's tag for a nodata value. Of several full images one
is read, with a warning. Not covered, and refused: palettes, other depths, CMYK and other colour
models. Ignored: orientation, mask images, georeferencing.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tifffile import TiffFile, TiffPage

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster import ExtraBandsWarning, OtherPagesWarning, first_bands
from uhrqa.raster.blocks import BlockCache, Meter, StoredLevel
from uhrqa.raster.files import LocalFile
from uhrqa.raster.georeference import tiff_ground
from uhrqa.raster.ground import Ground, NoGround
from uhrqa.raster.guard import check_size, guarded
from uhrqa.raster.levels import LevelRaster, is_reduction
from uhrqa.raster.tiff_level import JPEG, Bands, TiffSource, tiff_level

if TYPE_CHECKING:
    from uhrqa.raster.remote import RemoteFile

# What tifffile logs about odd headers either raises here or does not matter.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

MAX_IMAGES = 64  # images of a file that are looked at; overviews come early
ASPECT_SLACK = 0.02  # between the shapes of a thumbnail and its image
LEAST_RATIO = 1.2  # by which an image is larger than its thumbnail; nearer sizes are a stack
GREY, RGB, YCBCR = 1, 2, 6
GDAL_NODATA = 42113  # a tag
REFUSED = {
    0: ("white-is-zero grey", "tiff2rgba {path} rgb.tif"),
    3: ("a colour palette", "gdal_translate -expand rgb {path} rgb.tif"),
    5: ("CMYK colours", "convert {path} -colorspace sRGB rgb.tif"),
    6: ("YCbCr colours without JPEG compression", "tiff2rgba {path} rgb.tif"),
    8: ("CIE L*a*b* colours", "convert {path} -colorspace sRGB rgb.tif"),
}
OVERVIEWS = "add overviews: gdaladdo -r cubic {path} 2 4 8 16 32 64"


def open_tiff(place: str | RemoteFile) -> LevelRaster:
    """Open a TIFF file.

    Args:
        place: a path, or an open file on a server, which the raster then closes.

    Raises:
        RasterError: the file is damaged, or of a kind that is not covered.
    """
    path = place if isinstance(place, str) else place.path
    with guarded(f"{path}: not a readable TIFF"):
        tif = TiffFile(place if isinstance(place, str) else place.stream(), name=path)
    try:
        file = LocalFile(place, Meter()) if isinstance(place, str) else place
    except RasterError:
        tif.close()
        raise
    source = TiffSource(file, BlockCache())

    def close() -> None:
        source.cache.clear()
        tif.close()
        file.close()

    try:
        levels = _levels(source, tif)
    except BaseException:
        close()
        raise
    remedy = OVERVIEWS.format(path=path)
    return LevelRaster(
        path, levels, meter=file.meter, close=close, remedy=remedy, ground=_ground(tif)
    )


def _ground(tif: TiffFile) -> Ground | NoGround:
    """Where the image lies: any of its pages may say so, overviews do not."""
    for page in _pages(tif):
        try:
            if tags := page.geotiff_tags:
                return tiff_ground(tags)
        except Exception as error:  # noqa: BLE001 - damaged keys need not keep from the pixels
            return NoGround(f"its GeoTIFF keys cannot be read ({type(error).__name__})")
    return NoGround()


def _levels(source: TiffSource, tif: TiffFile) -> list[StoredLevel]:
    """The main image and its overviews, finest first, all checked."""
    path = source.path
    with guarded(f"{path}: the TIFF headers cannot be read"):
        pages = list(_pages(tif))
        if not pages:
            raise RasterError(f"{path}: a TIFF file without any image; export it again")
        first = next((page for page in pages if not page.is_reduced), pages[0])
        main = _main(path, first, pages)
        check_size(path, main.imagelength, main.imagewidth)
        bands = _bands(path, main)
        overviews = _overviews(main, [*_sub_pages(main), *pages], unmarked=main is not first)
    beside = sum(
        page is not main and _is_full(page) and not _is_thumbnail(page, main) for page in pages
    )
    if beside:
        more = " or more" if len(pages) == MAX_IMAGES else ""
        warnings.warn(
            f"{path}: {beside + 1}{more} full images; page {pages.index(main) + 1} is read "
            f"({main.imagewidth} x {main.imagelength} px); store the others as files of their own",
            OtherPagesWarning,
            stacklevel=5,
        )
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
    seen: set[int] = set()
    for index in range(MAX_IMAGES):
        try:
            page = tif.pages[index]
        except IndexError:
            return
        if page.offset in seen:  # a damaged chain that leads back
            return
        seen.add(page.offset)
        yield page if isinstance(page, TiffPage) else page.aspage()


def _sub_pages(page: TiffPage) -> list[TiffPage]:
    if not page.subifds or page.pages is None:
        return []
    found = [page.pages[index] for index in range(min(len(page.subifds), MAX_IMAGES))]
    return [sub if isinstance(sub, TiffPage) else sub.aspage() for sub in found]


def _is_full(page: TiffPage) -> bool:
    return not page.is_reduced and not page.is_mask and min(page.imagelength, page.imagewidth) > 0


def _is_thumbnail(page: TiffPage, whole: TiffPage) -> bool:
    """Whether a page that is not marked as reduced has the shape of another, and is smaller."""
    h, w = page.imagelength / whole.imagelength, page.imagewidth / whole.imagewidth
    return abs(h - w) <= ASPECT_SLACK * max(h, w) and max(h, w) * LEAST_RATIO <= 1


def _main(path: str, first: TiffPage, pages: Sequence[TiffPage]) -> TiffPage:
    """The first image, or the largest later one of which it has the shape of a thumbnail."""
    main = first
    for page in pages:
        if (
            _is_full(page)
            and page.imagelength * page.imagewidth > main.imagelength * main.imagewidth
            and _is_thumbnail(first, page)
            and _is_covered(path, page)
        ):
            main = page
    return main


def _is_covered(path: str, page: TiffPage) -> bool:
    try:
        _bands(path, page)
    except RasterError:
        return False
    return True


def _overviews(main: TiffPage, pages: Sequence[TiffPage], *, unmarked: bool) -> list[TiffPage]:
    """Reduced copies of the main image among other pages, finest first.

    Pages that are not marked as reduced are taken only if asked for: beside a main image that
    comes first, they may as well be other pictures.
    """
    found: dict[Size, TiffPage] = {}
    whole = Size(main.imagelength, main.imagewidth)
    for page in pages:
        size = Size(page.imagelength, page.imagewidth)
        if (
            page is not main
            and (page.is_reduced or unmarked)
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
    unseen = samples - len(alpha) > shown
    return Bands(shown, first_alpha, unseen, _nodata(page))


def _nodata(page: TiffPage) -> int | None:
    """The value of pixels without image that GDAL noted, where 8 bits can hold it."""
    tag = page.tags.get(GDAL_NODATA)
    try:
        value = float(str(tag.value).strip("\0 ")) if tag is not None else -1.0
    except ValueError:
        return None
    return int(value) if value.is_integer() and 0 <= value <= 255 else None
