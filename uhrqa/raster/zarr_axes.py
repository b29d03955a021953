"""Which axes of a Zarr array are rows, columns and bands: by their names, else by their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.guard import check_size
from uhrqa.raster.samples import KINDS
from uhrqa.raster.zarr_chunks import Layout

MAX_BANDS = 16  # an axis without name that is longer is rows or columns, not bands
ROWS = ("y", "lat", "latitude", "northing", "row", "rows", "height")
COLS = ("x", "lon", "longitude", "easting", "col", "cols", "column", "columns", "width")
BANDS = ("c", "band", "bands", "channel", "channels", "wavelength")


def names_of(array: Any) -> list[str] | None:  # noqa: ANN401 - zarr's type has free parameters
    """What an array calls its axes: Zarr 3's own field, or xarray's attribute."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    return list(map(str, names)) if isinstance(names, list | tuple) else None


def layout_of(path: str, array: Any, names: Sequence[str] | None = None) -> Layout:  # noqa: ANN401
    """Find the axes.

    Args:
        path: of the store, for messages.
        array: of zarr.
        names: of its axes, where its group gives them.

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
    names = names or names_of(array) or ()
    y, x, band = _by_name(name, shape, names) or _by_length(name, shape)
    check_size(path, shape[y], shape[x], limit=max(1, shape[y] * shape[x]))
    size = Size(shape[y], shape[x])
    return Layout(y, x, band, size, 1 if band is None else shape[band])


def like(array: Any, main: Any, whole: Layout) -> Layout | None:  # noqa: ANN401
    """An array seen with the axes of another, if it has them.

    Its own lengths may mislead: the columns of a small level look like bands.
    """
    shape, axes = tuple(array.shape), {whole.y, whole.x}
    if (
        array.dtype != main.dtype
        or len(shape) != len(main.shape)
        or 0 in shape
        or any(shape[axis] != main.shape[axis] for axis in range(len(shape)) if axis not in axes)
    ):
        return None
    return Layout(whole.y, whole.x, whole.band, Size(shape[whole.y], shape[whole.x]), whole.bands)


def _by_name(
    what: str, shape: Sequence[int], names: Sequence[str]
) -> tuple[int, int, int | None] | None:
    """Rows, columns and bands; None where the names do not tell.

    Raises:
        RasterError: there are several times or depths.
    """
    lower = [name.lower() for name in names]
    found = [
        [axis for axis, name in enumerate(lower) if name in known] for known in (ROWS, COLS, BANDS)
    ]
    if len(lower) != len(shape) or list(map(len, found[:2])) != [1, 1] or len(found[2]) > 1:
        return None
    (y,), (x,), bands = found
    for axis, length in enumerate(shape):
        if axis not in (y, x, *bands) and length > 1:
            raise RasterError(
                f"{what} has {length} images along its axis '{names[axis]}'; "
                "store one of them as an array of its own"
            )
    return y, x, bands[0] if bands else None


def _by_length(what: str, shape: Sequence[int]) -> tuple[int, int, int | None]:
    axes = list(range(len(shape)))
    while len(axes) > 3 and any(shape[axis] == 1 for axis in axes[:-2]):
        axes.remove(next(axis for axis in axes[:-2] if shape[axis] == 1))
    if len(axes) == 2:
        return axes[0], axes[1], None
    if len(axes) == 3 and shape[axes[2]] <= MAX_BANDS:
        return axes[0], axes[1], axes[2]
    if len(axes) == 3 and shape[axes[0]] <= MAX_BANDS:
        return axes[1], axes[2], axes[0]
    raise RasterError(f"{what} has shape {tuple(shape)}; give [h, w], [h, w, 3] or [3, h, w]")
