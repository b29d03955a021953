"""PNG and JPEG images. They have no random access: all of one is decoded, once.

Covered: 1 to 16 bits a sample, grey, RGB, palettes, CMYK, alpha; EXIF orientation. Ignored: colour
profiles, and the one transparent colour that a 16-bit PNG may name. The file is decoded at the
first read, so opening costs nothing: through Pillow, but for PNG of 16 bits, of which Pillow keeps
8. A truncated or damaged image is an error whatever is said of bad tiles: it has no tiles.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from uhrqa.errors import RasterError, WholeImageWarning
from uhrqa.geometry import Size
from uhrqa.raster.blocks import Meter, Window
from uhrqa.raster.guard import SMALL_PIXELS, check_packed, check_size, guarded
from uhrqa.raster.image_pixels import COUNTS, DeepPngPixels, PillowPixels
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.orientation import orientation_of
from uhrqa.raster.painter import Painter
from uhrqa.raster.samples import CMYK, GREY, RGB, Samples, choose
from uhrqa.reading import Reading

Values = NDArray[Any]
Cut = Callable[[Window], Values]
MAX_IMAGE_PIXELS = 2**30  # decoded to 4 bytes each
WARN_PIXELS = 2**24
PIXEL_BYTES = 4
MODES = {  # colour, index of alpha
    "L": (GREY, None),
    "LA": (GREY, 1),
    "RGB": (RGB, None),
    "RGBA": (RGB, 3),
    "CMYK": (CMYK, None),
}
SHOWN_AS = {"1": "L", "P": "RGB"}
PNG_MODES = {0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}  # by the header's colour type
CONVERT = (
    "convert it once: gdal_translate -of COG {path} tiled.tif, or "
    "vips tiffsave {path} tiled.tif --tile --pyramid"
)
PNG_DEPTH_AT = 24  # byte of the header that holds the bits per sample; the colour type follows
JPEG_PIXELS_A_BYTE = 4096  # 64 pixels take a bit at least; some slack for arithmetic coding


def open_png(path: str, reading: Reading) -> LevelRaster:
    """Open a PNG image.

    Raises:
        RasterError: the header is damaged, or the image is of a kind that is not covered.
    """
    with guarded(f"{path}: not a readable PNG"):
        with Path(path).open("rb") as file:
            depth, colour = file.read(PNG_DEPTH_AT + 2)[PNG_DEPTH_AT:]
        image = PngImageFile(path)
    mode, bits = (PNG_MODES[colour], 16) if depth == 16 else (_mode(path, image), 8)
    samples = _samples(mode, bits)
    per_pixel = max(PIXEL_BYTES, samples.count * bits // 8)

    def check() -> None:
        least = depth * (samples.count if colour in PNG_MODES else 1)
        with guarded(f"{path}: the image is truncated or damaged"):
            unpacked = image.height * image.width * least // 8
            check_packed("deflate", Path(path).stat().st_size, unpacked)
        _check_memory(path, image, per_pixel, reading)

    cut = DeepPngPixels(path).cut if depth == 16 else PillowPixels(image, mode).cut
    return _raster(path, image, cut, samples, reading, check)


def open_jpeg(path: str, reading: Reading) -> LevelRaster:
    """Open a JPEG image.

    Raises:
        RasterError: the header is damaged, or the image is of a kind that is not covered.
    """
    with guarded(f"{path}: not a readable JPEG"):
        image = JpegImageFile(path)
        length = Path(path).stat().st_size
    mode = _mode(path, image)

    def check() -> None:
        if image.height * image.width > SMALL_PIXELS + JPEG_PIXELS_A_BYTE * length:
            raise RasterError(
                f"{path}: {image.width} x {image.height} px in {length} bytes; "
                "the file is damaged or cut short, copy or export it again"
            )
        _check_memory(path, image, PIXEL_BYTES + _coefficient_bytes(image), reading)

    cut = PillowPixels(image, mode).cut
    return _raster(path, image, cut, _samples(mode, 8), reading, check)


def _raster(
    path: str,
    image: ImageFile,
    cut: Cut,
    samples: Samples,
    reading: Reading,
    check: Callable[[], None],
) -> LevelRaster:
    try:
        check_size(path, image.height, image.width, reading.max_pixels)
        check()
        painter = Painter(choose(path, samples, reading), reading)
    except RasterError:
        image.close()
        raise
    meter = Meter()
    level = ImageLevel(path, image, cut, painter, meter)
    painter.source(level.size, lambda window: (level.samples(window), None))
    return LevelRaster(
        path, [level], meter=meter, close=image.close, painter=painter, reading=reading
    )


def _mode(path: str, image: ImageFile) -> str:
    """The mode in which pixels are shown.

    Raises:
        RasterError: none is known.
    """
    mode = SHOWN_AS.get(image.mode, image.mode)
    if "transparency" in image.info:
        mode = {"L": "LA", "RGB": "RGBA"}.get(mode, mode)
    if image.mode == "P" and image.palette is None:
        mode = "palette without colours"
    if mode not in MODES:
        image.close()
        raise RasterError(
            f"{path}: pixels of kind {mode}, which are not read; "
            f"convert it: gdal_translate {path} rgb.tif"
        )
    return mode


def _samples(mode: str, bits: int) -> Samples:
    count, (colour, alpha) = COUNTS[mode], MODES[mode]
    shown = tuple(index for index in range(count) if index != alpha)
    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
    return Samples(count, dtype, bits, colour, shown, alpha)


def _coefficient_bytes(image: JpegImageFile) -> int:
    """Bytes a pixel of the coefficients that a progressive JPEG keeps until its last scan."""
    if not image.info.get("progressive"):
        return 0
    layers = [(h * v) for _, h, v, _ in image.layer]
    return -(-2 * sum(layers) // max(1, *layers))


def _check_memory(path: str, image: ImageFile, pixel_bytes: int, reading: Reading) -> None:
    """Refuse what would not fit; warn of what will be slow.

    Pillow's own guard against huge images acts in `Image.open`, which is not used here: its limit
    is global and too low for these images.
    """
    pixels, limit = image.width * image.height, reading.max_pixels or MAX_IMAGE_PIXELS
    needed = pixels * pixel_bytes
    if needed > limit * PIXEL_BYTES:
        kind = (
            "is progressive"
            if pixel_bytes > PIXEL_BYTES and image.format == "JPEG"
            else ("has no random access")
        )
        raise RasterError(
            f"{path}: {image.width} x {image.height} px {kind} and would take "
            f"{needed / 2**30:.1f} GiB of memory (limit {limit * PIXEL_BYTES / 2**30:.1f}); "
            f"{CONVERT.format(path=path)}; or raise --max-pixels"
        )
    if pixels > WARN_PIXELS:
        warnings.warn(
            f"{path}: {image.width} x {image.height} px has no random access, all of it is decoded "
            f"into {needed >> 20} MiB; {CONVERT.format(path=path)}",
            WholeImageWarning,
            stacklevel=6,
        )


class ImageLevel:
    """The one resolution of a PNG or JPEG image, upright.

    Args:
        path: for messages.
        image: its header.
        cut: gives stored pixels of a stored window, `[h, w, S]`.
        painter: makes colours of samples.
        meter: the whole file is counted at the first read.
    """

    def __init__(
        self, path: str, image: ImageFile, cut: Cut, painter: Painter, meter: Meter
    ) -> None:
        self._stored = Size(image.height, image.width)
        self._upright = orientation_of(image)
        self.size = self._upright.size(self._stored)
        self.channels = painter.channels
        self.band = max(1, min(512, WARN_PIXELS // self.size.w))
        self._path = path
        self._cut = cut
        self._painter = painter
        self._meter = meter
        self._counted = False
        self._lock = threading.Lock()

    def window(self, window: Window) -> NDArray[np.uint8]:
        """The pixels of a window.

        Raises:
            RasterError: the image is truncated or damaged.
        """
        return self._painter.paint(self.samples(window))

    def samples(self, window: Window) -> Values:
        """The samples of a window that are shown, `[h, w, S]`."""
        with self._lock, guarded(f"{self._path}: the image is truncated or damaged"):
            values = self._cut(self._upright.stored_window(window, self._stored))
            if not self._counted:
                self._meter.add(Path(self._path).stat().st_size)
                self._counted = True
        chosen, upright = self._painter.samples.indices, self._upright.shown(values)
        every = chosen == tuple(range(values.shape[2]))
        return upright if every else upright[..., list(chosen)]
