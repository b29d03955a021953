"""Over sixty files by hand, each with one thing wrong: name to what writes it.

Names that begin with `odd` are strange but may be read; all others must be refused.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import tifffile
import zarr
import zarr.codecs
from PIL import Image

from tests.fixtures_raster import coordinate_raster, noise_raster

Write = Callable[[Path], object]
W, H, BITS, PACK, PHOTO, OFFSETS, SAMPLES, ROWS, COUNTS = (
    256, 257, 258, 259, 262, 273, 277, 278, 279,
)  # fmt: skip
PREDICTOR, PALETTE, TW, TH, TOFFSETS, TCOUNTS, SUBIFDS, FORMAT, JPEGTABLES = (
    317, 320, 322, 323, 324, 325, 330, 339, 347,
)  # fmt: skip
DATA = b"\x2a" * 4096
SMALL = {W: 64, H: 64, BITS: 8, PACK: 1, PHOTO: 1, SAMPLES: 1}
STRIP = {OFFSETS: 4096, ROWS: 64, COUNTS: 4096}
TILE = {TW: 64, TH: 64, TOFFSETS: 4096, TCOUNTS: 4096}
DROP: Any = None
MANY = 2**32 - 1


def tiff(
    changes: dict[int, Any], *, base: dict = STRIP, body: bytes = DATA, next_ifd: int = 0
) -> Write:
    """A TIFF of 64 x 64 grey with some tags changed, to a number or (type, count, value)."""

    def write(path: Path) -> None:
        tags = {**SMALL, **base, **changes}
        entries = b""
        for tag, value in sorted(tags.items()):
            if value is not DROP:
                kind, count, number = value if isinstance(value, tuple) else (4, 1, value)
                entries += struct.pack("<HHII", tag, kind, count, number)
        head = b"II*\0" + struct.pack("<IH", 8, len(entries) // 12) + entries
        path.write_bytes((head + struct.pack("<I", next_ifd)).ljust(4096, b"\0") + body)

    return write


def packed(code: int, data: bytes | bytearray, side: int = 64, **more: int) -> Write:
    """A TIFF of one tile, packed with some code."""
    tags = {PACK: code, TW: side, TH: side, W: side, H: side, TCOUNTS: len(data)}
    return tiff({**tags, **{int(k[1:]): v for k, v in more.items()}}, base=TILE, body=bytes(data))


def raw(data: bytes) -> Write:
    return lambda path: path.write_bytes(data)


def png(
    w: int, h: int, depth: int = 8, colour: int = 2, interlace: int = 0, data: bytes = b""
) -> Write:
    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", data or zlib.compress(b"\0" * 100))
    return raw(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))


def jpeg(w: int, h: int, *, progressive: bool = False, kept: float = 1.0, **more: Any) -> Write:
    """A small JPEG whose header says something else."""
    stream = io.BytesIO()
    Image.fromarray(coordinate_raster(64, 64)).save(stream, "JPEG", progressive=progressive, **more)
    data = bytearray(stream.getvalue())
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, h, w)
    return raw(bytes(data[: int(len(data) * kept)]))


def jpeg_bytes(w: int, h: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (w, h)).save(stream, "JPEG")
    return stream.getvalue()


def store(
    changes: dict | None = None,
    chunk: bytes | None = None,
    *,
    text: str | None = None,
    **options: Any,
) -> Write:
    """A Zarr of 40 x 40 x 3 with changed metadata or one chunk replaced."""

    def write(path: Path) -> None:
        kinds: dict[str, Any] = {"chunks": (32, 32, 3), "data": noise_raster(40, 40), **options}
        zarr.create_array(store=str(path), **kinds)
        meta = path / "zarr.json"
        if changes is not None:
            meta.write_text(json.dumps(json.loads(meta.read_text()) | changes))
        if text is not None:
            meta.write_text(text)
        if chunk is not None:
            (path / "c" / "0" / "0" / "0").write_bytes(chunk)

    return write


def group(attributes: dict, **shapes: tuple[int, ...]) -> Write:
    def write(path: Path) -> None:
        made = zarr.open_group(str(path), mode="w", attributes=attributes)
        for name, shape in shapes.items():
            made.create_array(name, shape=shape, chunks=shape, dtype="u1")

    return write


def whole(array: np.ndarray, cut: slice = slice(None), **options: Any) -> Write:
    def write(path: Path) -> None:
        tifffile.imwrite(path, array, metadata=None, **options)
        path.write_bytes(path.read_bytes()[cut])

    return write


def chain(path: Path) -> None:
    """70 000 pages, each the same strip."""
    page = struct.pack("<H", 9)
    for tag, value in sorted({**SMALL, **STRIP, OFFSETS: 8, COUNTS: 4096}.items()):
        page += struct.pack("<HHII", tag, 4, 1, value)
    size, at, out = (
        len(page) + 4,
        8 + 4096,
        bytearray(b"II*\0" + struct.pack("<I", 8 + 4096) + DATA),
    )
    for number in range(70_000):
        out += page + struct.pack("<I", at + size * (number + 1) if number < 69_999 else 0)
    path.write_bytes(out)


ZEROS = bytes(2**26)
BIG = 16384  # a tile of this side is just what may be decoded
GREY_ZLIB = zlib.compress(bytes(4096))
CHUNKS = "chunk_grid"


def grid(*chunk: int) -> dict:
    return {CHUNKS: {"name": "regular", "configuration": {"chunk_shape": list(chunk)}}}


def corpus() -> dict[str, Write]:
    """All files. Bombs are packed when they are written."""
    return {**_tiffs(), **_packed_tiffs(), **_images(), **_stores()}


def _tiffs() -> dict[str, Write]:
    return {
        "empty.tif": raw(b""),
        "four-bytes.tif": raw(b"II*\0"),
        "header-alone.tif": raw(b"II*\0\x08\0\0\0"),
        "first-page-beyond-the-end.tif": raw(b"II*\0\xff\xff\xff\x7f" + DATA),
        "no-page.tif": raw(b"II*\0\0\0\0\0" + DATA),
        "big-tiff-cut.tif": raw(b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"),
        "big-tiff-with-endless-tags.tif": raw(
            b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + b"\xff" * 8 + bytes(64)
        ),
        "no-width.tif": tiff({W: DROP}),
        "width-0.tif": tiff({W: 0}),
        "height-0.tif": tiff({H: 0}),
        "a-million-wide.tif": tiff({W: 10**6, H: 10**6}),
        "as-wide-as-numbers-go.tif": tiff({W: MANY, H: MANY}),
        "rows-per-strip-0.tif": tiff({ROWS: 0}),
        "strips-missing.tif": tiff({OFFSETS: DROP, COUNTS: DROP}),
        "strip-beyond-the-end.tif": tiff({OFFSETS: 10**6}),
        "strip-longer-than-the-file.tif": tiff({COUNTS: MANY}),
        "strip-at-the-end-of-numbers.tif": tiff({OFFSETS: MANY, COUNTS: MANY}),
        "strip-too-short.tif": tiff({COUNTS: 100}),
        "a-billion-offsets.tif": tiff({OFFSETS: (4, 10**9, 4096), COUNTS: (4, 10**9, 4096)}),
        "offsets-beyond-the-end.tif": tiff({OFFSETS: (4, 64, 10**6), ROWS: 1}),
        "tile-0.tif": tiff({TW: 0, TH: 0}, base=TILE),
        "tile-of-a-gigapixel.tif": tiff({TW: 32768, TH: 32768}, base=TILE),
        "tile-as-wide-as-numbers-go.tif": tiff({TW: MANY, TH: MANY}, base=TILE),
        "too-few-tiles.tif": tiff({W: 100_000, H: 100_000}, base=TILE),
        "65535-samples.tif": tiff({SAMPLES: 65535}),
        "0-samples.tif": tiff({SAMPLES: 0}),
        "2-samples-of-rgb.tif": tiff({SAMPLES: 2, PHOTO: 2}),
        "64-bits.tif": tiff({BITS: 64}),
        "65535-bits.tif": tiff({BITS: 65535}),
        "0-bits.tif": tiff({BITS: 0}),
        "unknown-sample-format.tif": tiff({FORMAT: 77}),
        "complex.tif": tiff({BITS: 64, FORMAT: 6, COUNTS: 4096}),
        "unknown-compression.tif": tiff({PACK: 12345}),
        "unknown-photometric.tif": tiff({PHOTO: 999}),
        "lab.tif": tiff({PHOTO: 8}),
        "palette-without-one.tif": tiff({PHOTO: 3}),
        "palette-too-short.tif": tiff({PHOTO: 3, PALETTE: (3, 6, 4096)}),
        "predictor-of-floats-on-bytes.tif": packed(8, GREY_ZLIB, x317=3),
        "unknown-predictor.tif": packed(8, GREY_ZLIB, x317=77),
        "odd-loop-of-pages.tif": tiff({}, next_ifd=8),
        "odd-next-page-beyond-the-end.tif": tiff({}, next_ifd=10**8),
        "odd-sub-page-of-itself.tif": tiff({SUBIFDS: 8}),
        "odd-sub-pages-beyond-the-end.tif": tiff({SUBIFDS: (4, 10**6, 10**8)}),
        "odd-70000-pages.tif": chain,
        "odd-no-data-of-noise.tif": tiff({42113: (2, 9, 4096)}),
        "tags-of-unknown-type.tif": tiff({W: (99, 1, 64)}),
        "cut-tiles.tif": whole(noise_raster(128, 128), slice(-9000), tile=(64, 64)),
        "cut-strips.tif": whole(noise_raster(128, 128), slice(-9000), photometric="rgb"),
    }


def _packed_tiffs() -> dict[str, Write]:
    return {
        "deflate-noise.tif": packed(8, b"\x78\x9c" + b"\xaa" * 500),
        "deflate-too-little.tif": packed(8, zlib.compress(bytes(100))),
        "odd-deflate-too-much.tif": packed(8, zlib.compress(bytes(10**7))),
        "deflate-for-a-huge-tile.tif": packed(8, GREY_ZLIB, BIG),
        "lzw-noise.tif": packed(5, b"\xff" * 500),
        "lzw-for-a-huge-tile.tif": packed(5, imagecodecs.lzw_encode(bytes(4096)), BIG),
        "packbits-for-a-huge-tile.tif": packed(32773, b"\x81\0" * 50, BIG),
        "packbits-cut.tif": packed(32773, b"\x7f"),
        "zstd-noise.tif": packed(50000, b"\x28\xb5\x2f\xfd" + b"\xee" * 300),
        "zstd-of-64-mib-in-a-small-tile.tif": lambda path: packed(
            50000, imagecodecs.zstd_encode(ZEROS)
        )(path),
        "zstd-too-little-for-a-huge-tile.tif": lambda path: packed(
            50000, imagecodecs.zstd_encode(bytes(4096)), BIG
        )(path),
        "odd-zstd-tile-of-128-mib.tif": lambda path: packed(
            50000, imagecodecs.zstd_encode(bytes(11584**2)), 11584
        )(path),
        "odd-lzma-of-64-mib-in-a-small-tile.tif": lambda path: packed(
            34925, lzma.compress(ZEROS, preset=0)
        )(path),
        "jpeg-larger-than-its-tile.tif": packed(7, jpeg_bytes(9000, 9000)),
        "jpeg-cut.tif": packed(7, jpeg_bytes(64, 64)[:100]),
        "jpeg-tables-of-noise.tif": packed(7, jpeg_bytes(64, 64)[:20] + b"\xff\xd9"),
        "jpeg2000-larger-than-its-tile.tif": lambda path: packed(
            34712, imagecodecs.jpeg2k_encode(np.zeros((9000, 9000), np.uint8), level=1)
        )(path),
        "webp-larger-than-its-tile.tif": lambda path: packed(
            50001, imagecodecs.webp_encode(np.zeros((9000, 9000, 3), np.uint8), level=1)
        )(path),
        "jpegxl-larger-than-its-tile.tif": lambda path: packed(
            50002, imagecodecs.jpegxl_encode(np.zeros((9000, 9000), np.uint8), effort=1)
        )(path),
        "png-larger-than-its-tile.tif": lambda path: packed(
            34933, imagecodecs.png_encode(np.zeros((9000, 9000), np.uint8))
        )(path),
        "lerc-noise.tif": packed(34887, b"Lerc2 " + b"\xff" * 300),
        "odd-fax-noise.tif": tiff({PACK: 4, BITS: 1}, body=b"\x55" * 4096),
    }


def _images() -> dict[str, Write]:
    side = 30_000
    return {
        "header-alone.png": raw(b"\x89PNG\r\n\x1a\n"),
        "cut-in-header.png": raw(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0"),
        "0-wide.png": png(0, 10),
        "as-wide-as-numbers-go.png": png(2**31 - 1, 2**31 - 1),
        "30000-square-of-nothing.png": png(side, side),
        "30000-square-of-nothing-interlaced.png": png(side, side, interlace=1),
        "30000-square-of-nothing-deep.png": png(side, side, depth=16),
        "200000-square.png": png(200_000, 200_000),
        "pixels-missing.png": png(100, 100),
        "pixels-missing-deep.png": png(100, 100, depth=16),
        "depth-3.png": png(10, 10, depth=3),
        "colour-5.png": png(10, 10, colour=5),
        "palette-missing.png": png(10, 10, colour=3, data=zlib.compress(bytes(110))),
        "noise-for-pixels.png": png(100, 100, data=b"\x78\x9c" + b"\xff" * 1000),
        "a-gigapixel.png": png(20_000, 60_000, colour=0, data=bytes(1_300_000)),
        "header-alone.jpg": raw(b"\xff\xd8\xff"),
        "65535-square-of-nothing.jpg": jpeg(65535, 65535),
        "20000-square-of-nothing.jpg": jpeg(20_000, 20_000),
        "20000-square-of-nothing-progressive.jpg": jpeg(20_000, 20_000, progressive=True),
        "0-high.jpg": jpeg(64, 0),
        "0-wide.jpg": jpeg(0, 64),
        "cut.jpg": jpeg(64, 64, kept=0.6),
        "cut-progressive.jpg": jpeg(64, 64, progressive=True, kept=0.6),
        "odd-exif-of-noise.jpg": jpeg(64, 64, exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\x99" * 90),
        "segment-beyond-the-end.jpg": raw(b"\xff\xd8\xff\xe0\xff\xff" + bytes(20)),
    }


def _stores() -> dict[str, Write]:
    gz, zs = [zarr.codecs.GzipCodec()], [zarr.codecs.ZstdCodec()]
    blosc = [zarr.codecs.BloscCodec()]
    scales = {"multiscales": [{"datasets": [{"path": "../../../etc"}]}]}
    return {
        "not-json.zarr": store(text="{"),
        "a-number.zarr": store(text="7"),
        "a-list.zarr": store(text="[]"),
        "deep-json.zarr": store(text="[" * 100_000),
        "no-shape.zarr": store({"shape": None}),
        "negative-shape.zarr": store({"shape": [-4, -4, 3]}),
        "shape-0.zarr": store({"shape": [0, 0, 3]}),
        "shape-of-floats.zarr": store({"shape": [1e3, 1e3, 3]}),
        "shape-as-large-as-numbers-go.zarr": store({"shape": [2**63 - 1, 2**63 - 1, 3]}),
        "chunk-0.zarr": store(grid(0, 0, 0)),
        "chunk-negative.zarr": store(grid(-1, 32, 3)),
        "chunk-of-terabytes.zarr": store(grid(10**6, 10**6, 3)),
        "chunk-of-other-rank.zarr": store(grid(32, 32)),
        "unknown-type.zarr": store({"data_type": "int7"}),
        "complex.zarr": store({"data_type": "complex64", "fill_value": [0, 0]}),
        "text.zarr": store({"data_type": "string", "fill_value": ""}),
        "unknown-codec.zarr": store({"codecs": [{"name": "bytes"}, {"name": "nonsense"}]}),
        "no-codec.zarr": store({"codecs": []}),
        "chunk-empty.zarr": store(chunk=b""),
        "chunk-cut.zarr": store(chunk=b"\x28\xb5\x2f\xfd\0", compressors=zs),
        "chunk-noise.zarr": store(chunk=b"\xaa" * 300, compressors=zs),
        "chunk-short.zarr": store(chunk=bytes(10), compressors=None),
        "chunk-long.zarr": store(chunk=bytes(10**6), compressors=None),
        "bomb-zstd.zarr": lambda path: store(chunk=numcodecs.Zstd().encode(ZEROS), compressors=zs)(
            path
        ),
        "bomb-gzip.zarr": lambda path: store(chunk=gzip.compress(ZEROS, 1), compressors=gz)(path),
        "bomb-blosc.zarr": lambda path: store(
            chunk=bytes(numcodecs.Blosc().encode(ZEROS)), compressors=blosc
        )(path),
        "gzip-noise.zarr": store(chunk=b"\x1f\x8b\x08\0" + b"\xaa" * 300, compressors=gz),
        "blosc-noise.zarr": store(chunk=b"\x02\x01\x31\x01" + b"\xff" * 300, compressors=blosc),
        "out-of-the-store.zarr": group(scales, s0=(40, 40)),
        "scales-of-nothing.zarr": group({"multiscales": [{}]}, s0=(40, 40)),
        "scales-of-numbers.zarr": group({"multiscales": [7]}, s0=(40, 40)),
        "odd-ome-of-a-number.zarr": group({"ome": 7}, s0=(40, 40)),
        "no-array.zarr": group({}),
        "odd-fill-value-of-text.zarr": store({"attributes": {"_FillValue": "a"}}),
    }


CORPUS = corpus()
