"""The files of one Zarr array: how many bytes a read takes, and what they would unpack to."""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.raster.packed import exceeds

Interval = tuple[int, int]
SLACK = 8  # a chunk may unpack to so many times its pixels: a filter may have widened them
MAX_FILES = 2**16  # that are looked for one by one
EMPTY_CHUNK = 2**64 - 1  # offset of a chunk that a shard does not hold


class ZarrFiles:
    """The files of one array, of chunks or shards.

    Args:
        path: of the store, for messages too.
        array: of zarr.
    """

    def __init__(self, path: str, array: Any) -> None:  # noqa: ANN401 - zarr's type has free parameters
        self._path = path
        self._array = array
        self._itemsize = np.dtype(array.dtype).itemsize
        self._codec = _packing(array)

    def refuse_bombs(self, where: str, region: Sequence[Interval]) -> None:
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

    def refuse_bomb(self, key: str, data: bytes, first: int | None) -> None:
        """The same as `refuse_bombs` for what a server has sent.

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

    def absent(self) -> tuple[int, int] | None:
        """How many files of chunks or shards are not there, of how many; None of very many."""
        units = self._array.shards or self._array.chunks
        whole = [(0, side) for side in self._array.shape]
        count = math.prod(-(-side // unit) for (_, side), unit in zip(whole, units, strict=True))
        return (count - sum(1 for _ in self._files(whole)), count) if count <= MAX_FILES else None

    def encoded_bytes(self, region: Sequence[Interval]) -> int:
        """Lengths of the files that a region touches; of a shard, the share that is read."""
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
