"""How fast this machine decodes images and resamples tiles, measured on files written for it."""

from __future__ import annotations

import importlib
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import WholeImageWarning
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster
from uhrqa.raster.blocks import Window
from uhrqa.raster.derived_levels import ArrayLevel
from uhrqa.raster.image_level import STRIP_ROWS
from uhrqa.raster.made_levels import MadeLevels

Array = NDArray[np.uint8]
Pair = tuple[Path, Path]
SCENE = 2048  # px, side of the image
WHOLE = 4096  # px, side of PNG and JPEG: as large as those that Pillow decodes may be
PATTERN = 1024  # px, side of what is repeated: more than compressors look back
BLOCK = 512
TILES = (112, 336)  # px, sides of tiles: what a tile takes besides its pixels is told from both
FINER = 1.4  # source pixels per pixel of a tile, along a side
FALLOFF = 1.5  # of amplitudes with frequency, about as in aerial images
SPREAD, TINT = 45, 8  # standard deviations of brightness, and of each colour beside it
LEAST = 1e-12  # s: no rate is infinite
RUNS = 5
FEW_RUNS = 2  # of what takes long
LOADED = {"tiff": "tifffile", "zarr": "zarr", "png in bands": "pyvips", "jpeg in bands": "pyvips"}
"""What a process loads at the first image of a decoder."""
IN_BANDS = ("png in bands", "jpeg in bands")
SPOOLED = 3  # bytes of a pixel that these write to a temporary file
PIECE, PIECES = 2**25, 10  # bytes of such files, and how many lie side by side


class DecodingSpeed(NamedTuple):
    """Seconds that a decoder takes.

    Attributes:
        opening: of the first image.
        pixel: of each pixel.
        byte: of each byte in storage beside that.
    """

    opening: float
    pixel: float
    byte: float

    def slower(self, seconds: float) -> DecodingSpeed:
        """With so many more of each pixel."""
        return self._replace(pixel=self.pixel + seconds)


class ReadingSpeed(NamedTuple):
    """Seconds that reading takes.

    Attributes:
        tile: of each tile, whatever its size.
        pixel: of each pixel of a tile, resampled.
        halved: of each pixel of a level that coarser ones are made of in memory.
        decoders: by name, as rasters tell it.
    """

    tile: float
    pixel: float
    halved: float
    decoders: dict[str, DecodingSpeed]


def seconds(run: Callable[[], object], *, elsewhere: bool = False, runs: int = RUNS) -> float:
    """The median of a few runs, behind one that warms up.

    A run counts its seconds, or those of the process where these are fewer: others had the CPU in
    between.

    Args:
        run: what is measured.
        elsewhere: it computes on another device than the CPU, whose seconds then say nothing.
        runs: how many count.
    """
    took = []
    for _ in range(1 + runs):
        begin, used = time.perf_counter(), time.process_time()
        run()
        took.append(time.perf_counter() - begin)
        if not elsewhere:
            took[-1] = min(took[-1], time.process_time() - used)
    return max(float(np.median(took[1:])), LEAST)


def measure_reading() -> ReadingSpeed:
    """Measure it, on files of what looks like ground and of a blank image."""
    opening = {name: _loading(library) for name, library in LOADED.items()}
    scene = _ground(SCENE, SCENE)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        blocks = [_tiffs(scene, directory), _zarrs(scene, directory)]
        decoders = _decoders(blocks, RUNS, opening)
        # PNG and JPEG that are a little larger are decoded in bands where pyvips is installed.
        for rows in (WHOLE + STRIP_ROWS, WHOLE):
            images = [_images(rows, directory / f"{rows}.{kind}") for kind in ("png", "jpeg")]
            decoders |= _decoders(images, FEW_RUNS, opening)
        small, large = (_resampling(blocks[0][0], side) for side in TILES)
    if banded := [name for name in IN_BANDS if name in decoders]:
        fresh = SPOOLED * _fresh_pages()
        decoders |= {name: decoders[name].slower(fresh) for name in banded}
    pixel = max(LEAST, (large - small) / (TILES[1] ** 2 - TILES[0] ** 2))
    tile = max(LEAST, small - TILES[0] ** 2 * pixel)
    return ReadingSpeed(tile, pixel, _halving(scene), decoders)


def _loading(library: str) -> float:
    """CPU seconds of loading a library; next to nothing again, or where it is not there."""
    used = time.process_time()
    try:
        importlib.import_module(library)
    except (ImportError, OSError):  # the latter without libvips
        return LEAST
    return max(LEAST, time.process_time() - used)


def _fresh_pages() -> float:
    """CPU seconds that a byte of a large temporary file takes beyond one of a small file.

    What is measured again and again gets the pages that the last file gave back. All of a large
    file does not: the system has to find them, which takes ten times as long on some machines.
    """
    values, took = b"\1" * PIECE, []
    with ExitStack() as stack:
        for _ in range(PIECES):  # none is closed: each needs pages of its own
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            used = time.process_time()
            file.write(values)
            took.append(time.process_time() - used)
    return (max(took) - min(took)) / PIECE


def _ground(rows: int, cols: int) -> Array:
    """`[rows, cols, 3]` with the spectrum of an aerial image: noise, weaker the finer it is."""
    random, side = np.random.default_rng(0), min(PATTERN, rows, cols)
    fineness = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    fineness[0, 0] = 1

    def plane() -> NDArray[np.float64]:
        waves = np.fft.rfft2(random.standard_normal((side, side))) / fineness**FALLOFF
        values = np.fft.irfft2(waves, (side, side))
        found: NDArray[np.float64] = values / values.std()
        return found

    bright = 127 + SPREAD * plane()
    colours = np.stack([bright + TINT * plane() for _ in range(3)], -1)
    times = -(-rows // side), -(-cols // side), 1
    return np.tile(colours.clip(0, 255).astype(np.uint8), times)[:rows, :cols]


def _tiffs(scene: Array, directory: Path) -> Pair:
    """A scene with JPEG, and with Deflate."""
    import tifffile

    lossy, lossless = directory / "jpeg.tif", directory / "deflate.tif"
    tiled: dict[str, Any] = {"tile": (BLOCK, BLOCK), "photometric": "rgb"}
    quality = {"level": 90}
    tifffile.imwrite(lossy, scene, compression="jpeg", compressionargs=quality, **tiled)
    tifffile.imwrite(lossless, scene, compression="zlib", predictor=2, **tiled)
    return lossy, lossless


def _zarrs(scene: Array, directory: Path) -> Pair:
    """A blank image and a scene, compressed as Zarr does unless told otherwise."""
    import zarr

    places = directory / "blank.zarr", directory / "scene.zarr"
    for path, values in zip(places, (np.full_like(scene, 1), scene), strict=True):
        planes = np.moveaxis(values, -1, 0)
        names = ("c", "y", "x")
        zarr.create_array(str(path), data=planes, chunks=(3, BLOCK, BLOCK), dimension_names=names)
    return places


def _images(rows: int, path: Path) -> Pair:
    """A blank image and a scene as PNG or JPEG."""
    from PIL import Image

    places = path.with_stem(f"{path.stem}-blank"), path
    for place, values in zip(
        places, (np.full((rows, WHOLE, 3), 1, np.uint8), _ground(rows, WHOLE)), strict=True
    ):
        Image.fromarray(values).save(place, quality=90, compress_level=1)
    return places


def _decoders(
    pairs: Sequence[Pair], runs: int, opening: dict[str, float]
) -> dict[str, DecodingSpeed]:
    """Of each pair of files that differ in bytes alone, fewer first: the speed of its decoder."""
    found = {}
    for pair in pairs:
        (few, low, pixels, _), (many, high, _, name) = (_decoding(path, runs) for path in pair)
        byte = max(LEAST, (high - low) / (many - few))
        pixel = max(LEAST, (low - few * byte) / pixels)
        found[name] = DecodingSpeed(opening.get(name, LEAST), pixel, byte)
    return found


def _decoding(path: Path, runs: int) -> tuple[int, float, int, str]:
    """Bytes read for all pixels of a file, seconds for decoding them, pixels, and the decoder."""

    def read() -> tuple[int, int, str]:
        raster: Any
        with open_raster(path) as raster:
            h, w = raster.size
            for top in range(0, h, BLOCK):
                raster.finest.window(Window(top, min(h, top + BLOCK), 0, w))
            return raster.bytes_read, h * w, raster.decoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WholeImageWarning)
        took = seconds(read, runs=runs)
        count, pixels, name = read()
    return count, took, pixels, name


def _halving(scene: Array) -> float:
    """Seconds for each pixel of a level that all coarser ones are made of."""
    level = ArrayLevel(scene)
    limit = level.size.area // 16  # the first that is made then fits
    return seconds(lambda: MadeLevels(level, limit).get(0)) / level.size.area


def _resampling(path: Path, side: int) -> float:
    """Seconds for a tile of this side out of blocks that are decoded already."""
    source, out = side * FINER, Size(side, side)
    starts = [source * step for step in range(int(SCENE // source))]
    with open_raster(path) as raster:

        def read() -> None:
            for top in starts:
                for left in starts:
                    raster.read(Box(left, top, left + source, top + source), out)

        return seconds(read) / len(starts) ** 2
