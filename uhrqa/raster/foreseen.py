"""What reads would take from storage, told from the sizes of stored blocks; no pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster
from uhrqa.raster.blocks import BlockLevel, StoredLevel, Window
from uhrqa.raster.derived_levels import Touched, stored_bytes_of
from uhrqa.raster.image_pixels import PIXEL_BYTES


def touched(raster: Raster, reads: Sequence[tuple[Box, Size]]) -> Touched | None:
    """What of an image's levels reads take; None where a raster does not tell."""
    tell: Callable[..., Touched | None] | None = getattr(raster, "touched", None)
    return None if tell is None else tell(reads)


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
    found = touched(raster, reads)
    if found is None:
        return None
    weights = [stored_bytes_of(level, windows) for level, windows in found[0].items()]
    known = [weight for weight in weights if weight is not None]
    return sum(known) if len(known) == len(weights) else None


def held_bytes(raster: Raster) -> int:
    """Bytes of decoded pixels that a raster keeps while it is read, at most; 0 if not told."""
    return int(getattr(raster, "held_bytes", 0))


def decoder_of(raster: Raster) -> str:
    """What decodes a raster, as a machine's speed is known by; empty if not told."""
    return str(getattr(raster, "decoder", ""))


MADE_SHARE = 12  # of a level's pixels, those of its quarter, its eighth and so on


class Decoded(NamedTuple):
    """Pixels that reads decode.

    Attributes:
        pixels: of the blocks under them, each block once.
        halved: of a level of which coarser ones are made in memory first.
        kept: of `pixels`, those that may be read again: not those of blocks that are only passed
            on the way to coarser levels; and those of the coarser levels.
    """

    pixels: int
    halved: int
    kept: int


def decoded_pixels(raster: Raster, reads: Sequence[tuple[Box, Size]]) -> Decoded | None:
    """What reads decode; None where sizes of blocks are not at hand.

    Of each level the share of its bytes that is read is taken for the share of its pixels.
    """
    found = touched(raster, reads)
    if found is None:
        return None
    windows, passed = found
    decoded, kept = 0.0, 0.0
    for level, wanted in windows.items():
        every = Window(0, level.size.h, 0, level.size.w)
        goes = every if level is passed and isinstance(level, BlockLevel) else None
        again = [window for window in wanted if window != goes]
        pixels = [_pixels(level, part) for part in (wanted, again)]
        if pixels[0] is None or pixels[1] is None:
            return None
        decoded, kept = decoded + pixels[0], kept + pixels[1]
    halved = 0 if passed is None else passed.size.area
    return Decoded(int(decoded), halved, int(kept) + halved // MADE_SHARE)


def _pixels(level: StoredLevel, wanted: Sequence[Window]) -> float | None:
    """Pixels of the blocks under windows of a level."""
    whole = stored_bytes_of(level, [Window(0, level.size.h, 0, level.size.w)])
    taken = stored_bytes_of(level, wanted)
    if whole is None or taken is None:
        return None
    at_once = getattr(level, "decoded_bytes", 0) // PIXEL_BYTES  # more than a window needs
    return max(at_once, level.size.area * taken / max(1, whole))
