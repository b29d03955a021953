"""The chunks of one Zarr array: read, counted, and looked at before they are unpacked."""

from __future__ import annotations

import base64
import math
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster import NoDataWarning
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BadTiles, BlockLevel, Meter, Window
from uhrqa.raster.guard import check_block, guarded
from uhrqa.raster.painter import Painter
from uhrqa.raster.samples import GREY, RGB, Samples
from uhrqa.raster.zarr_files import Interval, ZarrFiles

if TYPE_CHECKING:
    from uhrqa.raster.zarr_remote import RemoteStore

Values = NDArray[Any]
READ_SIDE = 512  # small chunks are read together: each call costs a millisecond


@dataclass(frozen=True, slots=True)
class ZarrSource:
    """What all levels of a store share; `remote` is None for one on a disk."""

    path: str
    meter: Meter
    painter: Painter
    bad: BadTiles
    remote: RemoteStore | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Which axes of an array are rows, columns and bands; all others have length 1."""

    y: int
    x: int
    band: int | None
    size: Size
    bands: int


def samples_of(array: Any, layout: Layout, colours: tuple[int, ...] | None = None) -> Samples:  # noqa: ANN401
    """What the samples of an array mean, and which are shown where nothing else is asked for.

    Args:
        array: of zarr.
        layout: its axes.
        colours: which bands are red, green and blue, where the metadata say so.
    """
    first = (0, 1, 2) if layout.bands >= 3 else (0,)
    dtype = np.dtype(array.dtype).newbyteorder("=")
    attributes = array.attrs.asdict()
    return Samples(
        count=layout.bands,
        dtype=dtype,
        bits=8 * dtype.itemsize if dtype.kind != "b" else 1,
        colour=RGB if layout.bands >= 3 else GREY,
        shown=colours if colours and max(colours) < layout.bands else first,
        nodata=_nodata(attributes, dtype) if isinstance(attributes, dict) else None,
        guessed=layout.bands > 3 and not colours,  # three alone are what most writers have of RGB
    )


def _nodata(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> float | None:
    """`_FillValue` as xarray writes it, for floats in Zarr 3 as base64 of a little-endian double.

    The fill value of the array itself stands for chunks that were not written, and is none.
    """
    value = attributes.get("_FillValue")
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and dtype.kind == "f":
        with suppress(ValueError):
            return float(value)  # "NaN"
        with suppress(ValueError, struct.error):
            return float(struct.unpack("<d", base64.b64decode(value, validate=True))[0])
    if value is not None:
        warnings.warn(
            f"_FillValue {str(value)[:40]!r} is no number and is left out: nothing is masked; "
            "store a number",
            NoDataWarning,
            stacklevel=4,
        )
    return None


class ZarrChunks:
    """The chunks of one array.

    Bytes read are the lengths of the chunk files a read touches; of a shard, the share of its area
    that is read; metadata is not counted. On a server they are what its answers hold.
    """

    def __init__(self, source: ZarrSource, array: Any, layout: Layout, index: int) -> None:  # noqa: ANN401
        self._source = source
        self._path = source.path
        self._array = array
        self._layout = layout
        self._index = index
        self._itemsize = np.dtype(array.dtype).itemsize
        chunk = Size(array.chunks[layout.y], array.chunks[layout.x])
        if min(array.chunks) > 0:
            pixel = self._itemsize * math.prod(array.chunks) // chunk.area
            check_block(source.path, "chunk", *chunk, pixel)
        else:
            check_block(source.path, "chunk", 0, 0, 0)
        together = 1 if source.bad.masked else READ_SIDE  # a bad chunk hides no good one
        self._block = Size(*(side * max(1, together // side) for side in chunk))
        self._files = ZarrFiles(source.path, array)
        if source.remote is not None:
            source.remote.watch(array.path, self._files.refuse_bomb)

    def level(self, cache: BlockCache) -> BlockLevel:
        """These chunks as a level; the first tells the painter where samples are."""
        layout, painter = self._layout, self._source.painter
        if self._index == 0:
            painter.source(layout.size, self._samples, self._expect)
        return self._blocks(painter.channels, self._painted, cache, np.dtype(np.uint8))

    def _blocks(
        self,
        channels: int,
        fetch: Callable[[int, int], Values],
        cache: BlockCache,
        dtype: np.dtype[Any],
    ) -> BlockLevel:
        def gather(places: Sequence[tuple[int, int]]) -> None:
            if remote is not None:
                some = places[: cache.room(self._block.area * channels * dtype.itemsize)]
                remote.run(lambda place: cache.get((self._index, *place), make(place)), some)

        def make(place: tuple[int, int]) -> Callable[[], Values]:
            return lambda: fetch(*place)

        remote = self._source.remote
        return BlockLevel(
            self._layout.size,
            channels,
            block=self._block,
            fetch=fetch,
            cache=cache,
            index=self._index,
            gather=None if remote is None else gather,
            dtype=dtype,
            weigh=self._weigh if remote is None else None,
        )

    def _samples(self, window: Window) -> tuple[Values, None] | None:
        try:
            return self._seen.window(window), None
        except RasterError as error:
            if not self._source.bad.may_forgive(error):
                raise
            return None

    def _expect(self, windows: Sequence[Window]) -> None:
        with suppress(RasterError):  # what fails is told when it is read
            self._seen.expect(windows)

    @cached_property
    def _seen(self) -> BlockLevel:
        """Blocks that are decoded for the contrast, until they are painted."""
        samples = self._source.painter.samples
        return self._blocks(len(samples.indices), self._fetch, BlockCache(), samples.dtype)

    def _painted(self, row: int, col: int) -> NDArray[np.uint8]:
        source, size = self._source, self._layout.size
        try:
            source.painter.settle()
            return source.painter.paint(self._seen.taken(row, col))
        except RasterError as error:
            if not source.bad.forgives(error, self._index, row, col):
                raise
            h, w = self._block
            return source.painter.blank(Size(min(h, size.h - row * h), min(w, size.w - col * w)))

    def _region(self, row: int, col: int) -> list[Interval]:
        """What of each axis a block covers."""
        layout, size = self._layout, self._layout.size
        indices = self._source.painter.samples.indices
        region: list[Interval] = [(0, 1)] * len(self._array.shape)
        region[layout.y] = row * self._block.h, min(size.h, (row + 1) * self._block.h)
        region[layout.x] = col * self._block.w, min(size.w, (col + 1) * self._block.w)
        if layout.band is not None:
            region[layout.band] = min(indices), max(indices) + 1
        return region

    def _weigh(self, row: int, col: int) -> int:
        """Encoded bytes of the chunks under a block."""
        return self._files.encoded_bytes(self._region(row, col))

    def _fetch(self, row: int, col: int) -> Values:
        """The samples of a block, `[h, w, S]`."""
        layout, region = self._layout, self._region(row, col)
        indices = self._source.painter.samples.indices
        where = (
            f"array '{self._array.path or '/'}', rows {region[layout.y]}, cols {region[layout.x]}"
        )
        with guarded(f"{self._path}: {where}: a chunk cannot be decoded"):
            if self._source.remote is None:  # there, chunks are looked at and counted as they come
                self._files.refuse_bombs(where, region)
                self._source.meter.add(self._files.encoded_bytes(region))
            values = np.asarray(self._array[tuple(slice(*interval) for interval in region)])
        axes = (layout.y, layout.x, *(() if layout.band is None else (layout.band,)))
        others = [axis for axis in range(values.ndim) if axis not in axes]
        pixels = values.transpose(*axes, *others).reshape(
            *(values.shape[axis] for axis in axes[:2]), -1
        )
        wanted = [index - min(indices) for index in indices]
        if wanted != list(range(pixels.shape[2])):
            pixels = pixels[..., wanted]
        native = self._source.painter.samples.dtype
        return np.ascontiguousarray(pixels, dtype=native)
