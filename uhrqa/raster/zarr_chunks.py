"""The chunks of one Zarr array: read, counted, and looked at before they are unpacked."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.blocks import BadTiles, BlockCache, BlockLevel, Meter, Window
from uhrqa.raster.guard import check_block, guarded
from uhrqa.raster.packed import exceeds
from uhrqa.raster.painter import Painter

if TYPE_CHECKING:
    from uhrqa.raster.zarr_remote import RemoteStore

Values = NDArray[Any]
Interval = tuple[int, int]
READ_SIDE = 512  # small chunks are read together: each call costs a millisecond
SLACK = 8  # a chunk may unpack to so many times its pixels: a filter may have widened them
EMPTY_CHUNK = 2**64 - 1  # offset of a chunk that a shard does not hold


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
        self._codec = _packing(array)
        if source.remote is not None:
            source.remote.watch(array.path, self._refuse_bomb)

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
        """Blocks that are decoded for the contrast alone."""
        samples = self._source.painter.samples
        return self._blocks(len(samples.indices), self._fetch, BlockCache(), samples.dtype)

    def _painted(self, row: int, col: int) -> NDArray[np.uint8]:
        source, size = self._source, self._layout.size
        try:
            return source.painter.paint(self._fetch(row, col))
        except RasterError as error:
            if not source.bad.forgives(error, self._index, row, col):
                raise
            h, w = self._block
            return source.painter.blank(Size(min(h, size.h - row * h), min(w, size.w - col * w)))

    def _fetch(self, row: int, col: int) -> Values:
        """The samples of a block, `[h, w, S]`."""
        layout, size = self._layout, self._layout.size
        indices = self._source.painter.samples.indices
        region: list[Interval] = [(0, 1)] * len(self._array.shape)
        region[layout.y] = row * self._block.h, min(size.h, (row + 1) * self._block.h)
        region[layout.x] = col * self._block.w, min(size.w, (col + 1) * self._block.w)
        if layout.band is not None:
            region[layout.band] = min(indices), max(indices) + 1
        where = (
            f"array '{self._array.path or '/'}', rows {region[layout.y]}, cols {region[layout.x]}"
        )
        with guarded(f"{self._path}: {where}: a chunk cannot be decoded"):
            if self._source.remote is None:  # there, chunks are looked at and counted as they come
                self._refuse_bombs(where, region)
                self._source.meter.add(self._encoded_bytes(region))
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

    def _refuse_bombs(self, where: str, region: Sequence[Interval]) -> None:
        """Look at the chunks of a region before they fill the memory.

        Raises:
            RasterError: one of them unpacks to far more than a chunk has pixels.
        """
        if self._codec is None:
            return
        for place, file in self._files(region):
            if not self._array.shards:
                self._refuse(where, file.read_bytes())
                continue
            with file.open("rb") as stream:
                for data in self._inside_shard(stream, place, region):
                    self._refuse(where, data)

    def _refuse_bomb(self, key: str, data: bytes, first: int | None) -> None:
        """The same for what a server has sent.

        Args:
            key: of the file it is part of.
            data: the file, or the chunk of a shard.
            first: byte of the shard it begins at; None for whole files, -1 for the end of one.
        """
        if self._codec is None:
            return
        where = f"array '{self._array.path or '/'}', file {key}"
        shards = self._array.shards
        if shards and first is None:
            whole = [(0, side) for side in shards]
            for chunk in self._inside_shard(io.BytesIO(data), [0] * len(shards), whole):
                self._refuse(where, chunk)
        elif not shards or first not in (-1, self._index_start()):
            self._refuse(where, data)

    def _index_start(self) -> int:
        """Where the index of a shard begins; -1: it is the end."""
        return -1 if self._array.metadata.codecs[0].index_location.value == "end" else 0

    def _refuse(self, where: str, data: bytes) -> None:
        size = math.prod(self._array.chunks) * self._itemsize
        if self._codec is not None and exceeds(self._codec, data, SLACK * size):
            raise RasterError(
                f"{self._path}: {where}: a chunk of {size} bytes that unpacks to more than "
                f"{SLACK} times as many; the file is damaged, or made to fill the memory"
            )

    def _inside_shard(
        self, stream: IO[bytes], place: Sequence[int], region: Sequence[Interval]
    ) -> Iterator[bytes]:
        """The chunks of a shard that a region touches, as they are stored."""
        shards, chunks = self._array.shards, self._array.chunks
        grid = [shard // chunk for shard, chunk in zip(shards, chunks, strict=True)]
        first = [at * count for at, count in zip(place, grid, strict=True)]
        touched = (
            range(max(0, start // side - begin), min(count, -(-stop // side) - begin))
            for (start, stop), side, begin, count in zip(region, chunks, first, grid, strict=True)
        )
        index = _shard_index(stream, self._array.metadata.codecs[0], grid)
        if index is None:
            return
        for chunk in itertools.product(*touched):
            offset, length = map(int, index[chunk])
            if offset != EMPTY_CHUNK:
                stream.seek(offset)
                yield stream.read(length)

    def _files(self, region: Sequence[Interval]) -> Iterator[tuple[tuple[int, ...], Path]]:
        """The files of chunks or shards that a region touches, with their places in the grid."""
        units = self._array.shards or self._array.chunks
        touched = (
            range(start // unit, -(-stop // unit))
            for (start, stop), unit in zip(region, units, strict=True)
        )
        for place in itertools.product(*touched):
            file = Path(self._path, self._array.path, self._array.metadata.encode_chunk_key(place))
            if file.is_file():
                yield place, file

    def _encoded_bytes(self, region: Sequence[Interval]) -> int:
        total = 0.0
        for place, file in self._files(region):
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


def _packing(array: Any) -> str | None:  # noqa: ANN401 - zarr's type has free parameters
    """The codec that packed an array's chunks last, if any; a checksum behind them is none."""
    names = [
        str(getattr(codec, "codec_id", None) or codec.to_dict()["name"])
        for codec in array.compressors
    ]
    packing = [name.removeprefix("numcodecs.") for name in names if name != "crc32c"]
    return packing[-1] if packing else None


def _shard_index(stream: IO[bytes], codec: Any, grid: Sequence[int]) -> NDArray[np.uint64] | None:  # noqa: ANN401
    """Offset and length of each chunk of a shard, `[*grid, 2]`; None where it is packed itself."""
    names = [part.to_dict()["name"] for part in codec.index_codecs]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        return None
    size = 16 * math.prod(grid)
    if codec.index_location.value == "end":
        stream.seek(-(size + 4 * (len(names) - 1)), os.SEEK_END)
    numbers = np.frombuffer(stream.read(size), "<u8")
    return numbers.reshape(*grid, 2)
