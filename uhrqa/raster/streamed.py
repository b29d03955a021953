"""A file on a server that sends files as a whole alone: fetched by one request, as it comes.

Enough for formats without random access, which are fetched whole anyway.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

from uhrqa.errors import StorageError
from uhrqa.raster.blocks import Meter
from uhrqa.raster.stores import check_whole, open_store, shown, told

CHUNK_BYTES = 2**20


class StreamedFile:
    """See the module; as much of `RemoteFile` as `open_whole` needs, once that was refused.

    Attributes:
        head: the first bytes.

    Raises:
        StorageError: the server fails.
    """

    def __init__(self, url: str) -> None:
        import obstore

        self.path = shown(url)
        self.meter = Meter()
        self._url = url
        with told(url):
            answer = obstore.get(open_store(url, whole=True), "")
        self.length = answer.meta["size"]
        self.meter.add(0, requests=2)  # and the one for a part, which was refused
        self._chunks: Iterator[Any] = iter(answer.stream(min_chunk_size=CHUNK_BYTES))
        self.head = self._next()

    def copied(self) -> IO[bytes]:
        """All of the file in a temporary one, which is gone when it is closed.

        Raises:
            RasterError: it is too large, ends early, or the server fails.
        """
        check_whole(self.path, self.length)
        with ExitStack() as stack:
            copy = stack.enter_context(tempfile.TemporaryFile())
            copy.write(self.head)
            for chunk in self._rest():
                copy.write(chunk)
            copy.seek(0)
            stack.pop_all()  # the caller closes it
        return copy

    def close(self) -> None:
        """Stop asking."""
        self._chunks = iter(())

    def _rest(self) -> Iterator[bytes]:
        while chunk := self._next():
            yield chunk
        if self.meter.total != self.length:
            raise StorageError(
                f"{self.path}: ended at byte {self.meter.total} of {self.length}; ask again"
            )

    def _next(self) -> bytes:
        with told(self._url):
            chunk = bytes(next(self._chunks, b""))
        self.meter.add(len(chunk))
        return chunk
