"""A Zarr store on a server: its answers are counted, and looked at before they are unpacked.

Each chunk is a file of its own there, so one that is replaced during a run is not noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from zarr.abc.store import ByteRequest, RangeByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore, WrapperStore

from uhrqa.raster.blocks import Meter
from uhrqa.raster.stores import open_store, told

READS = 16  # at once; zarr asks for the chunks of each together
AT_END = -1
Watcher = Callable[[str, bytes, int | None], None]  # key, data, where in the file it begins


class RemoteStore(WrapperStore[ObjectStore[Any]]):
    """The store below an address, only for reading."""

    def __init__(self, url: str, meter: Meter) -> None:
        super().__init__(ObjectStore(open_store(url), read_only=True))
        self.url = url
        self._meter = meter
        self._watchers: dict[str, Watcher] = {}

    def watch(self, array: str, look: Watcher) -> None:
        """Show what comes for an array to a function, which may refuse it by raising."""
        self._watchers[array] = look

    def run(self, read: Callable[[tuple[int, int]], object], places: Sequence[Any]) -> None:
        """Make several reads at once."""
        with ThreadPoolExecutor(READS) as pool:
            list(pool.map(read, places))

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """See `zarr.abc.store.Store`.

        Raises:
            RasterError: the server fails, or a watcher refuses what it sent.
        """
        with told(f"{self.url.rstrip('/')}/{key}"):
            found = await super().get(key, prototype, byte_range)
        self._meter.add(0 if found is None else len(found), requests=1)
        for array, look in self._watchers.items():
            if found is not None and _is_chunk(key, array):
                look(key, found.to_bytes(), _start(byte_range))
        return found


def _is_chunk(key: str, array: str) -> bool:
    """Whether a file belongs to an array, and is not its metadata."""
    inside = key.startswith(f"{array}/") if array else True
    return inside and not key.rpartition("/")[2].startswith((".z", "zarr.json"))


def _start(byte_range: ByteRequest | None) -> int | None:
    if byte_range is None:
        return None
    return byte_range.start if isinstance(byte_range, RangeByteRequest) else AT_END
