"""The headers of a file on a server, as a stream."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from uhrqa.errors import RasterError
from uhrqa.raster.guard import MAX_BLOCK_BYTES

if TYPE_CHECKING:
    from uhrqa.raster.remote import RemoteFile

HEAD_BYTES = 2**16  # asked for at once: the headers of most files, and of all small ones
MOST_AHEAD = 2**20


class HeadStream(io.RawIOBase):
    """A file on a server for who reads its headers here and there.

    Each request brings more than was asked for, and more every time: headers lie together.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._parts: dict[int, bytes] = {0: file.head}  # by where they begin
        self._ahead = HEAD_BYTES
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.length}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """The byte that is read next."""
        return self._at

    def readinto(self, buffer: object) -> int:
        """Read into a buffer, for `RawIOBase`."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            RasterError: a header asks for more than headers have, or the server fails.
        """
        stop = self._file.length if size < 0 else min(self._file.length, self._at + size)
        if stop - self._at > MAX_BLOCK_BYTES:
            raise RasterError(
                f"{self._file.path}: a header of {stop - self._at >> 20} MiB; the file is damaged"
            )
        if stop <= self._at:
            return b""
        data = self._found(self._at, stop)
        self._at = stop
        return data

    def _found(self, start: int, stop: int) -> bytes:
        for begin, part in self._parts.items():
            if begin <= start and stop <= begin + len(part):
                return part[start - begin : stop - begin]
        count = min(max(stop - start, self._ahead), self._file.length - start)
        self._ahead = min(2 * self._ahead, MOST_AHEAD)
        self._parts[start] = self._file.read(start, count)
        return self._parts[start][: stop - start]
