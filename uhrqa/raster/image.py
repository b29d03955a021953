"""PNG and JPEG images, through Pillow. They have no random access: all of one is decoded, once.

Covered: 8-bit grey and RGB, PNG with alpha. Refused: palettes, other depths, CMYK. Ignored: EXIF
orientation, colour profiles. The file is decoded at the first read, so opening costs nothing.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from uhrqa.errors import RasterError, WholeImageWarning
from uhrqa.geometry import Size
from uhrqa.raster.blocks import Meter, Window, with_alpha
from uhrqa.raster.guard import check_size, guarded
from uhrqa.raster.levels import LevelRaster

if TYPE_CHECKING:
    from uhrqa.raster.remote import RemoteFile

Array = NDArray[np.uint8]
MAX_IMAGE_PIXELS = 2**30  # 4 GiB decoded
WARN_PIXELS = 2**24
CHANNELS = {"L": 1, "RGB": 3, "LA": 4, "RGBA": 4}
CONVERT = (
    "convert it once: gdal_translate -of COG {path} tiled.tif, or "
    "vips tiffsave {path} tiled.tif --tile --pyramid"
)
PNG_DEPTH_AT = 24  # byte of the header that holds the bits per sample


def open_png(place: str | RemoteFile) -> LevelRaster:
    """Open a PNG image; one on a server is fetched whole.

    Raises:
        RasterError: the header is damaged, or the image is of a kind that is not covered.
    """
    source = _source(place)
    with _closing(source), guarded(f"{source.path}: not a readable PNG"):
        depth = source.file.read(PNG_DEPTH_AT + 1)[PNG_DEPTH_AT]
        source.file.seek(0)
        if depth == 16:  # Pillow would show such colours as if they had 8 bits
            raise RasterError(
                f"{source.path}: 16-bit PNG, only 8-bit images are read; "
                f"convert it: gdal_translate -ot Byte -scale {source.path} bytes.tif"
            )
        return _raster(source, PngImageFile(source.file))


def open_jpeg(place: str | RemoteFile) -> LevelRaster:
    """Open a JPEG image; one on a server is fetched whole.

    Raises:
        RasterError: the header is damaged, or the image is of a kind that is not covered.
    """
    source = _source(place)
    with _closing(source), guarded(f"{source.path}: not a readable JPEG"):
        return _raster(source, JpegImageFile(source.file))


@dataclass(frozen=True, slots=True)
class _Source:
    """An open file, and the bytes that decoding it takes from storage."""

    path: str
    file: IO[bytes]
    length: int
    meter: Meter


def _source(place: str | RemoteFile) -> _Source:
    if not isinstance(place, str):
        copy = place.copied()
        place.close()
        return _Source(place.path, copy, 0, place.meter)  # fetched, and counted, already
    with guarded(f"{place}: cannot be opened"):
        path = Path(place)
        return _Source(place, path.open("rb"), path.stat().st_size, Meter())


@contextmanager
def _closing(source: _Source) -> Iterator[None]:
    """Close the file where it does not become a raster."""
    try:
        yield
    except BaseException:
        source.file.close()
        raise


def _raster(source: _Source, image: ImageFile) -> LevelRaster:
    _check(source.path, image)

    def close() -> None:
        image.close()
        source.file.close()

    level = ImageLevel(source.path, image, source.meter, source.length)
    return LevelRaster(source.path, [level], meter=source.meter, close=close)


def _check(path: str, image: ImageFile) -> None:
    """Refuse what is not covered; warn of what will be slow.

    Pillow's own guard against huge images acts in `Image.open`, which is not used here: its limit
    is global and too low for these images.
    """
    check_size(path, image.height, image.width)
    pixels = image.width * image.height
    if image.mode not in CHANNELS:
        kind = {"P": "a colour palette", "1": "1 bit a pixel", "CMYK": "CMYK colours"}
        raise RasterError(
            f"{path}: {kind.get(image.mode, f'pixels of kind {image.mode}')}, not 8-bit grey or "
            f"RGB; convert it: gdal_translate {'-expand rgb ' if image.mode == 'P' else ''}{path} "
            "rgb.tif"
        )
    if pixels > MAX_IMAGE_PIXELS:
        raise RasterError(
            f"{path}: {image.width} x {image.height} px has no random access and would take "
            f"{pixels * 4 >> 30} GiB of memory (limit {MAX_IMAGE_PIXELS * 4 >> 30}); "
            + CONVERT.format(path=path)
        )
    if pixels > WARN_PIXELS:
        warnings.warn(
            f"{path}: {image.width} x {image.height} px has no random access, all of it is decoded "
            f"into {pixels * 4 >> 20} MiB; {CONVERT.format(path=path)}",
            WholeImageWarning,
            stacklevel=6,
        )


class ImageLevel:
    """The one resolution of a PNG or JPEG image, decoded when first needed."""

    def __init__(self, path: str, image: ImageFile, meter: Meter, length: int) -> None:
        self.size = Size(image.height, image.width)
        self.channels = CHANNELS[image.mode]
        self.band = max(1, min(512, WARN_PIXELS // image.width))
        self._path = path
        self._image = image
        self._meter = meter
        self._length = length
        self._decoded = False
        self._lock = threading.Lock()

    def window(self, window: Window) -> Array:
        """The pixels of a window.

        Raises:
            RasterError: the image is truncated or damaged.
        """
        self._decode()
        out = np.empty((*window.size, self.channels), np.uint8)
        # In bands: Pillow guards crops, too, with its global limit.
        for top in range(window.y0, window.y1, self.band):
            bottom = min(window.y1, top + self.band)
            part = np.asarray(self._image.crop((window.x0, top, window.x1, bottom)))
            out[top - window.y0 : bottom - window.y0] = _channels(part, self._image.mode)
        return out

    def _decode(self) -> None:
        with self._lock:
            if self._decoded:
                return
            with guarded(f"{self._path}: the image is truncated or damaged"):
                self._image.load()
            self._meter.add(self._length)
            self._decoded = True


def _channels(part: Array, mode: str) -> Array:
    """What Pillow gave, as `[h, w, C]`."""
    if mode in ("LA", "RGBA"):
        return with_alpha(part[..., :-1], part[..., -1])
    return part[:, :, None] if mode == "L" else part
