"""Which format a file is of, by what it contains. Opens no image."""

from __future__ import annotations

import stat
from pathlib import Path

from uhrqa.errors import RasterError

MAGIC = {
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",  # BigTIFF
    b"MM\x00+": "tiff",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
}
ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
OTHER = "gdal"
REMOTE = ("http://", "https://", "s3://", "gs://", "az://")


def is_remote(path: str) -> bool:
    """Whether a path is an address on a server."""
    return path.lower().startswith(REMOTE)


def format_of(path: str) -> str:
    """Name of a file's format in `FORMATS`, by its first bytes or its Zarr metadata.

    A file of none of our formats is left to GDAL, which may not know it either.

    Raises:
        RasterError: nothing is there, or no file.
    """
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            return _directory_format(path)
        # Looked at before opening: to open a pipe would wait for a writer.
        if not stat.S_ISREG(mode):
            raise RasterError(f"{path}: not a regular file; save the image to a file first")
        with Path(path).open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        if "://" in path:
            schemes = ", ".join(REMOTE)
            raise RasterError(f"{path}: only {schemes} are read; download it first") from None
        raise RasterError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RasterError(f"{path!r}: cannot be opened: {reason}") from error
    if not start:
        raise RasterError(f"{path}: the file is empty (0 bytes); copy or export it again")
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), OTHER)


def _directory_format(path: str) -> str:
    if any(Path(path, name).is_file() for name in ZARR_FILES):
        return "zarr"
    raise RasterError(
        f"{path}: a directory without Zarr metadata ({', '.join(ZARR_FILES[:3])}); name an image"
    )
