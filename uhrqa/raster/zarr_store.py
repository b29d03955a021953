"""Zarr directories, versions 2 and 3: one array, or a group that holds an image at several scales.

Covered: arrays of integers to 32 bits or floats, `[h, w]`, `[h, w, bands]`, `[bands, h, w]` and the
same behind axes of length 1, or as the names of their axes say; `multiscales` of OME-NGFF 0.4 and
0.5 and of GeoZarr, or a group in which all arrays of such a kind are reductions of the largest.
Beside an array of uint8, others of a group are data and no images. A group with several images is
refused: which one is meant must be said. Missing chunks hold the array's fill value; no data is
what the attribute `_FillValue` names.
Not covered: zipped stores, several times or depths, colours of OME's `omero` but pure red, green
and blue. A chunk that was never written reads as the array's fill value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BadTiles, Meter
from uhrqa.raster.formats import is_remote
from uhrqa.raster.georeference import zarr_ground
from uhrqa.raster.ground import Ground, NoGround
from uhrqa.raster.guard import check_size, guarded
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.painter import Painter
from uhrqa.raster.samples import choose
from uhrqa.raster.serving import is_reduction
from uhrqa.raster.stores import shown
from uhrqa.raster.zarr_axes import layout_of, like, names_of
from uhrqa.raster.zarr_chunks import Layout, ZarrChunks, ZarrSource, samples_of
from uhrqa.raster.zarr_files import ZarrFiles
from uhrqa.raster.zarr_groups import Found, find
from uhrqa.reading import Reading

MAX_COORDINATES = 2**22  # of an axis
Values = NDArray[np.float64]
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
        group = Found([node], named=True) if isinstance(node, zarr.Array) else find(path, node)
        found = _images(path, group)
    levels = _reductions(found, group.arrays) if group.named else _plain_levels(path, found)
    array, main = levels[0]
    check_size(path, *main.size, reading.max_pixels)
    with guarded(f"{path}: the Zarr metadata cannot be read"):
        samples = samples_of(array, main, group.colours)
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
        ground=_ground(node, array, main),
        painter=painter,
        bad=bad,
        reading=reading,
        decoder="zarr",
        scales=_scales(levels, group.scales),
        absent=None if remote else ZarrFiles(path, array).absent,
    )


def _scales(
    levels: Sequence[tuple[Any, Layout]], said: Mapping[str, Sequence[float]]
) -> list[tuple[float, float]] | None:
    """Pixels of each level for one of the finest, along y and x, as OME's metadata say.

    Edges are taken to lie together: most writers bin pixels, whether they write `translation` or
    not.

    Returns:
        None where nothing is said of a level, or what the sizes of levels contradict.
    """
    finest, main = levels[0]
    found = []
    for array, layout in levels:
        whole, step = said.get(finest.path, ()), said.get(array.path, ())
        if not len(whole) == len(step) == array.ndim:
            return None
        y, x = (whole[axis] / step[axis] for axis in (layout.y, layout.x))
        rounding = layout.size.h - main.size.h * y, layout.size.w - main.size.w * x
        if max(map(abs, rounding)) >= 1:
            return None
        found.append((y, x))
    return found


def _ground(node: Any, array: Any, layout: Layout) -> Ground | NoGround:  # noqa: ANN401
    """Where the finest level lies, by its attributes, its groups', or variables they name."""
    try:
        inside, around, mapping = dict(array.attrs), dict(node.attrs), {}
        scales, place = around.get("multiscales"), array.path.rpartition("/")[0]
        entries = scales.get("layout", ()) if isinstance(scales, dict) else ()
        level: dict[str, Any] = next(
            (entry for entry in entries if entry.get("asset") in (array.path, place)), {}
        )
        if not isinstance(node, zarr.Group):
            return zarr_ground([inside, around])
        parent = node[place] if place else node
        name = inside.get("grid_mapping")
        if isinstance(name, str) and isinstance(parent, zarr.Group):
            mapping = dict(parent[name].attrs)
        of_group = dict(parent.attrs)
        attributes = [inside, level, of_group, around]
        return zarr_ground(attributes, mapping, lambda: _centres(parent, array, layout))
    except Exception as error:  # noqa: BLE001 - damaged attributes need not keep from the pixels
        return NoGround(f"its attributes cannot be read ({type(error).__name__})")


def _centres(group: Any, array: Any, layout: Layout) -> tuple[Values, Values] | None:  # noqa: ANN401
    """Coordinates of columns and rows, which xarray stores as arrays named like the axes."""
    names = names_of(array)
    if names is None or max(layout.size) > MAX_COORDINATES:
        return None
    found = [group.get(names[axis]) for axis in (layout.x, layout.y)]
    for axis, one in zip((layout.x, layout.y), found, strict=True):
        if not isinstance(one, zarr.Array) or one.shape != (array.shape[axis],):
            return None
    xs, ys = (np.asarray(one[...], np.float64) for one in found)
    return xs, ys


def _images(path: str, group: Found) -> list[tuple[Any, Layout]]:
    """The arrays that are images; others may lie beside them.

    Raises:
        RasterError: none is; says why the first is not.
    """
    found, refusals = [], []
    for array in group.arrays:
        try:
            found.append((array, layout_of(path, array, group.axes)))
        except RasterError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    bytes_alone = [entry for entry in found if entry[0].dtype == np.uint8]
    return bytes_alone or found


def _reductions(found: list[tuple[Any, Layout]], arrays: Sequence[Any]) -> list[tuple[Any, Layout]]:
    """The largest image and the arrays that are reductions of it, finest first."""
    main, whole = max(found, key=lambda entry: entry[1].size.area)
    levels = {whole.size: (main, whole)}
    for array in arrays:
        layout = like(array, main, whole)
        if layout is not None and is_reduction(layout.size, whole.size):
            levels.setdefault(layout.size, (array, layout))
    return sorted(levels.values(), key=lambda entry: -entry[1].size.area)


def _plain_levels(path: str, found: list[tuple[Any, Layout]]) -> list[tuple[Any, Layout]]:
    """The levels of a group whose metadata names none, finest first.

    Raises:
        RasterError: the arrays are not one image at several scales.
    """
    found.sort(key=lambda entry: -entry[1].size.area)
    whole = found[0][1]
    levels = [(found[0][0], whole)]
    for array, _ in found[1:]:
        layout = like(array, found[0][0], whole)
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


def _listed(found: Sequence[tuple[Any, Layout]]) -> str:
    names = [f"{array.basename}: {' x '.join(map(str, array.shape))}" for array, _ in found]
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f", and {more} more" if more > 0 else "")
