"""What reads would take from storage, told from the sizes of stored blocks; no pixel is decoded."""

from __future__ import annotations

from collections.abc import Sequence

from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster


def bytes_to_read(raster: Raster, reads: Sequence[tuple[Box, Size]]) -> int | None:
    """Encoded bytes that reads take from storage when each block is read once.

    Blocks that leave the cache between two reads are read again, and then it is more.

    Args:
        raster: an open image.
        reads: boxes and sizes, as `read` will be given them.

    Returns:
        Bytes, or None where sizes of blocks are not at hand: of Zarr on a server, and of rasters
        that do not tell.
    """
    told = getattr(raster, "bytes_to_read", None)
    found: int | None = None if told is None else told(reads)
    return found


def held_bytes(raster: Raster) -> int:
    """Bytes of decoded pixels that a raster keeps while it is read, at most; 0 if not told."""
    return int(getattr(raster, "held_bytes", 0))
