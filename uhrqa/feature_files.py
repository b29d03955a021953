"""Encoded tiles kept on disk, for the next process that looks at the same image.

A file holds one tile. It is written under another name and then renamed, so that processes may
share a directory; what is damaged counts as not there. Knows no image and no model: what decides
the features besides the tile comes as one text.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from uhrqa.errors import FeatureFileWarning, OutputError
from uhrqa.features import EncodedTile, TileKey

SUFFIX, UNFINISHED = ".safetensors", ".tmp"
FILE_BYTES = 20 * 10**9
ROOM = 0.9  # of the limit that is left filled when old files go
LOOK = 0.05  # of the limit that one process writes between two looks at the directory
ABANDONED = 3600  # seconds after which an unfinished file is nobody's any more
PARTS = ("features", "shown", "traits")


class FeatureFiles:
    """The tiles of one image seen through one model, in a directory that others use, too.

    Args:
        directory: made when missing.
        owner: all that decides the features of a tile: image, how it is read, model, precision.
        device: where features go.
        limit: bytes that all files in the directory may take; the least recently used go first.

    Raises:
        OutputError: the directory cannot be made.
    """

    def __init__(
        self,
        directory: Path,
        owner: str,
        device: torch.device | str = "cpu",
        limit: int = FILE_BYTES,
    ) -> None:
        self._root, self._owner, self._device, self._limit = directory, owner, device, limit
        self._own = directory / _digest(owner)
        self._unseen = 0.0  # bytes to write before the directory is looked through
        self._is_told = self._is_full = False
        try:
            self._own.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{directory}: cannot hold encoded tiles: {error.strerror}; name another directory"
            ) from error

    def load(self, key: TileKey) -> EncodedTile | None:
        """A tile, or None where there is none or its file is damaged."""
        path = self._path(key)
        try:
            parts = _unpack(path.read_bytes(), self._name(key))
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            self._tell(f"{path}: is no whole tile and is left out: {_short(error)}")
            return None
        with suppress(OSError):  # others may use what they cannot change
            os.utime(path)
        found = {name: part.to(self._device) for name, part in parts.items() if name != "shown"}
        return EncodedTile(found.get("features"), parts.get("shown"), found.get("traits"))

    def save(self, key: TileKey, tile: EncodedTile) -> None:
        """Keep a tile, in the place of what was kept of it; without room on the disk, do not."""
        if self._is_full:
            return
        path = self._path(key)
        data = _pack(tile, self._name(key))
        try:
            draft = path.with_suffix(f".{uuid4().hex}{UNFINISHED}")  # with the umask's rights
            try:
                with draft.open("xb") as file:
                    file.write(data)
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            self._make_room(len(data))
        except OSError as error:
            self._is_full = True
            self._tell(f"{self._root}: no more tiles are kept there: {error.strerror}")

    def _path(self, key: TileKey) -> Path:
        return self._own / (_digest(repr(key)) + SUFFIX)

    def _name(self, key: TileKey) -> str:
        return f"{self._owner} {key!r}"

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
            held -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, bytes and path of every tile; abandoned files are removed."""
        for path in self._root.glob("*/*"):
            with suppress(OSError):  # gone in the meantime
                state = path.stat()
                if path.suffix == SUFFIX:
                    yield state.st_mtime, state.st_size, path
                elif path.suffix == UNFINISHED and time.time() - state.st_mtime > ABANDONED:
                    path.unlink()

    def _tell(self, message: str) -> None:
        if not self._is_told:
            self._is_told = True
            warnings.warn(message, FeatureFileWarning, stacklevel=4)


def _pack(tile: EncodedTile, name: str) -> bytes:
    parts = {
        part: value.detach().cpu().contiguous()
        for part, value in zip(PARTS, tile, strict=True)
        if value is not None
    }
    return save(parts, {"name": name, "sum": _checksum(parts)})


def _unpack(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors in a file.

    Raises:
        ValueError: they are another tile's, or not what was written; or one of safetensors' own.
    """
    length = int.from_bytes(data[:8], "little")
    about = json.loads(data[8 : 8 + length])["__metadata__"]
    parts = load(data)
    if about["name"] != name:
        raise ValueError("it holds another tile")
    if about["sum"] != _checksum(parts):
        raise ValueError("its bytes have changed")
    return parts


def _checksum(parts: Mapping[str, Tensor]) -> str:
    total = 0
    for name in sorted(parts):
        about = f"{name} {parts[name].dtype} {tuple(parts[name].shape)}"
        total = zlib.crc32(about.encode(), total)
        total = zlib.crc32(parts[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
