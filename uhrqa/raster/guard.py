"""The one place where exceptions of foreign decoders become `RasterError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from uhrqa.errors import RasterError

MAX_SIDE = 2**31
MAX_PIXELS = 2**36  # a square of 262144; beyond it a header is far likelier wrong than right
MAX_BLOCK_BYTES = 2**28  # one tile, strip or chunk, decoded


@contextmanager
def guarded(what: str, remedy: str = "copy or export the file again") -> Iterator[None]:
    """Turn any failure of a decoder inside the block into one clear line.

    Wrap calls of third-party decoders only: a mistake of our own should keep its traceback.

    Args:
        what: the thing and what could not be done, as in `a.tif: cannot be decoded`.
        remedy: what the user can do.

    Raises:
        RasterError: anything failed.
    """
    try:
        yield
    except RasterError:
        raise
    except Exception as error:  # decoders fail with a dozen unrelated types
        text = " ".join(str(error).split())[:160]
        reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise RasterError(f"{what} ({reason}); {remedy}") from error


def check_size(path: str, h: int, w: int) -> None:
    """Refuse sizes that no image has.

    Raises:
        RasterError: a side is zero or negative, or the image is absurdly large.
    """
    if h < 1 or w < 1:
        raise RasterError(f"{path}: the image is {w} x {h} px, without any pixel; export it again")
    if max(h, w) > MAX_SIDE or h * w > MAX_PIXELS:
        raise RasterError(
            f"{path}: the header says {w} x {h} px, more than the limit of {MAX_PIXELS} pixels; "
            "the file is damaged, or must be cut into parts"
        )


def check_block(path: str, what: str, h: int, w: int, channels: int) -> None:
    """Refuse storage units that cannot be decoded in bounded memory.

    Raises:
        RasterError: a side is zero, or the unit decodes to more than `MAX_BLOCK_BYTES`.
    """
    if h < 1 or w < 1:
        raise RasterError(f"{path}: {what}s of {w} x {h} px; the file is damaged, export it again")
    if h * w * channels > MAX_BLOCK_BYTES:
        raise RasterError(
            f"{path}: each {what} is {w} x {h} px ({h * w * channels >> 20} MiB decoded, limit "
            f"{MAX_BLOCK_BYTES >> 20}); store it in small tiles: "
            f"gdal_translate -of COG {path} tiled.tif"
        )


def check_jpeg(data: bytes, limit: int) -> None:
    """Refuse a JPEG stream whose header announces more than `limit` pixels.

    Decoders allocate what the stream says, whatever the tile around it should hold.

    Raises:
        ValueError: it announces more; meant to be called inside `guarded`.
    """
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            h, w = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (5, 7))
            if h * w > limit:
                raise ValueError(f"it announces {w} x {h} px")
            return
        at += 2 + length
