"""TIFF, BigTIFF and Cloud Optimized GeoTIFF: which images of a file are its levels.

Structure comes from tifffile; everything a header promises is checked against the file before any
pixel is decoded. Covered: integers to 32 bits and floats, any number of bands, grey of either
direction, RGB, palettes, CMYK, YCbCr; alpha, mask images, no-data values; tiles and strips; every
compression that imagecodecs decodes; overviews as SubIFDs or as later images; a first image that is
a thumbnail of a later one. Of several full images one is read, with a warning.
Files of overviews and masks beside the image (`.ovr`, `.msk`) are used; of one on a server only
where it stores no overviews itself, so that others cost no request more.
Refused: CIE L*a*b* and complex numbers. Ignored: orientation (as GDAL does), colour profiles.
"""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tifffile import TiffFile, TiffPage

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster import OtherPagesWarning
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BadTiles, Meter, StoredLevel
from uhrqa.raster.files import LocalFile
from uhrqa.raster.gdal_kinds import tiff_crs
from uhrqa.raster.georeference import tiff_ground
from uhrqa.raster.ground import Ground, NoGround
from uhrqa.raster.guard import PREPARE, check_size, guarded
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.painter import Painter
from uhrqa.raster.reduce import half
from uhrqa.raster.samples import choose
from uhrqa.raster.serving import is_reduction
from uhrqa.raster.tiff_files import MAX_IMAGES, TiffFiles, pages_of
from uhrqa.raster.tiff_kinds import EXACT_HALVES, samples_of
from uhrqa.raster.tiff_level import mask_level, tiff_level
from uhrqa.raster.tiff_tiles import TiffSource
from uhrqa.reading import Reading

if TYPE_CHECKING:
    from uhrqa.raster.remote import RemoteFile

# What tifffile logs about odd headers either raises here or does not matter.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

ASPECT_SLACK = 0.02  # between the shapes of a thumbnail and its image
LEAST_RATIO = 1.2  # by which an image is larger than its thumbnail; nearer sizes are a stack
SHOWN_ALIKE = (2, 6)  # RGB and YCbCr: an overview may have one where its image has the other


def open_tiff(place: str | RemoteFile, reading: Reading) -> LevelRaster:
    """Open a TIFF file.

    Args:
        place: a path, or an open file on a server, which the raster then closes.
        reading: bands, contrast, limits.

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
    source = TiffSource(file, BlockCache(), BadTiles(masked=reading.masks_bad_tiles))
    files = TiffFiles(source, tif)
    try:
        levels, painter = _levels(files, reading)
    except BaseException:
        files.close()
        raise
    remedy = PREPARE.format(path=path)
    return LevelRaster(
        path,
        levels,
        meter=file.meter,
        close=files.close,
        remedy=remedy,
        ground=_ground(tif, place),
        painter=painter,
        bad=source.bad,
        reading=reading,
        decoder="tiff",
        scales=_halves(tif, levels),
        absent=partial(_never_stored, tif),
    )


def _never_stored(tif: TiffFile) -> tuple[int, int]:
    """How many tiles or strips of the full resolution are in no file, of how many."""
    with guarded(f"{tif.filename}: the TIFF headers cannot be read"):
        counts = next(pages_of(tif)).databytecounts
    return sum(not count for count in counts), len(counts)


def _halves(tif: TiffFile, levels: Sequence[StoredLevel]) -> list[tuple[float, float]] | None:
    """Scales of levels that are exactly half of the one before each, as `prepare` writes them."""
    with guarded(f"{tif.filename}: the TIFF headers cannot be read"):
        ours = next(pages_of(tif)).software == EXACT_HALVES
    if not ours or any(
        level.size != half(finer.size) for finer, level in itertools.pairwise(levels)
    ):
        return None
    return [(0.5**number, 0.5**number) for number in range(len(levels))]


def _ground(tif: TiffFile, place: str | RemoteFile) -> Ground | NoGround:
    """Where the image lies: any of its pages may say so, overviews do not."""

    def user_defined() -> str | None:
        return tiff_crs(place) if isinstance(place, str) else None

    for page in pages_of(tif):
        try:
            if tags := page.geotiff_tags:
                return tiff_ground(tags, user_defined)
        except Exception as error:  # noqa: BLE001 - damaged keys need not keep from the pixels
            return NoGround(f"its GeoTIFF keys cannot be read ({type(error).__name__})")
    return NoGround()


def _levels(files: TiffFiles, reading: Reading) -> tuple[list[StoredLevel], Painter]:
    """The main image and its overviews, finest first, all checked, and what paints them."""
    path = files.source.path
    with guarded(f"{path}: the TIFF headers cannot be read"):
        pages = list(pages_of(files.tif))
        if not pages:
            raise RasterError(f"{path}: a TIFF file without any image; export it again")
        first = next((page for page in pages if not page.is_reduced), pages[0])
        main = _main(path, first, pages)
        check_size(path, main.imagelength, main.imagewidth, reading.max_pixels)
        inside = [*_sub_pages(main), *pages]
        unmarked = main is not first
        complete = bool(_overviews(main, inside, unmarked=unmarked))
        overviews, masks_beside = files.beside(complete=complete)
        below = [*inside, *overviews]
        masks = _by_size([page for page in below if page.is_mask], masks_beside)
        is_masked = _size(main) in masks
        found = samples_of(path, main, masked=is_masked)
        overviews = _overviews(main, below, unmarked=unmarked)
        if is_masked:  # one without its mask would show what is no image
            overviews = [page for page in overviews if _size(page) in masks]
    _warn_of_others(path, main, pages)
    painter = Painter(choose(path, found, reading), reading)
    with guarded(f"{path}: the TIFF headers cannot be read"):
        levels = [
            _level(files, page, masks.get(_size(page)), painter, index)
            for index, page in enumerate([main, *overviews])
        ]
    return levels, painter


def _level(
    files: TiffFiles, page: TiffPage, mask: TiffPage | None, painter: Painter, index: int
) -> StoredLevel:
    masks = None if mask is None else mask_level(files.source_of(mask), mask, index)
    return tiff_level(files.source_of(page), page, painter, index, masks=masks)


def _by_size(inside: Sequence[TiffPage], beside: Sequence[TiffPage]) -> dict[Size, TiffPage]:
    """Masks by their sizes, those inside the file before those beside it."""
    return {_size(page): page for page in reversed([*inside, *beside])}


def _warn_of_others(path: str, main: TiffPage, pages: Sequence[TiffPage]) -> None:
    beside = sum(
        page is not main and _is_full(page) and not _is_thumbnail(page, main) for page in pages
    )
    if beside:
        more = " or more" if len(pages) == MAX_IMAGES else ""
        warnings.warn(
            f"{path}: {beside + 1}{more} full images; page {pages.index(main) + 1} is read "
            f"({main.imagewidth} x {main.imagelength} px); store the others as files of their own",
            OtherPagesWarning,
            stacklevel=6,
        )


def _size(page: TiffPage) -> Size:
    return Size(page.imagelength, page.imagewidth)


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
            and page.dtype == first.dtype
            and _is_covered(path, page)
        ):
            main = page
    return main


def _is_covered(path: str, page: TiffPage) -> bool:
    try:
        samples_of(path, page)
    except RasterError:
        return False
    return True


def _overviews(main: TiffPage, pages: Sequence[TiffPage], *, unmarked: bool) -> list[TiffPage]:
    """Reduced copies of the main image among other pages, finest first.

    Pages that are not marked as reduced are taken only if asked for: beside a main image that
    comes first, they may as well be other pictures.
    """
    found: dict[Size, TiffPage] = {}
    whole = _size(main)
    for page in pages:
        size = _size(page)
        if (
            page is not main
            and (page.is_reduced or unmarked)
            and not page.is_mask
            and min(size) > 0
            and page.dtype == main.dtype
            and page.samplesperpixel == main.samplesperpixel
            and page.photometric in (main.photometric, *SHOWN_ALIKE)
            and is_reduction(size, whole)
        ):
            found.setdefault(size, page)
    return [found[size] for size in sorted(found, key=lambda size: -size.area)]
