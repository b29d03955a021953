"""Encoded tiles kept on disk, for the next process that looks at the same image.

A file holds one tile; what is damaged counts as not there. Knows no image and no model: what
decides the features besides the tile comes as one text.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from uhrqa.errors import FeatureFileWarning, OutputError
from uhrqa.features import EncodedTile, TileKey
from uhrqa.kept_files import KeptFiles, digest, used

SUFFIX = ".safetensors"
FILE_BYTES = 20 * 10**9
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
        self._files, self._owner, self._device = KeptFiles(directory, SUFFIX, limit), owner, device
        self._is_told = self._is_full = False
        try:
            (directory / digest(owner)).mkdir(parents=True, exist_ok=True)
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
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError):
            self._tell(f"{path}: is no whole tile and is left out; it is written anew")
            return None
        used(path)
        found = {name: part.to(self._device) for name, part in parts.items() if name != "shown"}
        return EncodedTile(found.get("features"), parts.get("shown"), found.get("traits"))

    def save(self, key: TileKey, tile: EncodedTile) -> None:
        """Keep a tile, in the place of what was kept of it; without room on the disk, do not."""
        if self._is_full:
            return
        try:
            with self._files.fresh(self._path(key)) as file:
                file.write(_pack(tile, self._name(key)))
        except OSError as error:
            self._is_full = True
            self._tell(f"{self._files.root}: no more tiles are kept there: {error.strerror}")

    def _path(self, key: TileKey) -> Path:
        return self._files.path(digest(self._owner), digest(repr(key)))

    def _name(self, key: TileKey) -> str:
        return f"{self._owner} {key!r}"

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
