"""Images to be copied, and what is looked at of a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from uhrqa.geometry import Box
from uhrqa.raster import open_raster, shown
from uhrqa.raster.copies import level_sizes
from uhrqa.reading import Reading

H, W = 523, 1031  # 3 levels, odd sides, several tiles and shards' edges
TARGETS = ("b.tif", "b.zarr")


def values(dtype: str, bands: int = 1) -> np.ndarray:
    """Smooth, with noise, over the type's range."""
    rng = np.random.default_rng(bands)
    slope = np.add.outer(np.linspace(0, 1, H), np.linspace(0, 2, W))[..., None] / 3.5
    part = slope + rng.uniform(0, 0.1, (H, W, bands))
    if dtype.startswith("float"):
        return (part * 100 - 20).astype(dtype)
    info = np.iinfo(dtype)
    return (info.min + part * 0.99 * (float(info.max) - float(info.min))).astype(dtype)


def save(path: Path, array: np.ndarray, **how: Any) -> Path:
    look = {"tile": (128, 128), "metadata": None, "compression": "zlib"} | how
    if array.shape[2] > 1:
        look["planarconfig"] = "contig"
    tifffile.imwrite(path, array if array.shape[2] > 1 else array[..., 0], **look)
    return path


def assert_alike(one: Path, other: Path, reading: Reading | None = None) -> None:
    """Pixels, masks and what `info` says are the same at full resolution."""
    with open_raster(one, reading) as first, open_raster(other, reading) as second:
        assert first.size == second.size
        box = Box.whole(first.size)
        a, b = first.read(box, first.size), second.read(box, first.size)
        assert np.array_equal(a.array, b.array)
        assert np.array_equal(a.mask, b.mask)
        assert shown(first) == shown(second)
        assert second.levels == level_sizes(first.size)


def stored(path: Path, level: int) -> np.ndarray:
    """`[h, w, bands]` as another reader sees them."""
    if path.suffix == ".zarr":
        array = np.asarray(zarr.open_group(path, mode="r")[str(level)])
        return np.moveaxis(array, 0, 2) if array.ndim == 3 else array[..., None]
    with tifffile.TiffFile(path) as tif:
        found = tif.pages[level].asarray()  # masks come last
    return found if found.ndim == 3 else found[..., None]
