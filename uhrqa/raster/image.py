"""PNG and JPEG images. They have no random access: all of one is decoded, once.

A large one is decoded in bands where pyvips is installed and its kind allows it (no interlaced PNG,
no progressive or CMYK JPEG), else as a whole into memory.

Covered: 1 to 16 bits a sample, grey, RGB, palettes, CMYK, alpha; EXIF orientation. Ignored: colour
profiles, and the one transparent colour that a 16-bit PNG may name. The file is decoded at the
first read, so opening costs nothing: through Pillow, but for PNG of 16 bits, of which Pillow keeps
8. A truncated or damaged image is an error whatever is said of bad tiles: it has no tiles.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from uhrqa.errors import RasterError, WholeImageWarning
from uhrqa.geometry import Size
from uhrqa.raster.files import WholeFile, open_whole
from uhrqa.raster.guard import PREPARE, SMALL_PIXELS, check_packed, check_size, guarded
from uhrqa.raster.image_bands import BandedPixels, has_pyvips
from uhrqa.raster.image_level import ImageLevel, band_of
from uhrqa.raster.image_pixels import COUNTS, PIXEL_BYTES, DeepPngPixels, PillowPixels, Pixels
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.painter import Painter
from uhrqa.raster.samples import CMYK, GREY, RGB, Samples, choose
from uhrqa.reading import Reading

if TYPE_CHECKING:
    from uhrqa.raster.remote import RemoteFile
    from uhrqa.raster.streamed import StreamedFile

Values = NDArray[Any]
MAX_IMAGE_PIXELS = 2**30  # decoded to 4 bytes each
WARN_PIXELS = 2**24
MODES = {  # colour, index of alpha
    "L": (GREY, None),
    "LA": (GREY, 1),
    "RGB": (RGB, None),
    "RGBA": (RGB, 3),
    "CMYK": (CMYK, None),
}
SHOWN_AS = {"1": "L", "P": "RGB"}
PNG_MODES = {0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}  # by the header's colour type
PNG_DEPTH_AT = 24  # byte of the header that holds the bits per sample; the colour type follows
JPEG_PIXELS_A_BYTE = 4096  # 64 pixels take a bit at least; some slack for arithmetic coding


def open_png(place: str | RemoteFile | StreamedFile, reading: Reading) -> LevelRaster:
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
        check_size(file.path, image.height, image.width, reading.max_pixels)
        least = depth * (samples.count if colour in PNG_MODES else 1)
        with guarded(f"{file.path}: the image is truncated or damaged"):
            check_packed("deflate", file.length, image.height * image.width * least // 8)
        pixels: Pixels
        if not image.info.get("interlace") and _may_band(image, bits):
            pixels = _banded(file, image, samples, reading)
        else:
            held = max(PIXEL_BYTES, samples.count * bits // 8)
            _check_memory(file.path, image, held, reading)
            deep = DeepPngPixels(file.stream, held * image.width * image.height)
            pixels = deep if depth == 16 else PillowPixels(image, mode)
        return _raster(file, image, pixels, samples, reading)


def open_jpeg(place: str | RemoteFile | StreamedFile, reading: Reading) -> LevelRaster:
    """Open a JPEG image; one on a server is fetched whole.

    Raises:
        RasterError: the header is damaged, or the image is of a kind that is not covered.
    """
    file = open_whole(place)
    with file.closed_on_failure():
        with guarded(f"{file.path}: not a readable JPEG"):
            image = JpegImageFile(file.stream)
        mode = _mode(file.path, image)
        check_size(file.path, image.height, image.width, reading.max_pixels)
        if image.height * image.width > SMALL_PIXELS + JPEG_PIXELS_A_BYTE * file.length:
            raise RasterError(
                f"{file.path}: {image.width} x {image.height} px in {file.length} bytes; "
                "the file is damaged or cut short, copy or export it again"
            )
        samples, kept = _samples(mode, 8), _coefficient_bytes(image)
        pixels: Pixels
        if not kept and mode != "CMYK" and _may_band(image, 8):
            pixels = _banded(file, image, samples, reading)
        else:
            _check_memory(file.path, image, PIXEL_BYTES + kept, reading)
            pixels = PillowPixels(image, mode)
        return _raster(file, image, pixels, samples, reading)


def _may_band(image: ImageFile, bits: int) -> bool:
    """Whether an image is worth it, and pyvips is there and shows it as the others do."""
    plain = bits == 8 or "transparency" not in image.info
    return plain and image.width * image.height > WARN_PIXELS and has_pyvips()


def _banded(file: WholeFile, image: ImageFile, samples: Samples, reading: Reading) -> BandedPixels:
    pixel_bytes = samples.count * samples.dtype.itemsize
    _check_memory(file.path, image, pixel_bytes, reading, what="file")
    return BandedPixels(
        file.path,
        file.stream,
        Size(image.height, image.width),
        samples=samples.count,
        dtype=samples.dtype,
        band=band_of(image.width),
    )


def _raster(
    file: WholeFile, image: ImageFile, pixels: Pixels, samples: Samples, reading: Reading
) -> LevelRaster:
    painter = Painter(choose(file.path, samples, reading), reading)
    level = ImageLevel(file, image, pixels, painter)
    painter.source(level.size, lambda window: (level.samples(window), None))

    def close() -> None:
        pixels.close()
        image.close()
        file.stream.close()

    return LevelRaster(
        file.path,
        [level],
        meter=file.meter,
        close=close,
        painter=painter,
        reading=reading,
        decoder=str(image.format).lower() + " in bands" * isinstance(pixels, BandedPixels),
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


def _check_memory(
    path: str, image: ImageFile, pixel_bytes: int, reading: Reading, *, what: str = "memory"
) -> None:
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
            f"{needed / 2**30:.1f} GiB of {what} (limit {limit * PIXEL_BYTES / 2**30:.1f}); "
            f"raise --max-pixels, or convert it: gdal_translate -of COG {path} tiled.tif"
        )
    if pixels > WARN_PIXELS:
        into = f"{needed >> 20} MiB"
        if what == "file":
            into = f"a file of {into}"
        elif not has_pyvips():
            into += " (less with uhrqa[vips])"
        warnings.warn(
            f"{path}: {image.width} x {image.height} px has no random access, all of it is decoded "
            f"into {into}; {PREPARE.format(path=path)}",
            WholeImageWarning,
            stacklevel=6,
        )
