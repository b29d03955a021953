"""What the samples of a TIFF image mean, by its tags."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from uhrqa.errors import RasterError
from uhrqa.raster.samples import CMYK, GREY, PALETTE, RGB, WHITE_ZERO, YCBCR, Samples

EXACT_HALVES = "uhrqa prepare"  # software tag: each level is half the one before, sides rounded up
JPEG = 7
DECODED_TO_RGB = (6, 7, 33003, 33005, 34712, 50001, 50002, 52546)  # JPEG, JPEG 2000, WebP, JPEG XL
METADATA_TAG, NODATA_TAG = 42112, 42113  # GDAL's
ROLE = re.compile(r'<Item [^>]*sample="(\d{1,5})"[^>]*role="colorinterp"[^>]*>(\w+)<')
COLOURS = ("red", "green", "blue")
ASSOCIATED, UNASSOCIATED = ALPHAS = (1, 2)  # of ExtraSamples: colours multiplied by it, and not
PHOTOMETRICS = {0: WHITE_ZERO, 1: GREY, 2: RGB, 3: PALETTE, 4: GREY, 5: CMYK, 6: YCBCR}
LEAST_SAMPLES = {RGB: 3, YCBCR: 3, CMYK: 4}
REMEDY = "convert it: convert {path} -colorspace sRGB rgb.tif"


def samples_of(path: str, page: TiffPage, *, masked: bool = False) -> Samples:
    """The samples of a page, and which are shown where nothing else is asked for.

    Args:
        path: for messages.
        page: its tags.
        masked: whether a mask belongs to it.

    Raises:
        RasterError: colours that are not covered.
    """
    if page.dtype is None:
        raise RasterError(
            f"{path}: {page.bitspersample}-bit samples of an unknown kind; "
            f"convert it: gdal_translate -ot Float32 {path} floats.tif"
        )
    colour, count = _colour(path, page), page.samplesperpixel
    if count < LEAST_SAMPLES.get(colour, 1):
        raise RasterError(
            f"{path}: {colour.upper()} with {count} bands, {LEAST_SAMPLES[colour]} needed; "
            "export it again"
        )
    roles = _roles(page)
    alphas = _alphas(page, roles)
    shown = _shown(colour, count - len(alphas))
    named = [[band for band, role in roles.items() if role == name] for name in COLOURS]
    several = colour == GREY and shown == 3
    in_order = all(named) and several and count > max(named)[0]
    return Samples(
        count=count,
        dtype=np.dtype(page.dtype).newbyteorder("="),
        bits=int(page.bitspersample),
        colour=RGB if several else colour,
        shown=tuple(bands[0] for bands in named) if in_order else tuple(range(shown)),
        alpha=alphas[0] if alphas and alphas[0] >= shown else None,
        nodata=nodata_of(page),
        palette=_palette(path, page) if colour == PALETTE else None,
        masked=masked,
        guessed=several and not in_order,
        premultiplied=ASSOCIATED in (page.extrasamples or ()),
    )


def _roles(page: TiffPage) -> dict[int, str]:
    """What GDAL's metadata says of samples: index to `red`, `alpha`, `undefined` ..."""
    tag = page.tags.get(METADATA_TAG)
    found = ROLE.findall(str(tag.value)) if tag is not None else []
    return {int(sample): role.lower() for sample, role in found}


def _alphas(page: TiffPage, roles: dict[int, str]) -> list[int]:
    """Samples that are 0 where there is no image.

    A fourth band of infrared is often tagged as alpha, and GDAL's metadata tell better.
    """
    count, extra = page.samplesperpixel, page.extrasamples or ()
    kinds: dict[int, Any] = dict(enumerate(extra, start=count - len(extra)))
    return [
        sample
        for sample, kind in kinds.items()
        if (roles[sample] == "alpha" if sample in roles else int(kind) in ALPHAS)
    ]


def nodata_of(page: TiffPage) -> float | None:
    """The value that GDAL's tag names; None without one (tifffile's own answer would be 0)."""
    tag = page.tags.get(NODATA_TAG)
    try:
        return None if tag is None else float(str(tag.value).strip("\0 "))
    except ValueError:
        return None


def _colour(path: str, page: TiffPage) -> str:
    photometric = int(page.photometric)
    colour = PHOTOMETRICS.get(photometric)
    if colour is None:
        name = "CIE L*a*b* colours" if photometric == 8 else f"photometric {photometric}"
        raise RasterError(f"{path}: {name}, which are not read; {REMEDY.format(path=path)}")
    if colour != YCBCR or int(page.compression) in DECODED_TO_RGB:
        return RGB if colour == YCBCR else colour
    if page.dtype != "uint8" or tuple(page.subsampling or (2, 2)) != (1, 1):
        raise RasterError(
            f"{path}: YCbCr colours that are subsampled without JPEG; convert it: "
            f"tiff2rgba {path} rgb.tif"
        )
    return colour


def _shown(colour: str, count: int) -> int:
    """How many samples are shown, of so many that are no alpha."""
    if colour in (PALETTE, WHITE_ZERO):
        return 1
    if colour == CMYK:
        return 4
    return 1 if count < 3 else 3


def _palette(path: str, page: TiffPage) -> NDArray[np.uint8]:
    """`[2^bits, 3]`; some writers put 8-bit values where 16 bits belong.

    Raises:
        RasterError: there is none, or it is too short.
    """
    table, bits = page.colormap, int(page.bitspersample)
    if page.dtype not in ("uint8", "uint16") or table is None or table.shape != (3, 2**bits):
        raise RasterError(f"{path}: a palette image whose palette is missing; export it again")
    wide = np.asarray(table, np.uint16).T
    return np.ascontiguousarray(wide if wide.max() < 256 else wide >> 8).astype(np.uint8)
