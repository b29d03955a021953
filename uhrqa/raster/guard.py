"""The one place where exceptions of foreign decoders become `RasterError`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from uhrqa.errors import RasterError

END_OF_IMAGE = b"\xff\xd9"  # of JPEG
MAX_SIDE = 2**31
MAX_PIXELS = 2**36  # a square of 262144; beyond it a header is far likelier wrong than right
MAX_BLOCK_BYTES = 2**28  # one tile, strip or chunk, decoded
MOST_PIXELS_A_BYTE = 2**16  # twice what the densest packing of one colour gives
SMALL_PIXELS = 2**24
MOST_GAIN = {"deflate": 1032, "lzw": 4096, "packbits": 64}  # bytes out for a byte in
SMALL_BLOCK = 2**20  # bytes, not worth a look
PREPARE = "prepare it once: uhrqa prepare {path} fast.tif"  # of what we can read, if slowly


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


def check_size(path: str, h: int, w: int, limit: int | None = None) -> None:
    """Refuse sizes that no image has.

    Args:
        path: for the message.
        h: rows.
        w: columns.
        limit: most pixels (`MAX_PIXELS`).

    Raises:
        RasterError: a side is zero or negative, or the image is absurdly large.
    """
    if h < 1 or w < 1:
        raise RasterError(f"{path}: the image is {w} x {h} px, without any pixel; export it again")
    most = limit or MAX_PIXELS
    if max(h, w) > MAX_SIDE or h * w > most:
        raise RasterError(
            f"{path}: the header says {w} x {h} px, more than the limit of {most} pixels; "
            "the file is damaged, or --max-pixels must be raised"
        )


def check_plausible(path: str, pixels: int, length: int) -> None:
    """Refuse images far larger than so short a file can hold, however empty they are.

    Raises:
        RasterError: the header says so.
    """
    if pixels > SMALL_PIXELS + MOST_PIXELS_A_BYTE * length:
        raise RasterError(
            f"{path}: {pixels} pixels in a file of {length} bytes; the file is damaged or cut "
            "short, export it again"
        )


def check_packed(packer: str, packed: int, unpacked: int) -> None:
    """Refuse bytes that cannot become what is expected, before memory is taken for it.

    Args:
        packer: `deflate`, `lzw` or `packbits`.
        packed: bytes that there are.
        unpacked: bytes that they should become.

    Raises:
        ValueError: no such bytes can; meant to be called inside `guarded`.
    """
    most = MOST_GAIN[packer] * packed
    if unpacked > SMALL_BLOCK + most:
        raise ValueError(f"{packed} bytes of {packer} become {most} at most, not {unpacked}")


def check_block(path: str, what: str, h: int, w: int, pixel: int) -> None:
    """Refuse storage units that cannot be decoded in bounded memory.

    Args:
        path: for the message.
        what: `tile`, `strip` or `chunk`.
        h: rows.
        w: columns.
        pixel: bytes of all samples of a pixel, decoded.

    Raises:
        RasterError: a side is zero, or the unit decodes to more than `MAX_BLOCK_BYTES`.
    """
    if h < 1 or w < 1:
        raise RasterError(f"{path}: {what}s of {w} x {h} px; the file is damaged, export it again")
    if h * w * pixel > MAX_BLOCK_BYTES:
        raise RasterError(
            f"{path}: each {what} is {w} x {h} px ({h * w * pixel >> 20} MiB decoded, limit "
            f"{MAX_BLOCK_BYTES >> 20}); store it in small tiles: "
            f"gdal_translate -of COG {path} tiled.tif"
        )


def check_jpeg2000(data: bytes, limit: int) -> None:
    """Refuse a JPEG 2000 stream that announces more than `limit` pixels; see `check_jpeg`.

    Source: ISO/IEC 15444-1, A.5.1: SOC, SIZ, its length and profile, then the grid's size and
    offset.

    Raises:
        ValueError: it announces more; meant to be called inside `guarded`.
    """
    at = data.find(b"\xff\x4f\xff\x51")
    if at >= 0 and at + 24 <= len(data):
        x1, y1, x0, y0 = struct.unpack_from(">4I", data, at + 8)
        if max(0, x1 - x0) * max(0, y1 - y0) > limit:
            raise ValueError(f"it announces {x1 - x0} x {y1 - y0} px")


def check_jpeg(data: bytes, limit: int) -> None:
    """Refuse a JPEG stream that has no end, or whose header announces more than `limit` pixels.

    Decoders allocate what the stream says, whatever the tile around it should hold, and fill up
    what is missing of it with grey.

    Raises:
        ValueError: either; meant to be called inside `guarded`.
    """
    if not data.rstrip(b"\0").endswith(END_OF_IMAGE):  # some writers pad it
        raise ValueError("it has no end")
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            h, w = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (5, 7))
            if h * w > limit:
                raise ValueError(f"it announces {w} x {h} px")
            return
        at += 2 + length
