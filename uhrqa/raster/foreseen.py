"""What reads would take from storage, told from the sizes of stored blocks; no pixel is decoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster
from uhrqa.raster.levels import WINDOW_PIXELS
from uhrqa.raster.serving import SLACK


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


def decoded_pixels(raster: Raster, reads: Sequence[tuple[Box, Size]]) -> tuple[int, int] | None:
    """Pixels of the blocks that reads decode, each block once, and of a level that is halved first.

    Of each stored level the share of its bytes that is read is taken for the share of its pixels.

    Returns:
        Both, or None where sizes of blocks are not at hand.
    """
    served: dict[Size, list[tuple[Box, Size]]] = defaultdict(list)
    coarsest, halved = raster.levels[-1], 0
    for box, out in reads:
        asked = Size(int(raster.size.h * out.h / box.h), int(raster.size.w * out.w / box.w))
        served[_serving(raster, asked)].append((box, out))
        if coarsest.area > max(WINDOW_PIXELS, 4 * asked.area):
            halved = coarsest.area  # once, however many reads follow
    decoded = 0.0
    for level, own in served.items():
        whole = bytes_to_read(raster, [(Box.whole(raster.size), level)])
        taken = bytes_to_read(raster, own)
        if whole is None or taken is None:
            return None
        decoded += level.area * taken / max(1, whole)
    return int(decoded), halved


def _serving(raster: Raster, asked: Size) -> Size:
    """The coarsest stored level that has the pixels asked for."""
    enough = [
        level
        for level in raster.levels
        if level.h >= (1 - SLACK) * asked.h - 1 and level.w >= (1 - SLACK) * asked.w - 1
    ]
    return enough[-1] if enough else raster.levels[0]
