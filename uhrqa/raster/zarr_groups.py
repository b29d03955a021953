"""What the metadata of a Zarr group say of its images: resolutions, axes, colours.

Sources: OME-NGFF 0.4 and 0.5, Sec. `multiscales`, `omero`, `bioformats2raw.layout`; GeoZarr's
`multiscales` as the zarr-conventions have it (`layout`) and as OGC's draft (`tile_matrix_set`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import zarr

from uhrqa.errors import RasterError
from uhrqa.raster.formats import is_remote

PURE = ("FF0000", "00FF00", "0000FF")  # red, green, blue


@dataclass(frozen=True, slots=True)
class Found:
    """The arrays of a group that may be levels.

    Attributes:
        arrays: of zarr.
        named: whether metadata name them as one image's resolutions; else they are all arrays.
        axes: names of their axes, where the group gives them.
        colours: which bands are red, green and blue, where it says so.
        scales: by paths of arrays, how far apart their samples are along each axis, in any unit.
    """

    arrays: Sequence[Any]
    named: bool
    axes: list[str] | None = None
    colours: tuple[int, ...] | None = None
    scales: Mapping[str, list[float]] = field(default_factory=dict)


def find(path: str, group: zarr.Group) -> Found:
    """Read a group's metadata.

    Raises:
        RasterError: there is no array.
    """
    attributes: dict[str, Any] = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales")
    if isinstance(scales, list):
        datasets = [(group[dataset["path"]], dataset) for dataset in scales[0]["datasets"]]
        arrays = [node for node, _ in datasets if isinstance(node, zarr.Array)]
        names = [str(axis["name"]) for axis in scales[0].get("axes", ()) if isinstance(axis, dict)]
        found = Found(
            arrays,
            named=True,
            axes=names or None,
            colours=_colours(ome.get("omero")),
            scales={node.path: _scale(dataset) for node, dataset in datasets},
        )
    elif isinstance(scales, dict) and (places := _places(scales)):
        found = Found([_only(path, group, place) for place in places], named=True)
    elif ome.get("bioformats2raw.layout") and isinstance(first := group.get("0"), zarr.Group):
        return find(path, first)
    else:
        found = Found(_members(path, group), named=False)
    if not found.arrays:
        inside = ", ".join(sorted(name for name, _ in group.groups())[:5]) or "nothing"
        raise RasterError(f"{path}: a Zarr group without an array (it holds: {inside}); name one")
    return found


def _scale(dataset: Mapping[str, Any]) -> list[float]:
    """How far apart the samples of an OME level are along each axis; empty where it is not said."""
    steps = dataset.get("coordinateTransformations")
    for step in steps if isinstance(steps, list) else ():
        scale = step.get("scale") if isinstance(step, dict) else None
        if isinstance(scale, list) and all(isinstance(n, int | float) and n > 0 for n in scale):
            return [float(n) for n in scale]
    return []


def _places(scales: dict[str, Any]) -> list[str]:
    """Where GeoZarr's levels lie."""
    matrices = scales.get("tile_matrix_set")
    if isinstance(matrices, dict):
        return [str(entry["id"]) for entry in matrices.get("tileMatrices", ())]
    return [str(entry["asset"]) for entry in scales.get("layout", ())]


def _only(path: str, group: zarr.Group, place: str) -> Any:  # noqa: ANN401
    """The image of a level, which is an array or a group that holds one beside coordinates.

    Raises:
        RasterError: a group with several.
    """
    node = group[place]
    if isinstance(node, zarr.Array):
        return node
    images = [array for _, array in sorted(node.arrays()) if len(array.shape) >= 2]
    if len(images) != 1:
        names = ", ".join(array.basename for array in images[:8]) or "nothing"
        raise RasterError(
            f"{path}: level '{place}' holds {len(images)} images ({names}), and one is read; "
            f"name an array, for example {path}/{place}/{images[0].basename if images else '...'}"
        )
    return images[0]


def _colours(omero: object) -> tuple[int, ...] | None:
    """Which channels are pure red, green and blue."""
    channels = omero.get("channels", ()) if isinstance(omero, dict) else ()
    colours = [str(channel.get("color", "")).upper().lstrip("#") for channel in channels]
    return tuple(map(colours.index, PURE)) if all(pure in colours for pure in PURE) else None


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
