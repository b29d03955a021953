"""Pieces of raster work, ours and the peers', each run in its own process by `raster_peers`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uhrqa.machine import peak_memory

VIEW, WINDOWS, LOOKS = 336, 150, 20


def places(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Corners (x, y) of random windows."""
    rng = np.random.default_rng(0)
    h, w = size
    return [(int(rng.integers(w - VIEW)), int(rng.integers(h - VIEW))) for _ in range(WINDOWS)]


def level_of(path: Path) -> Any:  # noqa: ANN401 - a StoredLevel
    """The finest level of an image, as its reader gives it."""
    from uhrqa.raster import open_raster

    raster: Any = open_raster(path)
    return raster.finest


def decode(path: Path) -> None:
    """Every tile decoded once and thrown away, by tifffile and imagecodecs."""
    import tifffile

    with tifffile.TiffFile(path) as tif, path.open("rb") as file:
        page: Any = tif.pages[0]
        tables = {"jpegtables": page.jpegtables} if page.jpegtables else {}
        for index, (at, count) in enumerate(
            zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            file.seek(at)
            page.decode(file.read(count), index, **tables)


def pyramid(path: Path) -> None:
    """All halvings of an image and every 336 px tile of it, in one pass."""
    from uhrqa.raster.copies import level_sizes
    from uhrqa.raster.reduce import bands, halvings

    level = level_of(path)
    for number, rows in halvings(bands(level), level_sizes(level.size)):
        if number == 0:
            for left in range(0, rows.shape[1], VIEW):
                rows[:, left : left + VIEW].copy()


def thumbnail(path: Path) -> None:
    """A view of all of an image, whatever it takes."""
    from uhrqa.geometry import Box, Size
    from uhrqa.raster import open_raster

    with open_raster(path) as raster:
        raster.read(Box.whole(raster.size), Size(VIEW, VIEW))


def thumbnails(path: Path) -> None:
    """Many times opened and looked at."""
    for _ in range(LOOKS):
        thumbnail(path)


def vips_sequential(path: Path) -> None:
    """All of an image decoded by pyvips from top to bottom."""
    import pyvips

    image = pyvips.Image.new_from_file(str(path), access="sequential", fail_on="error")
    for top in range(0, image.height, 512):
        image.crop(0, top, image.width, min(512, image.height - top)).numpy()


def windows(path: Path) -> None:
    """Random windows by uhrqa."""
    from uhrqa.geometry import Box, Size
    from uhrqa.raster import open_raster

    with open_raster(path) as raster:
        for x, y in places(raster.size):
            raster.read(Box(x, y, x + VIEW, y + VIEW), Size(VIEW, VIEW))


def windows_rasterio(path: Path, cache: int | None = None) -> None:
    """The same by rasterio, which keeps a twentieth of the memory's size of decoded tiles."""
    import rasterio
    from rasterio.windows import Window

    kept = {} if cache is None else {"GDAL_CACHEMAX": cache}
    with rasterio.Env(**kept), rasterio.open(path) as image:
        for x, y in places((image.height, image.width)):
            image.read(window=Window(x, y, VIEW, VIEW))


def windows_rasterio_alike(path: Path) -> None:
    """The same by rasterio, with as many bytes of decoded tiles kept as we keep."""
    from uhrqa.raster.block_cache import CACHE_BYTES

    windows_rasterio(path, CACHE_BYTES)


def windows_pyvips(path: Path) -> None:
    """The same by pyvips."""
    import pyvips

    image = pyvips.Image.new_from_file(str(path), access="random", fail_on="warning")
    region = pyvips.Region.new(image)
    for x, y in places((image.height, image.width)):
        region.fetch(x, y, VIEW, VIEW)


def windows_imagecodecs(path: Path) -> None:
    """Just the tiles under the windows decoded by tifffile and imagecodecs, none kept."""
    import tifffile

    with tifffile.TiffFile(path) as tif, path.open("rb") as file:
        page: Any = tif.pages[0]
        tables = {"jpegtables": page.jpegtables} if page.jpegtables else {}
        th, tw = page.tilelength, page.tilewidth
        across = -(-page.imagewidth // tw)
        for x, y in places((page.imagelength, page.imagewidth)):
            out = np.empty((VIEW, VIEW, page.samplesperpixel), page.dtype)
            for row in range(y // th, (y + VIEW - 1) // th + 1):
                for col in range(x // tw, (x + VIEW - 1) // tw + 1):
                    index = row * across + col
                    file.seek(page.dataoffsets[index])
                    tile = page.decode(file.read(page.databytecounts[index]), index, **tables)[0][0]
                    top, left = row * th, col * tw
                    y0, y1 = max(y, top), min(y + VIEW, top + th)
                    x0, x1 = max(x, left), min(x + VIEW, left + tw)
                    part = tile[y0 - top : y1 - top, x0 - left : x1 - left]
                    out[y0 - y : y1 - y, x0 - x : x1 - x] = part


def colours(path: Path) -> None:
    """Seconds for decoding every tile and for making colours of their samples, printed."""
    from uhrqa.raster import open_raster
    from uhrqa.raster.blocks import Window

    raster: Any = open_raster(path)
    raster.shown()  # finds the contrast, once per image
    (h, w), took = raster.size, 0.0
    for top in range(0, h, 512):
        values, valid = raster.painter.stored(Window(top, min(h, top + 512), 0, w))
        begin = time.process_time()
        raster.painter.paint(values, valid)
        took += time.process_time() - begin
    begin = time.process_time()
    decode(path)
    alone = time.process_time() - begin
    print(f"{took / alone:.2f} x ({took:.2f} / {alone:.2f} s)")


def quality(path: Path) -> None:
    """PSNR of level 5 and of a thumbnail against Pillow's bicubic of the whole image, printed."""
    from uhrqa.geometry import Box, Size
    from uhrqa.raster import open_raster
    from uhrqa.raster.blocks import Window
    from uhrqa.raster.reduce import bands, half, halvings

    level = level_of(path)
    sizes = [level.size]
    for _ in range(5):
        sizes.append(half(sizes[-1]))
    made = [rows for number, rows in halvings(bands(level), sizes) if number == 5]
    h, w = sizes[0]
    pixels = np.ascontiguousarray(level.window(Window(0, h, 0, w))[..., :3])  # without a mask
    whole = Image.fromarray(pixels)
    (h5, w5), spare = sizes[5], ((0, 32 * sizes[5].h - h), (0, 32 * sizes[5].w - w), (0, 0))
    padded = Image.fromarray(np.pad(pixels, spare, mode="edge"))  # the same grid: exactly 32:1
    five = np.concatenate(made)[..., :3]
    expected = np.asarray(padded.resize((w5, h5), Image.Resampling.BICUBIC))
    with open_raster(path) as raster:
        small = raster.read(Box.whole(raster.size), Size(VIEW, VIEW)).array
    other = np.asarray(whole.resize((VIEW, VIEW), Image.Resampling.BICUBIC))
    drift = float(five.mean() - np.asarray(padded).mean())  # repeated edges weigh in both
    print(f"level 5 {psnr(five, expected):.1f} dB, thumbnail {psnr(small, other):.1f} dB, "
          f"brightness {drift:+.2f} of 255")  # fmt: skip


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise, dB."""
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


WORK: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "decode": (decode, ("tifffile",)),
    "pyramid": (pyramid, ("torch", "uhrqa.raster.tiff", "uhrqa.raster.image")),
    "thumbnail": (thumbnail, ("torch", "uhrqa.raster.tiff")),
    "thumbnails": (thumbnails, ("uhrqa.raster.tiff",)),
    "vips_sequential": (vips_sequential, ("pyvips",)),
    "windows": (windows, ("uhrqa.raster.tiff",)),
    "windows_rasterio": (windows_rasterio, ("rasterio",)),
    "windows_rasterio_alike": (windows_rasterio_alike, ("rasterio",)),
    "windows_pyvips": (windows_pyvips, ("pyvips",)),
    "windows_imagecodecs": (windows_imagecodecs, ("tifffile",)),
    "colours": (colours, ("tifffile", "uhrqa.raster.tiff")),
    "quality": (quality, ("torch",)),
}
"""Name to what is done, and what is imported before the clock starts."""


def run(name: str, path: Path) -> None:
    """Do one piece and print CPU seconds, peak MB, and MB before."""
    import importlib

    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None
    work, imports = WORK[name]
    for module in imports:
        importlib.import_module(module)
        if module == "torch":
            importlib.import_module("torch").set_num_threads(1)
            importlib.import_module("torch.nn.functional")
    before = peak_memory() / 2**20
    begin = time.process_time()
    work(path)
    seconds = time.process_time() - begin
    peak = peak_memory() / 2**20
    print(f"{seconds} {peak} {before}")
