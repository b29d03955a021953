"""A copy of an image as Zarr version 3 in shards, with OME-NGFF 0.5 multiscales."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from uhrqa.raster.copies import TILE, Copy
from uhrqa.raster.reduce import halvings
from uhrqa.raster.tiff_copy import Values

SHARD = 8  # chunks of a row that lie in one file


def write_zarr(copy: Copy, path: Path, compression: str, told: Callable[[int], None]) -> None:
    """Write a Zarr directory, all levels while the image is read once; see `write_tiff`."""
    import zarr

    # In a thread, so that Ctrl-C and SIGTERM cut nothing of zarr short: its tasks would go on, and
    # might make again what is being removed.
    with ThreadPoolExecutor(1) as writer:
        attributes = _attributes(copy)
        group = writer.submit(zarr.create_group, str(path), attributes=attributes).result()
        made = [
            writer.submit(_array, group, copy, number, compression).result()
            for number in range(len(copy.sizes))
        ]
        levels = [_Rows(array, size.h) for array, size in zip(made, copy.sizes, strict=True)]
        for number, rows in halvings(copy.bands(told), copy.sizes, copy.halving):
            for where, band in levels[number].add(rows):
                writer.submit(made[number].__setitem__, where, band).result()


def _array(group: Any, copy: Copy, number: int, compression: str) -> Any:  # noqa: ANN401 - zarr's
    from zarr.codecs import ZstdCodec

    (h, w), bands = copy.sizes[number], copy.count
    width = TILE * min(SHARD, -(-w // TILE))
    lead = (bands,) if bands > 1 else ()
    return group.create_array(
        str(number),
        shape=(*lead, h, w),
        chunks=(*lead, TILE, TILE),
        shards=(*lead, TILE, width) if width > TILE else None,
        dtype=copy.dtype,
        fill_value=copy.dtype.type(copy.halving.fill[0]),
        compressors=[ZstdCodec(level=3)] if compression == "zstd" else None,
        attributes={} if copy.nodata is None else {"_FillValue": copy.nodata},
        dimension_names=("c", "y", "x")[-2 - len(lead) :],
    )


class _Rows:
    """Gathers the rows of a level until a row of chunks is whole."""

    def __init__(self, array: Any, h: int) -> None:  # noqa: ANN401 - zarr's own type
        self._flat = len(array.shape) == 2
        self._h, self._done = h, 0
        self._held: list[Values] = []

    def add(self, rows: Values) -> list[tuple[tuple[slice, ...], Values]]:
        """Take the next rows `[n, w, bands]`; give what is whole, and where it belongs."""
        self._held.append(rows.copy())
        whole: list[tuple[tuple[slice, ...], Values]] = []
        while (held := sum(map(len, self._held))) and (
            held >= TILE or self._done + held == self._h
        ):
            joined = np.concatenate(self._held)
            band, rest = joined[:TILE], joined[TILE:]
            self._held = [rest.copy()] if len(rest) else []
            place = (slice(self._done, self._done + len(band)), slice(None))
            self._done += len(band)
            if self._flat:
                whole.append((place, band[..., 0]))
            else:
                planes = np.ascontiguousarray(np.moveaxis(band, 2, 0))
                whole.append(((slice(None), *place), planes))
        return whole


def _attributes(copy: Copy) -> dict[str, Any]:
    lead = [0.0] if copy.count > 1 else []
    axes = [{"name": name, "type": "space"} for name in "yx"]
    if lead:
        axes = [{"name": "c", "type": "channel"}, *axes]
    datasets = []
    for number in range(len(copy.sizes)):
        step = 2.0**number  # levels are exact halves, whatever their sizes are rounded to
        scale = {"type": "scale", "scale": [1.0 for _ in lead] + [step, step]}
        middle = (step - 1) / 2  # of a level's first pixel, whose edges are those of the image
        place = {"type": "translation", "translation": [*lead, middle, middle]}
        datasets.append({"path": str(number), "coordinateTransformations": [scale, place]})
    found: dict[str, Any] = {
        "ome": {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    }
    if copy.ground is not None:
        code = copy.ground.epsg
        found |= {"proj:code": f"EPSG:{code}"} if code else {"proj:wkt2": copy.ground.wkt}
        found |= {"spatial:transform": list(copy.ground.affine), "spatial:dimensions": ["y", "x"]}
    return found
