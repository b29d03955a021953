"""Files that grow by lines of JSON: opened for one run at a time, and added to."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
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
    text = json.dumps(record, ensure_ascii=False)
    try:
        write_all(descriptor, text.encode("utf-8", "backslashreplace") + b"\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of some bytes, and put them on the disk."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _leads_to(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
