"""The chunks of one Zarr array: read, counted, and looked at before they are unpacked."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.blocks import BlockCache, BlockLevel, Meter
from uhrqa.raster.guard import check_block, guarded
from uhrqa.raster.packed import exceeds

if TYPE_CHECKING:
    from uhrqa.raster.zarr_remote import RemoteStore

Array = NDArray[np.uint8]
Interval = tuple[int, int]
READ_SIDE = 512  # small chunks are read together: each call costs a millisecond
SLACK = 8  # a chunk may unpack to so many times its pixels: a filter may have widened them
EMPTY_CHUNK = 2**64 - 1  # offset of a chunk that a shard does not hold


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


class ZarrChunks:
    """The chunks of one array.

    Bytes read are the lengths of the chunk files a read touches; of a shard, the share of its area
    that is read; metadata is not counted. On a server they are what its answers hold.

    Args:
        path: what the user gave, for messages.
        array: of zarr.
        layout: its axes.
        meter: counts bytes.
        remote: the store the array lies in, where that is on a server.
    """

    def __init__(
        self,
        path: str,
        array: Any,  # noqa: ANN401 - zarr's type has free parameters
        layout: Layout,
        meter: Meter,
        remote: RemoteStore | None = None,
    ) -> None:
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
        self._codec = _packing(array)
        self._remote = remote
        if remote is not None:
            remote.watch(array.path, self._refuse_bomb)

    def level(self, cache: BlockCache, index: int) -> BlockLevel:
        """These chunks as a level."""

        def gather(places: Sequence[tuple[int, int]]) -> None:
            if self._remote is not None:
                some = places[: cache.room(self._block.area * self._layout.shown)]
                self._remote.run(lambda place: cache.get((index, *place), make(place)), some)

        def make(place: tuple[int, int]) -> Callable[[], Array]:
            return lambda: self._fetch(*place)

        return BlockLevel(
            self._layout.size,
            self._layout.shown,
            block=self._block,
            fetch=self._fetch,
            cache=cache,
            index=index,
            gather=None if self._remote is None else gather,
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
            if self._remote is None:  # there, chunks are looked at and counted as they come
                self._refuse_bombs(where, region)
                self._meter.add(self._encoded_bytes(region))
            values = np.asarray(self._array[tuple(slice(*interval) for interval in region)])
        axes = (layout.y, layout.x, *(() if layout.band is None else (layout.band,)))
        others = [axis for axis in range(values.ndim) if axis not in axes]
        pixels = values.transpose(*axes, *others).reshape(
            *(values.shape[axis] for axis in axes[:2]), -1
        )
        return np.ascontiguousarray(pixels)

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
        pixels = math.prod(self._array.chunks)
        if self._codec is not None and exceeds(self._codec, data, SLACK * pixels):
            raise RasterError(
                f"{self._path}: {where}: a chunk of {pixels} bytes that unpacks to more than "
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
