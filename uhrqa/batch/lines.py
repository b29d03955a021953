"""Files that grow by lines of JSON: opened for one run at a time, and added to."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from uhrqa.errors import OutputError


def open_to_append(path: Path, advice: str = "name one with -o") -> int:
    """Open a file, made when missing, that no other run holds until it is closed.

    Args:
        path: of the file.
        advice: to who named a pipe, a device or a directory.

    Returns:
        Its descriptor.

    Raises:
        OutputError: it cannot be written, is no regular file, or another process holds it.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OutputError(f"{path}: not a regular file; {advice}")
            lock(descriptor, path)
            if _leads_to(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # replaced between opening and locking: once more


def lock(descriptor: int, path: Path) -> None:
    """Hold an open file until it is closed; does nothing on Windows.

    Args:
        descriptor: of the file.
        path: its name, for the message.

    Raises:
        OutputError: another process holds it.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"{path}: another run is writing to it") from error


def append(descriptor: int, path: Path, record: Mapping[str, Any]) -> None:
    """Add one record as a line; it is on the disk when this returns.

    Args:
        descriptor: of the file.
        path: its name, for the message.
        record: JSON-ready.

    Raises:
        OutputError: the disk is full or failed; the run can be continued later.
    """
    try:
        write_all(descriptor, encoded(record))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def encoded(record: Mapping[str, Any]) -> bytes:
    """A record as a line, its end included."""
    text = json.dumps(record, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of some bytes, and put them on the disk."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def write_anew(descriptor: int, path: Path, fill: Callable[[int], None]) -> int:
    """Put other content in the place of an open file, all at once.

    Args:
        descriptor: of the file; closed when this returns, and left alone when it fails.
        path: its name.
        fill: writes the content to the descriptor it is given.

    Returns:
        The descriptor of the new file, which no other run holds.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    target = path.resolve()
    fresh, name = tempfile.mkstemp(".tmp", f"{target.name}.", target.parent)
    try:
        lock(fresh, path)
        os.fchmod(fresh, stat.S_IMODE(os.fstat(descriptor).st_mode))
        fill(fresh)
        Path(name).replace(target)
        _sync_directory(target.parent)  # else a power cut could bring the old file back
    except BaseException:
        os.close(fresh)
        Path(name).unlink(missing_ok=True)
        raise
    os.close(descriptor)
    return fresh


def _sync_directory(path: Path) -> None:
    """Put the names of a directory on the disk, where its file system can do so."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _leads_to(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
