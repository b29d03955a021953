"""A directory of files that several processes share: each whole or not there, all within a limit.

A file is written under another name and then renamed. What was used longest ago goes first.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

UNFINISHED = ".tmp"
DIGEST = re.compile(r"[0-9a-f]{32}")  # names of ours: see `digest`
STEM = re.compile(r"[0-9a-f]{32}(\.[0-9a-f]{32})?")  # the second: of a file that is not finished
ROOM = 0.9  # of the limit that is left filled when old files go
LOOK = 0.05  # of the limit that one process writes between two looks at the directory
ABANDONED = 3600  # seconds after which an unfinished file is nobody's any more


class KeptFiles:
    """Files one directory below `root`, named by `digest`.

    Args:
        root: the directory.
        suffix: of the files.
        limit: bytes that all of them may take.
    """

    def __init__(self, root: Path, suffix: str, limit: int) -> None:
        self.root = root
        self._suffix = suffix
        self._limit = limit
        self._unseen = 0.0  # bytes to write before the directory is looked through

    def path(self, folder: str, name: str) -> Path:
        """Where a file lies."""
        return self.root / folder / (name + self._suffix)

    def has_room(self, size: int) -> bool:
        """Whether a file of so many bytes would be kept."""
        return size <= ROOM * self._limit

    @contextmanager
    def fresh(self, path: Path) -> Iterator[IO[bytes]]:
        """A file to write; it takes its place when the block ends, and is gone if that fails.

        Raises:
            OSError: it cannot be written.
        """
        file = self.begin(path)
        try:
            yield file
            self.finish(file, path)
        except BaseException:
            discard(file)
            raise

    def begin(self, path: Path) -> IO[bytes]:
        """A file to write that `finish` puts in its place.

        Raises:
            OSError: it cannot be made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_suffix(f".{uuid4().hex}{UNFINISHED}").open("xb")  # with the umask's rights

    def finish(self, file: IO[bytes], path: Path) -> None:
        """Put a whole file in its place.

        Raises:
            OSError: it cannot be written.
        """
        file.close()
        size = Path(file.name).stat().st_size
        Path(file.name).replace(path)
        self._make_room(size)

    def _make_room(self, added: int) -> None:
        """Let the files that were used longest ago go, where there is too much.

        What others write is seen where the directory is looked through: at first, and then
        whenever this process has filled a part of it.
        """
        self._unseen -= added
        if self._unseen > 0:
            return
        files = sorted(self._files())
        self._unseen = LOOK * self._limit
        held = sum(size for _, size, _ in files)
        if held <= self._limit:
            return
        for _, size, path in files:
            if held <= ROOM * self._limit:
                break
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()  # where that was the last one
            held -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, bytes and path of every file; abandoned ones are removed.

        What others keep in that directory has other names, and is left alone.
        """
        for path in self.root.glob("*/*"):
            if not (DIGEST.fullmatch(path.parent.name) and STEM.fullmatch(path.stem)):
                continue
            with suppress(OSError):  # gone in the meantime
                state = path.stat()
                if path.suffix == self._suffix:
                    yield state.st_mtime, state.st_size, path
                elif path.suffix == UNFINISHED and time.time() - state.st_mtime > ABANDONED:
                    path.unlink()


def discard(file: IO[bytes]) -> None:
    """Remove a file that will not be finished."""
    with suppress(OSError):
        file.close()
    with suppress(OSError):
        Path(file.name).unlink(missing_ok=True)


def used(path: Path) -> None:
    """Note that a file was used; others may use what they cannot change."""
    with suppress(OSError):
        os.utime(path)


def digest(text: str) -> str:
    """A text as a file's name."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
