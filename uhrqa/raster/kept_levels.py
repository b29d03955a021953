"""Levels that were made of an image, kept on disk for the next process that looks at it.

A file holds a line of JSON, then the levels, finest first, as plain rows. Nothing is packed: a
window of a level is read from the mapped file as cheaply as from memory.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import KeptLevelWarning
from uhrqa.geometry import Size
from uhrqa.kept_files import KeptFiles, digest, discard, used

Array = NDArray[np.uint8]
SUFFIX = ".levels"
HEAD_BYTES = 4096
FILE_BYTES = 10 * 10**9


class KeptLevels:
    """The made levels of one image, in a directory that others use, too.

    Args:
        directory: made when something is kept.
        owner: tells all that decides the pixels, image and bands and contrast and versions; None
            where the image has nothing that tells when it changes. Asked before and after a pass.
        limit: bytes that all files in the directory may take; the least recently used go first.
    """

    def __init__(
        self, directory: Path, owner: Callable[[], str | None], limit: int = FILE_BYTES
    ) -> None:
        self._files = KeptFiles(directory, SUFFIX, limit)
        self._owner = owner
        self._is_told = False

    def load(
        self, part: str, sizes: Sequence[Size], channels: int
    ) -> Callable[[int], Array | None] | None:
        """Kept levels of an image, each looked through at its first use.

        Args:
            part: which part of the image they show.
            sizes: theirs, finest first.
            channels: see `StoredLevel`.

        Returns:
            What gives a level by its index, `[h, w, channels]`, mapped, or None where it is
            damaged; None where nothing is kept.
        """
        if (owner := self._owner()) is None:
            return None
        name = _name(owner, part, sizes, channels)
        path = self._path(owner, name)
        try:
            levels, sums = _mapped(path, name, sizes, channels)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._tell(f"{path}: holds no whole levels and is left out: {error}")
            return None
        used(path)

        def get(index: int) -> Array | None:
            if zlib.adler32(levels[index].data) == sums[index]:
                return levels[index]
            self._tell(f"{path}: level {index} of it has changed and is left out")
            return None

        return get

    def writer(self, part: str, sizes: Sequence[Size], channels: int) -> LevelWriter:
        """What takes levels while they are made; see `load`."""
        return LevelWriter(self, self._files, lambda: self._target(part, sizes, channels), sizes)

    def give_up(self, error: OSError) -> None:
        """Tell once that nothing is kept."""
        self._tell(
            f"{self._files.root}: no levels are kept there: {error.strerror or error}; "
            "name another directory: --pyramid-cache DIR, or off"
        )

    def _target(self, part: str, sizes: Sequence[Size], channels: int) -> tuple[str, Path] | None:
        """Name and file of levels; None where they are not kept."""
        owner = self._owner()
        if owner is None or not self._files.has_room(_places(sizes, channels)[-1]):
            return None
        name = _name(owner, part, sizes, channels)
        return name, self._path(owner, name)

    def _path(self, owner: str, name: str) -> Path:
        return self._files.path(digest(owner), digest(name))

    def _tell(self, message: str) -> None:
        if not self._is_told:
            self._is_told = True
            warnings.warn(message, KeptLevelWarning, stacklevel=4)


class LevelWriter:
    """Takes the rows of several levels, in turn or not; a disk that fails is told once.

    A context manager: what was written is kept where the block ends well and the image is still
    the one it was.

    Args:
        kept: where failures are told.
        files: the directory.
        target: name and file of the levels as the image is now.
        sizes: of the levels.
    """

    def __init__(
        self,
        kept: KeptLevels,
        files: KeptFiles,
        target: Callable[[], tuple[str, Path] | None],
        sizes: Sequence[Size],
    ) -> None:
        self._kept, self._files, self._target, self._sizes = kept, files, target, sizes
        self._places: list[int] = []
        self._sums = [zlib.adler32(b"")] * len(sizes)  # three times as fast as CRC-32
        self._aim: tuple[str, Path] | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._aim = self._target()
        if self._aim is not None:
            try:
                self._file = self._files.begin(self._aim[1])
            except OSError as error:
                self._kept.give_up(error)
        return self

    def write(self, index: int, rows: Array) -> None:
        """The next rows `[n, w, channels]` of a level."""
        if self._file is None or not len(rows):
            return
        if not self._places:
            self._places = _places(self._sizes, rows.shape[2])
        data = np.ascontiguousarray(rows).data
        try:
            self._file.seek(self._places[index])
            self._file.write(data)
        except OSError as error:
            self._drop(error)
            return
        self._places[index] += data.nbytes
        self._sums[index] = zlib.adler32(data, self._sums[index])

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._file is None or self._aim is None:
            return
        name, path = self._aim
        head = json.dumps({"name": name, "sums": self._sums}).encode()
        try:
            if error is None and self._target() == self._aim:
                self._file.seek(0)
                self._file.write(head.ljust(HEAD_BYTES - 1) + b"\n")
                self._files.finish(self._file, path)
                self._file = None
        except OSError as failure:
            self._kept.give_up(failure)
        finally:
            self._drop()

    def _drop(self, error: OSError | None = None) -> None:
        """Write no more."""
        if self._file is not None:
            discard(self._file)
            self._file = None
        if error is not None:
            self._kept.give_up(error)


def _name(owner: str, part: str, sizes: Sequence[Size], channels: int) -> str:
    return digest(f"{owner} {part} {list(map(tuple, sizes))} {channels}")


def _places(sizes: Sequence[Size], channels: int) -> list[int]:
    """Where each level begins, and where the last one ends."""
    places = [HEAD_BYTES]
    for size in sizes:
        places.append(places[-1] + size.area * channels)
    return places


def _mapped(
    path: Path, name: str, sizes: Sequence[Size], channels: int
) -> tuple[list[Array], list[int]]:
    """The levels in a file, and their checksums.

    Raises:
        ValueError: they are another image's, or not what was written.
    """
    with path.open("rb") as file:
        head = json.loads(file.read(HEAD_BYTES))
        if head["name"] != name:
            raise ValueError("it holds others")
        *starts, end = _places(sizes, channels)
        data = np.memmap(file, np.uint8, "r")
    if len(data) != end:
        raise ValueError(f"it has {len(data)} bytes, not {end}")
    levels = [
        data[start : start + size.area * channels].reshape(*size, channels)
        for start, size in zip(starts, sizes, strict=True)
    ]
    sums = list(head["sums"])
    if len(sums) != len(levels):
        raise ValueError(f"it has checksums of {len(sums)} levels, not {len(levels)}")
    return levels, sums
