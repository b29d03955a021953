"""Images on servers: a file read by ranges, few requests for its head, many at once for its tiles.

Every answer of the server is compared with the first one: a file that was replaced in between must
not give half of each.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, cast

from uhrqa.errors import RasterError, StorageError
from uhrqa.raster import FORMATS, Raster
from uhrqa.raster.blocks import Meter
from uhrqa.raster.files import Range, merged
from uhrqa.raster.formats import MAGIC, ZARR_FILES
from uhrqa.raster.head_stream import HEAD_BYTES, MOST_AHEAD, HeadStream
from uhrqa.raster.remote_stamp import Version, version
from uhrqa.raster.stores import (
    AbsentError,
    NoRangesError,
    UnreachableError,
    beside,
    check_whole,
    open_store,
    shown,
    told,
)
from uhrqa.raster.streamed import StreamedFile
from uhrqa.reading import Reading

if TYPE_CHECKING:
    from obstore import ObjectMeta

REQUESTS = 32  # at once
HELD_BYTES = 2**26  # fetched ahead and not yet read
WHOLE = ("png", "jpeg")  # formats that are fetched whole


def open_remote(url: str, reading: Reading) -> Raster:
    """Open an image on a server.

    Args:
        url: its address.
        reading: bands, contrast, limits.

    Raises:
        RasterError: nothing is there, or nothing that can be read by parts.
    """
    try:
        file: RemoteFile | StreamedFile = RemoteFile(url)
    except NoRangesError as refusal:
        try:
            file = StreamedFile(url)
        except UnreachableError:
            raise
        except StorageError:  # one that does not say how long a file is, either
            raise refusal from None
        if _format_of(file) not in WHOLE:
            file.close()
            raise
    except UnreachableError:  # asking for more would take as long again
        raise
    except RasterError:
        if has_zarr(url):
            return _opened("zarr", url, reading)
        raise
    if (name := _format_of(file)) is not None:
        return _opened(name, file, reading)
    file.close()
    if has_zarr(url):
        return _opened("zarr", url, reading)
    raise RasterError(
        f"{file.path}: not a TIFF, Zarr, PNG or JPEG image (it starts with {file.head[:8]!r}); "
        "check the address, or download the file: what only GDAL reads is read from a disk"
    )


def _format_of(file: RemoteFile | StreamedFile) -> str | None:
    return next((name for magic, name in MAGIC.items() if file.head.startswith(magic)), None)


def has_zarr(url: str) -> bool:
    """Whether Zarr metadata lie below an address.

    Raises:
        UnreachableError: the server gives no answer.
    """
    import obstore

    store = open_store(url)
    for name in ZARR_FILES:
        try:
            with told(url):
                obstore.head(store, name)
        except UnreachableError:
            raise
        except RasterError:
            continue
        return True
    return False


def _opened(name: str, source: str | RemoteFile | StreamedFile, reading: Reading) -> Raster:
    try:
        raster: Raster = FORMATS.load(name)(source, reading)
    except BaseException:
        if not isinstance(source, str):
            source.close()
        raise
    return raster


class RemoteFile:
    """One file on a server; see `ByteFile`. Opening it is one request, which brings its head.

    Args:
        url: its address.
        meter: counts what is read, with other files; its own by default.

    Raises:
        RasterError: it is not there, or cannot be read by parts.
    """

    is_remote = True

    def __init__(self, url: str, meter: Meter | None = None) -> None:
        self.path = shown(url)
        self.meter = meter or Meter()
        self._url = url
        self._store = open_store(url)
        self._first: Version | None = None
        self._held: dict[Range, tuple[Future[bytes], int]] = {}  # of which it is, and from where
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(REQUESTS, thread_name_prefix="uhrqa-remote")
        self.length = HEAD_BYTES  # until the first answer says it
        self.head = self._get((0, HEAD_BYTES))

    def read(self, offset: int, count: int) -> bytes:
        """See `ByteFile.read`."""
        with self._lock:
            held = self._held.pop((offset, count), None)
        if held is None:
            data = self._get((offset, count))
        else:
            answer, start = held
            data = answer.result()[start : start + count]
        if len(data) < count:
            raise RasterError(
                f"{self.path}: ends at byte {offset + len(data)}, {offset + count} needed; "
                "the file is cut short"
            )
        return data

    def expect(self, ranges: Sequence[Range]) -> None:
        """Ask for ranges in as few requests as serve, all at once; waits for none of them."""
        with self._lock:
            total = sum(count for _, count in self._held)
            if total > HELD_BYTES:  # nobody came for them
                self._held.clear()
                total = 0
            wanted = [entry for entry in ranges if entry[1] and entry not in self._held]
            for request, inside in merged(wanted):
                total += request[1]
                if self._held and total > HELD_BYTES:  # the rest is asked for when it is read
                    break
                answer = self._pool.submit(self._get, request)
                for offset, count in inside:
                    self._held[offset, count] = answer, offset - request[0]

    def stream(self) -> IO[bytes]:
        """The file as a stream for reading headers."""
        return cast("IO[bytes]", HeadStream(self))

    def beside(self, suffixes: Sequence[str]) -> dict[str, RemoteFile]:
        """See `ByteFile.beside`: a request for each, all at once.

        What a server does not give is not there, nor what is no TIFF: some answer with a page.
        """
        answers = [self._pool.submit(self._beside, suffix) for suffix in suffixes]
        failures = [error for answer in answers if (error := answer.exception()) is not None]
        opened = [None if answer.exception() else answer.result() for answer in answers]
        found = {name: file for name, file in zip(suffixes, opened, strict=True) if file}
        if failures:
            for file in found.values():
                file.close()
            raise failures[0]
        return found

    def _beside(self, suffix: str) -> RemoteFile | None:
        try:
            file = RemoteFile(beside(self._url, suffix), self.meter)
        except (AbsentError, NoRangesError):
            self.meter.add(0, requests=1)
            return None
        if _format_of(file) == "tiff":
            return file
        file.close()
        return None

    def copied(self) -> IO[bytes]:
        """All of the file in a temporary one, which is gone when it is closed.

        Raises:
            RasterError: it is too large.
        """
        check_whole(self.path, self.length)
        with ExitStack() as stack:
            copy = stack.enter_context(tempfile.TemporaryFile())
            copy.write(self.head)
            for start in range(len(self.head), self.length, MOST_AHEAD):
                copy.write(self.read(start, min(MOST_AHEAD, self.length - start)))
            copy.seek(0)
            stack.pop_all()  # the caller closes it
        return copy

    def close(self) -> None:
        """Stop asking."""
        self._pool.shutdown(cancel_futures=True)
        self._held.clear()

    def _get(self, request: Range) -> bytes:
        import obstore

        start, count = request
        stop = min(start + count, self.length)
        if stop <= start:
            return b""
        with told(self._url):
            answer = obstore.get(self._store, "", options={"range": (start, stop)})
            self._refuse_change(answer.meta)
            data = bytes(answer.bytes())
        self.meter.add(len(data), requests=1)
        return data

    def _refuse_change(self, meta: ObjectMeta) -> None:
        found = version(meta)
        if self._first is None:
            self._first, self.length = found, meta["size"]
        if found != self._first:
            raise StorageError(
                f"{self.path}: the file on the server was replaced while it was read "
                f"(ETag {self._first[0]}, now {found[0]}); ask again"
            )
