"""What tells that an image was replaced under its name. Reads no pixel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from uhrqa.batch.entries import Place, digest
from uhrqa.errors import RasterError


def stamp_image(path: Place) -> str | None:
    """Size and time of change of an image, in 16 letters; on a server ETags.

    For a Zarr directory those of every file in it: a chunk that is written again in its place
    leaves no trace in the directory itself. Of other images also those of the files beside it and
    the ones that it names, as far as they are there.

    Returns:
        None where nothing is there.
    """
    if isinstance(path, str):
        return _remote_stamp(path)
    try:
        if path.is_dir() and _is_zarr(path):
            return digest("\n".join(_files(path)))
        state = path.stat()
        return digest("\n".join([f"{state.st_size} {state.st_mtime_ns}", *_others(path)]))
    except (OSError, ValueError):
        return None


def _others(path: Path) -> Iterator[str]:
    """Name, size and time of change of the other files of an image: overviews, sources, masks."""
    from uhrqa.raster.image_files import image_files

    for file in image_files(str(path))[1:]:
        with suppress(OSError):  # none there
            state = file.stat()
            yield f"{file} {state.st_size} {state.st_mtime_ns}"


def _remote_stamp(url: str) -> str | None:
    from uhrqa.raster.remote_stamp import stamp

    try:
        return digest(stamp(url))
    except RasterError:  # a Zarr store is no file; its chunks are not looked at
        return None


def _is_zarr(path: Path) -> bool:
    from uhrqa.raster.formats import format_of

    try:
        return format_of(str(path)) == "zarr"
    except RasterError:
        return False


def _files(directory: Path) -> Iterator[str]:
    """Name, size and time of change of every file, in an order of its own."""
    for folder, folders, names in os.walk(directory):
        folders.sort()
        inside = os.path.relpath(folder, directory)
        for name in sorted(names):
            state = Path(folder, name).stat()
            yield f"{inside}/{name} {state.st_size} {state.st_mtime_ns}"
