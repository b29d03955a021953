"""How large packed bytes become, before they are unpacked.

Decoders allocate what the bytes announce, whatever the chunk around them should hold: 300 bytes can
become 10 MB, and a file of some MB more than any memory. zstd, blosc and lz4 write the size into
headers, and their decoders refuse to write more than that; deflate (gzip, zlib) does not, so it is
unpacked piece by piece until it is too much, and each piece is dropped; so are bz2 and lzma. Of
other codecs nothing is known beforehand.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_BLOCK = 2**17  # no block becomes more
ZSTD_RAW, ZSTD_RLE, ZSTD_COMPRESSED = 0, 1, 2
GZIP_MAGIC = b"\x1f\x8b"
PIECE = 2**20


def exceeds(codec: str, data: bytes, limit: int) -> bool:
    """Whether data becomes more than `limit` bytes; False where that cannot be told.

    Args:
        codec: its name in Zarr's metadata, such as `zstd`.
        data: what the codec's decoder will be given; what is damaged is left to that decoder.
        limit: bytes.
    """
    measure = _MEASURES.get(codec)
    return measure is not None and measure(data, limit) > limit


def _blosc_size(data: bytes, _: int) -> int:
    return int.from_bytes(data[4:8], "little")


def _lz4_size(data: bytes, _: int) -> int:
    return int.from_bytes(data[:4], "little")  # as numcodecs writes it before the block


def _zstd_size(data: bytes, limit: int) -> int:
    """What all frames announce together; of one that announces nothing, the most it can become.

    Source: RFC 8878, Sec. 3.1.1.
    """
    total, at = 0, 0
    while data[at : at + 4] == ZSTD_MAGIC and total <= limit:
        descriptor = data[at + 4] if at + 4 < len(data) else 0
        single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
        at += 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
        width = (single, 2, 4, 8)[descriptor >> 6]
        announced = int.from_bytes(data[at : at + width], "little") + 256 * (width == 2)
        at, bound = _skip_blocks(data, at + width)
        at += 4 * checksum
        total += announced if width else bound
    return total


def _skip_blocks(data: bytes, at: int) -> tuple[int, int]:
    """Where a zstd frame's blocks end, and the most bytes that they can become."""
    bound, last = 0, False
    while not last and at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == ZSTD_RLE else size)
        bound += ZSTD_BLOCK if kind == ZSTD_COMPRESSED else size
    return at, bound


def _gzip_size(data: bytes, limit: int) -> int:
    """What all members become together, counted no further than past the limit."""
    total = 0
    while data.startswith(GZIP_MAGIC) and total <= limit:
        size, data = _inflate(data, limit - total, zlib.MAX_WBITS | 16)
        total += size
    return total


def _zlib_size(data: bytes, limit: int) -> int:
    return _inflate(data, limit, zlib.MAX_WBITS)[0]


def _inflate(data: bytes, limit: int, window: int) -> tuple[int, bytes]:
    """Bytes that a deflate stream becomes, counted no further than past the limit; what follows."""
    stream, total = zlib.decompressobj(window), 0
    try:
        while not stream.eof and data and total <= limit:
            total += len(stream.decompress(data, PIECE))
            data = stream.unconsumed_tail
    except zlib.error:
        return total, b""
    return total, stream.unused_data


def _bz2_size(data: bytes, limit: int) -> int:
    return _drained(bz2.BZ2Decompressor(), data, limit)


def _lzma_size(data: bytes, limit: int) -> int:
    return _drained(lzma.LZMADecompressor(), data, limit)


def _drained(stream: bz2.BZ2Decompressor | lzma.LZMADecompressor, data: bytes, limit: int) -> int:
    """Bytes that a stream becomes, counted no further than past the limit."""
    total = 0
    try:
        while not stream.eof and total <= limit:
            piece = stream.decompress(data, PIECE)
            total, data = total + len(piece), b""
            if not piece and stream.needs_input:
                break
    except (OSError, ValueError, EOFError, lzma.LZMAError):
        return total
    return total


_MEASURES: dict[str, Callable[[bytes, int], int]] = {
    "blosc": _blosc_size,
    "bz2": _bz2_size,
    "gzip": _gzip_size,
    "lz4": _lz4_size,
    "lzma": _lzma_size,
    "zlib": _zlib_size,
    "zstd": _zstd_size,
}
