"""Images whose pixels tell where they come from. Plain functions, for any test to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

from uhrqa.geometry import Size

Array = NDArray[np.uint8]


def coordinate_raster(h: int, w: int) -> Array:
    """An image `[h, w, 3]` that names each pixel: red x mod 256, green y mod 256, blue the rest.

    Blue is `x // 256 + 16 * (y // 256)`, so places are unique up to 4096 x 4096.
    """
    y, x = np.mgrid[:h, :w]
    blue = (x // 256 % 16) + 16 * (y // 256 % 16)
    return np.stack([x % 256, y % 256, blue], axis=-1).astype(np.uint8)


def noise_raster(h: int, w: int, seed: int = 0) -> Array:
    """An image `[h, w, 3]` of noise: the hardest case for resampling."""
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def level_raster(
    path: Path, size: Size, levels: Sequence[tuple[Size, int]], *, sub_ifds: bool = False
) -> None:
    """A TIFF whose every stored level has a grey value of its own.

    Args:
        path: where to write.
        size: (h, w) of the full-resolution image, which has the value 10.
        levels: size and value of each overview.
        sub_ifds: store overviews as SubIFDs, as OME writers do; else as later images, as GDAL.
    """
    with tifffile.TiffWriter(path) as tif:
        _write_level(tif, size, 10, subifds=len(levels) if sub_ifds else None)
        for overview, value in levels:
            _write_level(tif, overview, value, subfiletype=1)


def _write_level(tif: tifffile.TiffWriter, size: Size, value: int, **options: Any) -> None:
    tif.write(
        np.full((*size, 3), value, np.uint8),
        photometric="rgb",
        tile=(64, 64),
        compression="zlib",
        metadata=None,
        **options,
    )


def _tiff(**options: Any) -> Callable[[Path, Array], Path]:
    def write(folder: Path, array: Array) -> Path:
        path = folder / "image.tif"
        planar = options.get("planarconfig") == "separate"
        photometric = "rgb" if array.ndim == 3 else "minisblack"
        pixels = np.moveaxis(array, 2, 0) if planar else array
        tifffile.imwrite(path, pixels, photometric=photometric, metadata=None, **options)
        return path

    return write


def _zarr(*, bands_first: bool = False, **options: Any) -> Callable[[Path, Array], Path]:
    def write(folder: Path, array: Array) -> Path:
        path = folder / "image.zarr"
        stored = np.moveaxis(array, 2, 0)[None] if bands_first else array
        side = {True: (1, 1, 64, 64), False: (64, 64, 3)}[bands_first]
        created = zarr.create_array(
            store=str(path), shape=stored.shape, chunks=side, dtype=stored.dtype, **options
        )
        created[...] = stored
        return path

    return write


def _png(folder: Path, array: Array) -> Path:
    if array.dtype == np.uint8:
        Image.fromarray(array).save(folder / "image.png")
    else:
        (folder / "image.png").write_bytes(imagecodecs.png_encode(array))
    return folder / "image.png"


def _memory(folder: Path, array: Array) -> Array:
    return array


# Every way to store pixels without loss: name to a function that stores an image in a folder.
CONTAINERS: dict[str, Callable[[Path, Array], Path | Array]] = {
    "tiff-strips-raw": _tiff(rowsperstrip=50),
    "tiff-one-raw-strip": _tiff(),
    "tiff-tiles-raw": _tiff(tile=(64, 128)),
    "tiff-tiles-deflate": _tiff(tile=(64, 64), compression="zlib", predictor=2),
    "tiff-tiles-zstd": _tiff(tile=(128, 64), compression="zstd"),
    "tiff-strips-lzw": _tiff(rowsperstrip=16, compression="lzw", predictor=2),
    "tiff-big-endian": _tiff(tile=(64, 64), byteorder=">"),
    "tiff-big": _tiff(tile=(64, 64), bigtiff=True),
    "tiff-planar-tiles": _tiff(tile=(64, 64), planarconfig="separate", compression="zlib"),
    "tiff-planar-strips": _tiff(rowsperstrip=64, planarconfig="separate"),
    "tiff-planar-predictor": _tiff(
        tile=(64, 64), planarconfig="separate", compression="zlib", predictor=2
    ),
    "tiff-big-endian-predictor": _tiff(
        tile=(64, 64), byteorder=">", compression="zlib", predictor=2
    ),
    "tiff-big-endian-strips": _tiff(rowsperstrip=50, byteorder=">"),
    "tiff-strips-packbits": _tiff(rowsperstrip=16, compression="packbits"),
    "tiff-tiles-lzma": _tiff(tile=(128, 128), compression="lzma"),
    "zarr-2": _zarr(zarr_format=2),
    "zarr-3": _zarr(zarr_format=3),
    "zarr-3-shards": _zarr(zarr_format=3, shards=(128, 128, 3)),
    "zarr-bands-first": _zarr(bands_first=True),
    "png": _png,
    "array": _memory,
}
