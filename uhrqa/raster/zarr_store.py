"""Zarr directories, versions 2 and 3: one array, or a group that holds an image at several scales.

Covered: arrays of integers to 32 bits or floats, `[h, w]`, `[h, w, bands]`, `[bands, h, w]` and the
same behind axes of length 1; OME-NGFF 0.4 and 0.5 `multiscales`, or a group in which all arrays of
such a kind are reductions of the largest. Beside an array of uint8, others of a group are data and
no images. A group with several images is refused: which one is meant must be said. Missing chunks
hold the array's fill value; no data is what the attribute `_FillValue` names.
Not covered: zipped stores, colour metadata (the first three bands are shown as RGB). A
chunk that was never written reads as the array's fill value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.blocks import BadTiles, BlockCache, Meter
from uhrqa.raster.formats import is_remote
from uhrqa.raster.georeference import zarr_ground
from uhrqa.raster.ground import Ground, NoGround
from uhrqa.raster.guard import check_size, guarded
from uhrqa.raster.levels import LevelRaster, is_reduction
from uhrqa.raster.painter import Painter
from uhrqa.raster.samples import KINDS, choose
from uhrqa.raster.stores import shown
from uhrqa.raster.zarr_chunks import Layout, ZarrChunks, ZarrSource, samples_of
from uhrqa.reading import Reading

MAX_BANDS = 16  # an axis longer than this is rows or columns, not bands
LEAST_RATIO = 1.2  # between the sides of neighbouring levels of a group without metadata
MAX_LISTED = 8  # arrays that a message lists
OVERVIEWS = "add reduced levels, for example as OME-NGFF multiscales"


def open_zarr(path: str, reading: Reading) -> LevelRaster:
    """Open a Zarr directory, or such a store on a server.

    Raises:
        RasterError: the metadata is damaged, or the arrays are not an image that is covered.
    """
    meter, cache, remote = Meter(), BlockCache(), None
    if is_remote(path):
        from uhrqa.raster.zarr_remote import RemoteStore

        remote = RemoteStore(path, meter)
        path = shown(path)
    with guarded(f"{path}: the Zarr metadata cannot be read"):
        node = zarr.open(remote or path, mode="r")
        if isinstance(node, zarr.Array):
            arrays, named = [node], True
        else:
            arrays, named = _arrays(path, node)
    found = _images(path, arrays)
    levels = _reductions(found) if named else _plain_levels(path, found)
    array, main = levels[0]
    check_size(path, *main.size, reading.max_pixels)
    with guarded(f"{path}: the Zarr metadata cannot be read"):
        samples = samples_of(array, main)
    painter = Painter(choose(path, samples, reading), reading)
    bad = BadTiles(masked=reading.masks_bad_tiles)
    source = ZarrSource(path, meter, painter, bad, remote)
    stored = [
        ZarrChunks(source, array, layout, index).level(cache)
        for index, (array, layout) in enumerate(levels)
    ]
    return LevelRaster(
        path,
        stored,
        meter=meter,
        close=cache.clear,
        remedy=OVERVIEWS,
        ground=_ground(node, levels[0][0]),
        painter=painter,
        bad=bad,
        reading=reading,
    )


def _ground(node: Any, array: Any) -> Ground | NoGround:  # noqa: ANN401
    """Where the finest level lies, by its attributes, its group's, or a variable they name."""
    try:
        inside, around, mapping = dict(array.attrs), dict(node.attrs), {}
        scales = around.get("multiscales")
        layout = scales.get("layout", ()) if isinstance(scales, dict) else ()
        level: dict[str, Any] = next(
            (entry for entry in layout if entry.get("asset") == array.basename), {}
        )
        name = inside.get("grid_mapping")
        if isinstance(name, str) and isinstance(node, zarr.Group):
            mapping = dict(node[name].attrs)
        return zarr_ground([inside, level, around], mapping)
    except Exception as error:  # noqa: BLE001 - damaged attributes need not keep from the pixels
        return NoGround(f"its attributes cannot be read ({type(error).__name__})")


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
        arrays = _members(path, group)
    if not arrays:
        inside = ", ".join(sorted(name for name, _ in group.groups())[:5]) or "nothing"
        raise RasterError(f"{path}: a Zarr group without an array (it holds: {inside}); name one")
    return arrays, isinstance(scales, list)


def _members(path: str, group: zarr.Group) -> list[Any]:
    """All arrays of a group.

    Raises:
        RasterError: it lies on a server that does not list files.
    """
    try:
        return [array for _, array in sorted(group.arrays())]
    except Exception as error:
        if not is_remote(path):
            raise
        raise RasterError(
            f"{path}: a Zarr group without multiscales metadata, on a server that does not list "
            f"files; name an array, for example {path.rstrip('/')}/0"
        ) from error


def _layout(path: str, array: Any) -> Layout:  # noqa: ANN401 - zarr's type has free parameters
    """Find the axes.

    Raises:
        RasterError: the array is not an image.
    """
    shape, name = tuple(array.shape), f"{path}: array '{array.path or '/'}'"
    if array.dtype.name not in KINDS:
        raise RasterError(
            f"{name} is {array.dtype}; 8 to 32-bit integers and floats are read; store it so"
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
    check_size(path, shape[y], shape[x], limit=max(1, shape[y] * shape[x]))
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
    bytes_alone = [entry for entry in found if entry[0].dtype == np.uint8]
    return bytes_alone or found


def _reductions(found: list[tuple[Any, Layout]]) -> list[tuple[Any, Layout]]:
    """The largest array and those that are reductions of it, finest first."""
    found.sort(key=lambda entry: -entry[1].size.area)
    whole = found[0][1]
    levels = {whole.size: found[0]}
    for array, layout in found[1:]:
        if array.dtype != found[0][0].dtype:
            continue
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
    if (
        array.dtype != main.dtype
        or len(shape) != len(main.shape)
        or any(shape[axis] != main.shape[axis] for axis in range(len(shape)) if axis not in axes)
    ):
        return None
    return Layout(whole.y, whole.x, whole.band, Size(shape[whole.y], shape[whole.x]), whole.bands)


def _listed(found: Sequence[tuple[Any, Layout]]) -> str:
    names = [f"{array.basename}: {' x '.join(map(str, array.shape))}" for array, _ in found]
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f", and {more} more" if more > 0 else "")
