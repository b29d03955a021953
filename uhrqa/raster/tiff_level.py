"""One image of a TIFF file as a level: its storage checked, its tiles and strips decoded.

Bytes are read by offset, never through tifffile's one seek position, so that threads may read at
the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.blocks import BlockCache, BlockLevel, StoredLevel, Window, with_alpha
from uhrqa.raster.files import ByteFile
from uhrqa.raster.guard import check_block, check_jpeg, check_size, guarded

Array = NDArray[np.uint8]
JPEG = 7
TAG_BYTES = 20
OFFSET_BYTES = 16  # offset and byte count of one tile or strip


@dataclass(frozen=True, slots=True)
class TiffSource:
    """An open file: what all its levels share."""

    file: ByteFile
    cache: BlockCache

    @property
    def path(self) -> str:
        """What the user gave, for messages."""
        return self.file.path

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return self.file.length


@dataclass(frozen=True, slots=True)
class Bands:
    """Which samples of a pixel are shown: the first 1 or 3, and one for transparency if any.

    Attributes:
        shown: 1 or 3.
        alpha: the sample that tells transparency.
        unseen: there are further bands.
        nodata: a pixel whose shown samples all have this value shows no image.
    """

    shown: int
    alpha: int | None
    unseen: bool
    nodata: int | None = None

    @property
    def channels(self) -> int:
        """Channels of a decoded block."""
        return self.shown if self.alpha is None and self.nodata is None else 4

    @property
    def indices(self) -> list[int]:
        """The samples to decode."""
        return [*range(self.shown), *([] if self.alpha is None else [self.alpha])]

    def of(self, samples: Array) -> Array:
        """`[h, w, S]` with exactly the samples of `indices`, as `[h, w, channels]`."""
        colour = samples[..., : self.shown]
        if self.alpha is None and self.nodata is None:
            return samples
        alpha = 255 - 255 * (colour == self.nodata).all(-1).astype(np.uint8)
        return with_alpha(colour, alpha if self.alpha is None else alpha & samples[..., self.shown])


def tiff_level(source: TiffSource, page: TiffPage, bands: Bands, index: int) -> StoredLevel:
    """A level over one image of a file.

    Raises:
        RasterError: what the header promises is not in the file, or cannot be decoded.
    """
    size = Size(page.imagelength, page.imagewidth)
    check_size(source.path, *size)
    block, name = _block_size(page), "tile" if page.is_tiled else "strip"
    # Raw strips are read by rows, so their size does not matter.
    raw = not page.is_tiled and is_raw(page)
    check_block(source.path, name, 1 if raw else block.h, block.w, page.samplesperpixel)
    storage = Storage(source, page, bands, index)
    if raw:
        return RawStrips(storage, size, block.h)
    return BlockLevel(
        size,
        bands.channels,
        block=block,
        fetch=storage.block,
        cache=source.cache,
        index=index,
        gather=storage.expect if source.file.is_remote else None,
    )


def is_raw(page: TiffPage) -> bool:
    """Whether the file holds the pixels as they are, all samples of a pixel together."""
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1
    return plain and (page.planarconfig == 1 or page.samplesperpixel == 1)


def _block_size(page: TiffPage) -> Size:
    if page.is_tiled:
        return Size(page.tilelength, page.tilewidth)
    return Size(min(page.rowsperstrip, page.imagelength), page.imagewidth)


class Storage:
    """The tiles or strips of one image: where they are, and how they are decoded.

    Raises:
        RasterError: there are too few of them, or some lie beyond the end of the file.
    """

    def __init__(self, source: TiffSource, page: TiffPage, bands: Bands, index: int) -> None:
        self.source = source
        self.page = page
        self.bands = bands
        self.name = "tile" if page.is_tiled else "strip"
        self.label = f"level {index} ({page.imagewidth} x {page.imagelength} px)"
        self.separate = page.planarconfig == 2 and page.samplesperpixel > 1
        self._block = _block_size(page)
        self.grid = -(-page.imagelength // self._block.h), -(-page.imagewidth // self._block.w)
        self.offsets = np.asarray(page.dataoffsets, np.uint64)
        self.counts = np.asarray(page.databytecounts, np.uint64)
        self._tables = {"jpegtables": page.jpegtables} if page.jpegtables else {}
        self._decode = page.decode
        self._check()
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
        beyond = self.counts > self.source.length - np.minimum(self.offsets, self.source.length)
        if beyond.any():
            first = int(np.flatnonzero(beyond)[0])
            raise RasterError(
                f"{path}: {int(beyond.sum())} of {len(beyond)} {self.name}s of {self.label} lie "
                f"beyond the end of the file (the first, {self.name} {first}, should end at byte "
                f"{int(self.offsets[first]) + int(self.counts[first])} of {self.source.length}); "
                "the file is cut short, copy or download it again"
            )

    def block(self, row: int, col: int) -> Array:
        """Decode one tile or strip: `[h, w, channels]`.

        Raises:
            RasterError: its data is damaged; the message names level, tile and byte.
        """
        segments = self._segments(row, col)
        if not self.separate:
            return self.bands.of(self._segment(segments[0])[..., self.bands.indices])
        return self.bands.of(np.concatenate([self._segment(one) for one in segments], axis=2))

    def expect(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Say which blocks (row, col) are decoded next."""
        segments = [segment for place in blocks for segment in self._segments(*place)]
        self.source.file.expect([(int(self.offsets[n]), int(self.counts[n])) for n in segments])

    def _segments(self, row: int, col: int) -> list[int]:
        """Numbers of the tiles or strips that hold a block: one, or one for each band shown."""
        segment, plane = row * self.grid[1] + col, self.grid[0] * self.grid[1]
        return (
            [band * plane + segment for band in self.bands.indices] if self.separate else [segment]
        )

    def _segment(self, segment: int) -> Array:
        offset, count = int(self.offsets[segment]), int(self.counts[segment])
        data = self.source.file.read(offset, count) if count else None
        row, col = divmod(segment % (self.grid[0] * self.grid[1]), self.grid[1])
        where = f"{self.name} {row}" if self.name == "strip" else f"tile row {row}, column {col}"
        with guarded(
            f"{self.source.path}: {self.label}, {where}, at byte {offset}: cannot be decoded"
        ):
            if data is not None and self.page.compression == JPEG:
                check_jpeg(data, 4 * self._block.area)
            decoded, _, shape = self._decode(data, segment, **self._tables)
            if decoded is None:  # a tile that was never written
                decoded = np.zeros(shape, np.uint8)
            least = self._least_shape(row, col)
            if decoded.dtype != np.uint8 or any(np.less(decoded.shape[1:], least)):
                raise ValueError(f"it decodes to {decoded.shape[1:]}, not {least}")
        block: Array = decoded[0]
        return block

    def _least_shape(self, row: int, col: int) -> tuple[int, int, int]:
        """(h, w, samples) of the part of a tile or strip that lies on the image."""
        (h, w), page = self._block, self.page
        samples = 1 if self.separate else page.samplesperpixel
        return min(h, page.imagelength - row * h), min(w, page.imagewidth - col * w), samples


class RawStrips:
    """An uncompressed image in strips: only the rows and columns asked for are read."""

    band = 256

    def __init__(self, storage: Storage, size: Size, rows: int) -> None:
        self.size = size
        self.channels = storage.bands.channels
        self._storage = storage
        self._rows = rows
        self._pixel = storage.page.samplesperpixel

    def window(self, window: Window) -> Array:
        """The pixels of a window."""
        samples = np.empty((*window.size, self._pixel), np.uint8)
        row = window.y0
        while row < window.y1:
            stop = min(window.y1, (row // self._rows + 1) * self._rows)
            samples[row - window.y0 : stop - window.y0] = self._piece(
                Window(row, stop, window.x0, window.x1)
            )
            row = stop
        bands = self._storage.bands
        return bands.of(samples if self._pixel == 1 else samples[..., bands.indices])

    def _piece(self, piece: Window) -> Array:
        """A part of one strip, `[h, w, samples]`."""
        storage, pixel, width = self._storage, self._pixel, self.size.w
        strip, first = divmod(piece.y0, self._rows)
        h, w = piece.size
        if storage.counts[strip] == 0:
            return np.zeros((h, w, pixel), np.uint8)
        start = int(storage.offsets[strip]) + first * width * pixel
        if (first + h) * width * pixel > storage.counts[strip]:
            raise RasterError(
                f"{storage.source.path}: {storage.label}, strip {strip} has "
                f"{storage.counts[strip]} bytes, row {piece.y1 - 1} lies beyond; export it again"
            )
        read = storage.source.file.read
        if 2 * w >= width:  # nearly all of each row: one read is cheaper than many
            data = read(start, h * width * pixel)
            rows = np.frombuffer(data, np.uint8).reshape(h, width, pixel)
            return rows[:, piece.x0 : piece.x1]
        starts = range(start + piece.x0 * pixel, start + h * width * pixel, width * pixel)
        storage.source.file.expect([(offset, w * pixel) for offset in starts])
        data = b"".join(read(offset, w * pixel) for offset in starts)
        return np.frombuffer(data, np.uint8).reshape(h, w, pixel)
