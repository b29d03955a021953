"""One run at a time writes to a file."""

from __future__ import annotations

import sys
from pathlib import Path

from uhrqa.errors import OutputError


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
