"""PNG and JPEG images. They have no random access: all of one is decoded, once.

Covered: 1 to 16 bits a sample, grey, RGB, palettes, CMYK, alpha; EXIF orientation. Ignored: colour
profiles, and the one transparent colour that a 16-bit PNG may name. The file is decoded at the
first read, so opening costs nothing: through Pillow, but for PNG of 16 bits, of which Pillow keeps
8. A truncated or damaged image is an error whatever is said of bad tiles: it has no tiles.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from uhrqa.errors import RasterError, WholeImageWarning
from uhrqa.geometry import Size
from uhrqa.raster.blocks import Window
from uhrqa.raster.files import WholeFile, open_whole
from uhrqa.raster.guard import SMALL_PIXELS, check_packed, check_size, guarded
from uhrqa.raster.image_pixels import COUNTS, DeepPngPixels, PillowPixels
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.orientation import orientation_of
from uhrqa.raster.painter import Painter
from uhrqa.raster.samples import CMYK, GREY, RGB, Samples, choose
from uhrqa.reading import Reading

if TYPE_CHECKING:
    from uhrqa.raster.remote import RemoteFile

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


def open_png(place: str | RemoteFile, reading: Reading) -> LevelRaster:
    """Open a PNG image; one on a server is fetched whole.

    Raises:
        RasterError: the header is damaged, or the image is of a kind that is not covered.
    """
    file = open_whole(place)
    with file.closed_on_failure():
        with guarded(f"{file.path}: not a readable PNG"):
            depth, colour = file.stream.read(PNG_DEPTH_AT + 2)[PNG_DEPTH_AT:]
            file.stream.seek(0)
            image = PngImageFile(file.stream)
        mode, bits = (PNG_MODES[colour], 16) if depth == 16 else (_mode(file.path, image), 8)
        samples = _samples(mode, bits)

        def check() -> None:
            least = depth * (samples.count if colour in PNG_MODES else 1)
            with guarded(f"{file.path}: the image is truncated or damaged"):
                check_packed("deflate", file.length, image.height * image.width * least // 8)
            _check_memory(file.path, image, max(PIXEL_BYTES, samples.count * bits // 8), reading)

        cut = DeepPngPixels(file.stream).cut if depth == 16 else PillowPixels(image, mode).cut
        return _raster(file, image, cut, samples, reading, check)


def open_jpeg(place: str | RemoteFile, reading: Reading) -> LevelRaster:
    """Open a JPEG image; one on a server is fetched whole.

    Raises:
        RasterError: the header is damaged, or the image is of a kind that is not covered.
    """
    file = open_whole(place)
    with file.closed_on_failure():
        with guarded(f"{file.path}: not a readable JPEG"):
            image = JpegImageFile(file.stream)
        mode = _mode(file.path, image)

        def check() -> None:
            if image.height * image.width > SMALL_PIXELS + JPEG_PIXELS_A_BYTE * file.length:
                raise RasterError(
                    f"{file.path}: {image.width} x {image.height} px in {file.length} bytes; "
                    "the file is damaged or cut short, copy or export it again"
                )
            _check_memory(file.path, image, PIXEL_BYTES + _coefficient_bytes(image), reading)

        cut = PillowPixels(image, mode).cut
        return _raster(file, image, cut, _samples(mode, 8), reading, check)


def _raster(
    file: WholeFile,
    image: ImageFile,
    cut: Cut,
    samples: Samples,
    reading: Reading,
    check: Callable[[], None],
) -> LevelRaster:
    check_size(file.path, image.height, image.width, reading.max_pixels)
    check()
    painter = Painter(choose(file.path, samples, reading), reading)
    level = ImageLevel(file, image, cut, painter)
    painter.source(level.size, lambda window: (level.samples(window), None))

    def close() -> None:
        image.close()
        file.stream.close()

    return LevelRaster(
        file.path, [level], meter=file.meter, close=close, painter=painter, reading=reading
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
        file: all of it is counted at the first read.
        image: its header.
        cut: gives stored pixels of a stored window, `[h, w, S]`.
        painter: makes colours of samples.
    """

    def __init__(self, file: WholeFile, image: ImageFile, cut: Cut, painter: Painter) -> None:
        self._stored = Size(image.height, image.width)
        self._upright = orientation_of(image)
        self.size = self._upright.size(self._stored)
        self.channels = painter.channels
        self.band = max(1, min(512, WARN_PIXELS // self.size.w))
        self._file = file
        self._cut = cut
        self._painter = painter
        self._counted = False
        self.decoded_bytes = self.size.area * PIXEL_BYTES
        self._lock = threading.Lock()

    def window(self, window: Window) -> NDArray[np.uint8]:
        """The pixels of a window.

        Raises:
            RasterError: the image is truncated or damaged.
        """
        return self._painter.paint(self.samples(window))

    def stored_bytes(self, _windows: Iterable[Window]) -> int:
        """All of the file, whatever is read; nothing where it is decoded, or fetched, already."""
        return 0 if self._counted else self._file.unread

    def samples(self, window: Window) -> Values:
        """The samples of a window that are shown, `[h, w, S]`."""
        with self._lock, guarded(f"{self._file.path}: the image is truncated or damaged"):
            values = self._cut(self._upright.stored_window(window, self._stored))
            if not self._counted:
                self._file.meter.add(self._file.unread)
                self._counted = True
        chosen, upright = self._painter.samples.indices, self._upright.shown(values)
        every = chosen == tuple(range(values.shape[2]))
        return upright if every else upright[..., list(chosen)]
