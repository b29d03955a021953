"""Zarr directories, versions 2 and 3: one array, or a group that holds an image at several scales.

Covered: uint8 arrays `[h, w]`, `[h, w, bands]`, `[bands, h, w]` and the same behind axes of length
1; OME-NGFF 0.4 and 0.5 `multiscales`, or a group in which all arrays of such a kind are reductions
of the largest. A group with several images is refused: which one is meant must be said.
Not covered: zipped and remote stores, colour metadata (the first three bands are shown as RGB). A
chunk that was never written reads as the array's fill value.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster import ExtraBandsWarning, first_bands
from uhrqa.raster.blocks import BlockCache, BlockLevel, Meter
from uhrqa.raster.guard import check_block, check_size, guarded
from uhrqa.raster.levels import LevelRaster, is_reduction

Array = NDArray[np.uint8]
Interval = tuple[int, int]
MAX_BANDS = 16  # an axis longer than this is rows or columns, not bands
LEAST_RATIO = 1.2  # between the sides of neighbouring levels of a group without metadata
MAX_LISTED = 8  # arrays that a message lists
READ_SIDE = 512  # small chunks are read together: each call costs a millisecond
OVERVIEWS = "add reduced levels, for example as OME-NGFF multiscales"


def open_zarr(path: str) -> LevelRaster:
    """Open a Zarr directory.

    Raises:
        RasterError: the metadata is damaged, or the arrays are not an image that is covered.
    """
    with guarded(f"{path}: the Zarr metadata cannot be read"):
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            arrays, named = [node], True
        else:
            arrays, named = _arrays(path, node)
    found = _images(path, arrays)
    levels = _reductions(found) if named else _plain_levels(path, found)
    main = levels[0][1]
    if main.bands > main.shown:
        warnings.warn(
            f"{path}: {main.bands} bands; {first_bands(main.shown)} shown; "
            "write an array of other bands to show those",
            ExtraBandsWarning,
            stacklevel=4,
        )
    meter, cache = Meter(), BlockCache()
    stored = [
        ZarrChunks(path, array, layout, meter).level(cache, index)
        for index, (array, layout) in enumerate(levels)
    ]
    return LevelRaster(path, stored, meter=meter, close=cache.clear, overview_advice=OVERVIEWS)


def _arrays(path: str, group: zarr.Group) -> tuple[list[Any], bool]:
    """The arrays of a group that may be levels, and whether its metadata names them; else all.

    Raises:
        RasterError: there is none.
    """
    attributes: dict[str, Any] = dict(group.attrs)
    scales = attributes.get("multiscales") or attributes.get("ome", {}).get("multiscales")
    if isinstance(scales, list):
        nodes = [group[dataset["path"]] for dataset in scales[0]["datasets"]]
        arrays = [node for node in nodes if isinstance(node, zarr.Array)]
    else:
        arrays = [array for _, array in sorted(group.arrays())]
    if not arrays:
        inside = ", ".join(sorted(name for name, _ in group.groups())[:5]) or "nothing"
        raise RasterError(f"{path}: a Zarr group without an array (it holds: {inside}); name one")
    return arrays, isinstance(scales, list)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which axes of an array are rows, columns and bands; all others have length 1."""

    y: int
    x: int
    band: int | None
    size: Size
    bands: int

    @property
    def shown(self) -> int:
        """Bands that are shown."""
        return 3 if self.bands >= 3 else 1


def _layout(path: str, array: Any) -> Layout:  # noqa: ANN401 - zarr's type has free parameters
    """Find the axes.

    Raises:
        RasterError: the array is not an 8-bit image.
    """
    shape, name = tuple(array.shape), f"{path}: array '{array.path or '/'}'"
    if array.dtype != np.uint8:
        raise RasterError(
            f"{name} is {array.dtype}, only uint8 is read; stretch it to 0-255 and store it anew"
        )
    if 0 in shape:
        raise RasterError(f"{name} has shape {shape}, without any pixel; export it again")
    axes = list(range(len(shape)))
    while len(axes) > 3 and any(shape[axis] == 1 for axis in axes[:-2]):
        axes.remove(next(axis for axis in axes[:-2] if shape[axis] == 1))
    if len(axes) == 2:
        (y, x), band = axes, None
    elif len(axes) == 3 and shape[axes[2]] <= MAX_BANDS:
        y, x, band = axes
    elif len(axes) == 3 and shape[axes[0]] <= MAX_BANDS:
        band, y, x = axes
    else:
        raise RasterError(f"{name} has shape {shape}; give [h, w], [h, w, 3] or [3, h, w]")
    check_size(path, shape[y], shape[x])
    size = Size(shape[y], shape[x])
    return Layout(y, x, band, size, 1 if band is None else shape[band])


def _images(path: str, arrays: Sequence[Any]) -> list[tuple[Any, Layout]]:
    """The arrays that are images; others may lie beside them.

    Raises:
        RasterError: none is; says why the first is not.
    """
    found, refusals = [], []
    for array in arrays:
        try:
            found.append((array, _layout(path, array)))
        except RasterError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return found


def _reductions(found: list[tuple[Any, Layout]]) -> list[tuple[Any, Layout]]:
    """The largest array and those that are reductions of it, finest first."""
    found.sort(key=lambda entry: -entry[1].size.area)
    whole = found[0][1]
    levels = {whole.size: found[0]}
    for array, layout in found[1:]:
        if layout.bands == whole.bands and is_reduction(layout.size, whole.size):
            levels.setdefault(layout.size, (array, layout))
    return list(levels.values())


def _plain_levels(path: str, found: list[tuple[Any, Layout]]) -> list[tuple[Any, Layout]]:
    """The levels of a group whose metadata names none, finest first.

    Raises:
        RasterError: the arrays are not one image at several scales.
    """
    found.sort(key=lambda entry: -entry[1].size.area)
    whole = found[0][1]
    levels = [(found[0][0], whole)]
    for array, _ in found[1:]:
        layout = _like(array, found[0][0], whole)
        finer = levels[-1][1].size
        if (
            layout is None
            or not is_reduction(layout.size, whole.size)
            or finer.area <= LEAST_RATIO**2 * layout.size.area
        ):
            raise RasterError(
                f"{path}: a Zarr group with {len(found)} images that are not one at several "
                f"scales ({_listed(found)}); name one, for example {path}/{found[0][0].basename}"
            )
        levels.append((array, layout))
    return levels


def _like(array: Any, main: Any, whole: Layout) -> Layout | None:  # noqa: ANN401
    """An array seen with the axes of another, if it has them.

    Its own lengths may mislead: the columns of a small level look like bands.
    """
    shape, axes = tuple(array.shape), {whole.y, whole.x}
    if len(shape) != len(main.shape) or any(
        shape[axis] != main.shape[axis] for axis in range(len(shape)) if axis not in axes
    ):
        return None
    return Layout(whole.y, whole.x, whole.band, Size(shape[whole.y], shape[whole.x]), whole.bands)


def _listed(found: Sequence[tuple[Any, Layout]]) -> str:
    names = [f"{array.basename}: {' x '.join(map(str, array.shape))}" for array, _ in found]
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f", and {more} more" if more > 0 else "")


class ZarrChunks:
    """The chunks of one array.

    Bytes read are the lengths of the chunk files a read touches; of a shard, the share of its area
    that is read. Metadata is not counted.
    """

    def __init__(self, path: str, array: Any, layout: Layout, meter: Meter) -> None:  # noqa: ANN401
        self._path = path
        self._array = array
        self._layout = layout
        self._meter = meter
        chunk = Size(array.chunks[layout.y], array.chunks[layout.x])
        if min(array.chunks) > 0:
            check_block(path, "chunk", *chunk, math.prod(array.chunks) // chunk.area)
        else:
            check_block(path, "chunk", 0, 0, 0)
        self._block = Size(*(side * max(1, READ_SIDE // side) for side in chunk))

    def level(self, cache: BlockCache, index: int) -> BlockLevel:
        """These chunks as a level."""
        return BlockLevel(
            self._layout.size,
            self._layout.shown,
            block=self._block,
            fetch=self._fetch,
            cache=cache,
            index=index,
        )

    def _fetch(self, row: int, col: int) -> Array:
        layout, size = self._layout, self._layout.size
        region: list[Interval] = [(0, 1)] * len(self._array.shape)
        region[layout.y] = row * self._block.h, min(size.h, (row + 1) * self._block.h)
        region[layout.x] = col * self._block.w, min(size.w, (col + 1) * self._block.w)
        if layout.band is not None:
            region[layout.band] = 0, layout.shown
        where = (
            f"array '{self._array.path or '/'}', rows {region[layout.y]}, cols {region[layout.x]}"
        )
        with guarded(f"{self._path}: {where}: a chunk cannot be decoded"):
            self._meter.add(self._encoded_bytes(region))
            values = np.asarray(self._array[tuple(slice(*interval) for interval in region)])
        axes = (layout.y, layout.x, *(() if layout.band is None else (layout.band,)))
        others = [axis for axis in range(values.ndim) if axis not in axes]
        pixels = values.transpose(*axes, *others).reshape(
            *(values.shape[axis] for axis in axes[:2]), -1
        )
        return np.ascontiguousarray(pixels)

    def _encoded_bytes(self, region: Sequence[Interval]) -> int:
        units = self._array.shards or self._array.chunks
        touched = (
            range(start // unit, -(-stop // unit))
            for (start, stop), unit in zip(region, units, strict=True)
        )
        total = 0.0
        for place in itertools.product(*touched):
            file = Path(self._path, self._array.path, self._array.metadata.encode_chunk_key(place))
            if file.is_file():
                share = self._share(place, region) if self._array.shards else 1.0
                total += file.stat().st_size * share
        return round(total)

    def _share(self, place: Sequence[int], region: Sequence[Interval]) -> float:
        """The part of one shard, as far as it holds image, that a region covers."""
        share = 1.0
        for index, (start, stop), unit, length in zip(
            place, region, self._array.shards, self._array.shape, strict=True
        ):
            first, last = index * unit, min(length, (index + 1) * unit)
            share *= (min(stop, last) - max(start, first)) / (last - first)
        return share
