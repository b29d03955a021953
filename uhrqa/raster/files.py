"""Files whose bytes are read by their place in the file, from several threads. Knows no format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from uhrqa.errors import RasterError, StorageError
from uhrqa.raster.blocks import Meter
from uhrqa.raster.guard import guarded

if TYPE_CHECKING:
    from uhrqa.raster.remote import RemoteFile
    from uhrqa.raster.streamed import StreamedFile

Range = tuple[int, int]  # offset and number of bytes
GAP = 2**12  # bytes between two ranges that are fetched along rather than asked for apart
MAX_REQUEST = 2**22  # ranges are not merged beyond this: several requests run at once


class ByteFile(Protocol):
    """An open file.

    Attributes:
        path: what the user gave, for messages.
        length: bytes of the file.
        meter: counts what is read.
        is_remote: reading costs a request.
    """

    path: str
    length: int
    meter: Meter
    is_remote: bool

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the file.

        Raises:
            RasterError: the file has become shorter or another one, or cannot be read.
        """
        ...

    def expect(self, ranges: Sequence[Range]) -> None:
        """Say what will be read next, so that it may be fetched at once."""
        ...

    def stream(self) -> IO[bytes]:
        """The file as a stream for reading headers; closed by who asked."""
        ...

    def beside(self, suffixes: Sequence[str]) -> Mapping[str, ByteFile]:
        """Those of the files that are there whose names go on with suffixes; same meter.

        Raises:
            RasterError: one cannot be opened.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class LocalFile:
    """A file on a disk.

    Raises:
        RasterError: it cannot be opened.
    """

    is_remote = False

    def __init__(self, path: str, meter: Meter) -> None:
        self.path = path
        self.meter = meter
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise RasterError(f"{path}: cannot be opened: {error}") from error
        self.length = os.fstat(self._descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        """See `ByteFile.read`."""
        try:
            data = os.pread(self._descriptor, count, offset)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read at byte {offset}: {error}") from error
        self.meter.add(len(data))
        if len(data) < count:
            raise RasterError(
                f"{self.path}: ends at byte {offset + len(data)}, {offset + count} needed; "
                "it was cut short after it was opened"
            )
        return data

    def expect(self, ranges: Sequence[Range]) -> None:
        """A disk needs no warning."""

    def stream(self) -> IO[bytes]:
        """See `ByteFile.stream`."""
        return Path(self.path).open("rb")

    def beside(self, suffixes: Sequence[str]) -> dict[str, LocalFile]:
        """See `ByteFile.beside`."""
        paths = {suffix: f"{self.path}{suffix}" for suffix in suffixes}
        return {
            suffix: LocalFile(path, self.meter)
            for suffix, path in paths.items()
            if Path(path).is_file()
        }

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class WholeFile:
    """An open file of a format without random access.

    Attributes:
        path: what the user gave, for messages.
        stream: its bytes, on a disk whatever it was.
        length: bytes of the file.
        meter: counts what is read, once it is decoded.
        requests: that brought one on a server.
    """

    path: str
    stream: IO[bytes]
    length: int
    meter: Meter
    requests: int = 0

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Close the file where it does not become a raster."""
        try:
            yield
        except BaseException:
            self.stream.close()
            raise


def open_whole(place: str | RemoteFile | StreamedFile) -> WholeFile:
    """Open a file that is decoded as a whole; one on a server is fetched, and let go.

    Raises:
        RasterError: it cannot be opened, or is too large to be fetched.
    """
    if not isinstance(place, str):
        copy = place.copied()
        place.close()
        return WholeFile(place.path, copy, place.length, Meter(), place.meter.requests)
    with guarded(f"{place}: cannot be opened"):
        path = Path(place)
        length = path.stat().st_size
        return WholeFile(place, path.open("rb"), length, Meter())


def merged(ranges: Sequence[Range]) -> list[tuple[Range, list[Range]]]:
    """Ranges that lie close together as one request each.

    Returns:
        What to ask for, with the ranges that lie in it, in the order of the file.
    """
    found: list[tuple[Range, list[Range]]] = []
    for offset, count in sorted(set(ranges)):
        if found:
            (start, length), inside = found[-1]
            stop = max(start + length, offset + count)
            if offset <= start + length + GAP and stop - start <= MAX_REQUEST:
                found[-1] = (start, stop - start), [*inside, (offset, count)]
                continue
        found.append(((offset, count), [(offset, count)]))
    return found
