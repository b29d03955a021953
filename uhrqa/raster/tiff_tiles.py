"""The tiles and strips of one TIFF image: where they are, what they promise, what they decode to.

Bytes are read by offset, never through tifffile's one seek position, so that threads may read at
the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.block_cache import BlockCache
from uhrqa.raster.blocks import BadTiles
from uhrqa.raster.files import ByteFile
from uhrqa.raster.guard import check_block, check_jpeg, check_jpeg2000, check_packed, guarded
from uhrqa.raster.tiff_kinds import JPEG, nodata_of

Values = NDArray[Any]
TAG_BYTES = 20
OFFSET_BYTES = 16  # offset and byte count of one tile or strip
JPEG2000 = (33003, 33004, 33005, 34712)
PACKERS = {5: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate"}


@dataclass(frozen=True, slots=True)
class TiffSource:
    """An open file: what all its levels share."""

    file: ByteFile
    cache: BlockCache
    bad: BadTiles

    @property
    def path(self) -> str:
        """What the user gave, for messages."""
        return self.file.path

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return self.file.length


class TiffTiles:
    """The tiles or strips of one image.

    Args:
        source: the file.
        page: the image.
        indices: samples to decode.
        index: of the level, for messages.

    Raises:
        RasterError: there are too few of them, they are too large, or some lie beyond the end of
            the file (unless bad tiles are masked).
    """

    def __init__(
        self, source: TiffSource, page: TiffPage, indices: Sequence[int], index: int
    ) -> None:
        self.source = source
        self.page = page
        self.indices = list(indices)
        self.index = index
        self.name = "tile" if page.is_tiled else "strip"
        self.size = Size(page.imagelength, page.imagewidth)
        self.label = f"level {index} ({self.size.w} x {self.size.h} px)"
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        self.separate = page.planarconfig == 2 and page.samplesperpixel > 1
        self.block_size = _block_size(page)
        self._samples = 1 if self.separate else page.samplesperpixel
        # Raw strips are read by rows, so their size does not matter.
        rows = 1 if not page.is_tiled and is_raw(page) else self.block_size.h
        itemsize = self.dtype.itemsize
        check_block(source.path, self.name, rows, self.block_size.w, self._samples * itemsize)
        self.grid = tuple(
            -(-side // part) for side, part in zip(self.size, self.block_size, strict=True)
        )
        self.offsets = np.asarray(page.dataoffsets, np.uint64)
        self.counts = np.asarray(page.databytecounts, np.uint64)
        self._check()
        self._tables = {"jpegtables": page.jpegtables} if page.jpegtables else {}
        self._nodata = nodata_of(page)
        self._decode = page.decode
        if not source.file.is_remote:  # there each byte is counted as it comes
            headers = TAG_BYTES * len(page.tags) + OFFSET_BYTES * len(self.offsets)
            source.file.meter.add(headers)

    def _check(self) -> None:
        path, planes = self.source.path, self.page.samplesperpixel if self.separate else 1
        needed = planes * self.grid[0] * self.grid[1]
        if len(self.offsets) < needed or len(self.counts) < needed:
            raise RasterError(
                f"{path}: {self.label} needs {needed} {self.name}s, the header lists "
                f"{min(len(self.offsets), len(self.counts))}; the file is damaged, export it again"
            )
        if is_raw(self.page):
            self._check_raw()
        beyond = self.counts > self.source.length - np.minimum(self.offsets, self.source.length)
        if beyond.any() and not self.source.bad.masked:
            first = int(np.flatnonzero(beyond)[0])
            raise RasterError(
                f"{path}: {int(beyond.sum())} of {len(beyond)} {self.name}s of {self.label} lie "
                f"beyond the end of the file (the first, {self.name} {first}, should end at byte "
                f"{int(self.offsets[first]) + int(self.counts[first])} of {self.source.length}); "
                "the file is cut short, copy or download it again, or show the rest of it: "
                "--on-bad-tile mask"
            )

    def _check_raw(self) -> None:
        """Where nothing is packed, a tile or strip has as many bytes as its pixels."""
        last, (rows, cols) = len(self.counts) - 1, self.grid
        h, w = self.block_size
        for segment in {0, max(0, min(last, rows * cols - 2))}:  # the very last may be shorter
            here = h if self.page.is_tiled or segment // cols < rows - 1 else self.size.h % h or h
            needed = here * w * self._samples * self.dtype.itemsize
            if 0 < self.counts[segment] < needed:
                raise RasterError(
                    f"{self.source.path}: {self.label}: {self.name} {segment} has "
                    f"{self.counts[segment]} bytes, its {w} x {here} px need {needed}; the file "
                    "is damaged, export it again"
                )

    def block(self, row: int, col: int) -> Values:
        """Decode the samples of one tile or strip: `[h, w, S]`, as far as it lies on the image.

        Raises:
            RasterError: its data is damaged; the message names level, tile and byte.
        """
        parts = [self._segment(segment) for segment in self._segments(row, col)]
        if self.separate:
            return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        every = self.indices == list(range(parts[0].shape[2]))
        return parts[0] if every else parts[0][..., self.indices]

    def weigh(self, row: int, col: int) -> int:
        """Encoded bytes of one tile or strip."""
        return sum(int(self.counts[segment]) for segment in self._segments(row, col))

    def expect(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Say which blocks (row, col) are decoded next."""
        segments = [segment for place in blocks for segment in self._segments(*place)]
        ranges = [(int(self.offsets[n]), int(self.counts[n])) for n in segments]
        self.source.file.expect([(at, n) for at, n in ranges if at + n <= self.source.length])

    def _segments(self, row: int, col: int) -> list[int]:
        """Numbers of the tiles or strips that hold a block: one, or one for each sample decoded."""
        segment, plane = row * self.grid[1] + col, self.grid[0] * self.grid[1]
        return [band * plane + segment for band in self.indices] if self.separate else [segment]

    def sparse(self, shape: Sequence[int]) -> Values:
        """What a tile or strip that was never written holds, no data or else 0, as one value."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.broadcast_to(np.float64(self._nodata or 0).astype(self.dtype), shape)

    def is_sparse(self, row: int, col: int) -> bool:
        """Whether a tile or strip was never written."""
        return self.weigh(row, col) == 0

    def _segment(self, segment: int) -> Values:
        offset, count = int(self.offsets[segment]), int(self.counts[segment])
        row, col = divmod(segment % (self.grid[0] * self.grid[1]), self.grid[1])
        shape = self._shape(row, col)
        if not count:
            return self.sparse(shape)
        if offset + count > self.source.length:
            raise RasterError(f"{self.source.path}: {self.label}: {self.name} {segment} is cut off")
        data = self.source.file.read(offset, count)
        where = f"{self.name} {row}" if self.name == "strip" else f"tile row {row}, column {col}"
        with guarded(
            f"{self.source.path}: {self.label}, {where}, at byte {offset}: cannot be decoded",
            "copy or export the file again, or leave such tiles out: --on-bad-tile mask",
        ):
            self._look_at(data)
            decoded: Values | None
            if self.separate and self.page.compression == JPEG:
                decoded = _decode_plane(data, self.page.jpegtables)
            else:
                decoded = self._decode(data, segment, **self._tables)[0]
            if decoded is not None and self.dtype == np.bool_ and decoded.dtype == np.uint8:
                decoded = decoded != 0  # a fax
            if decoded is None or decoded.dtype != self.dtype:
                kind = "nothing" if decoded is None else decoded.dtype
                raise ValueError(f"it decodes to {kind}, not {self.dtype}")
            if any(np.less(decoded.shape[1:], shape)) or decoded.shape[3] != shape[2]:
                raise ValueError(f"it decodes to {decoded.shape[1:]}, not {shape}")
        block: Values = decoded[0, : shape[0], : shape[1]]
        return block

    def _look_at(self, data: bytes) -> None:
        """Refuse what would become another size than it should, before memory is taken for it."""
        if self.page.compression == JPEG:
            check_jpeg(data, 4 * self.block_size.area)
        if self.page.compression in JPEG2000:
            check_jpeg2000(data, 4 * self.block_size.area)
        packer = PACKERS.get(int(self.page.compression))
        if packer is not None:
            bits = self.block_size.area * self._samples * int(self.page.bitspersample)
            check_packed(packer, len(data), bits // 8)

    def _shape(self, row: int, col: int) -> tuple[int, int, int]:
        """(h, w, samples) of the part of a tile or strip that lies on the image."""
        (h, w), (whole_h, whole_w) = self.block_size, self.size
        return min(h, whole_h - row * h), min(w, whole_w - col * w), self._samples


def _decode_plane(data: bytes, tables: bytes | None) -> Values:
    """A JPEG that holds one band, `[1, h, w, 1]`: tifffile would take it for all colours."""
    from imagecodecs import jpeg8_decode

    plane: Values = jpeg8_decode(data, tables=tables)
    return plane[None, :, :, None] if plane.ndim == 2 else plane[None]


def is_raw(page: TiffPage) -> bool:
    """Whether the file holds the pixels as they are, all samples of a pixel together."""
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1
    whole = page.dtype is not None and page.bitspersample == 8 * np.dtype(page.dtype).itemsize
    return plain and whole and (page.planarconfig == 1 or page.samplesperpixel == 1)


def _block_size(page: TiffPage) -> Size:
    if page.is_tiled:
        return Size(page.tilelength, page.tilewidth)
    return Size(min(page.rowsperstrip, page.imagelength), page.imagewidth)
