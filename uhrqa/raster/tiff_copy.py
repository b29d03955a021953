"""A copy of an image as a tiled TIFF with overviews and masks, written while it is read once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Size
from uhrqa.raster.copies import TILE, Copy
from uhrqa.raster.ground import Ground
from uhrqa.raster.reduce import halvings
from uhrqa.raster.samples import RGB, WHITE_ZERO
from uhrqa.raster.tiff_kinds import ASSOCIATED, EXACT_HALVES, UNASSOCIATED

Values = NDArray[Any]
CLASSIC = 2**32 - 2**25  # bytes of tiles, all levels, that fit a classic TIFF with its tables
COMPRESSIONS = ("zstd", "deflate", "none")
LEVELS = {"zstd": 3, "deflate": 6}
REDUCED, MASK = 1, 4  # bits of NewSubfileType
NODATA_TAG, METADATA_TAG = 42113, 42112  # GDAL's
COLOURS = ("Red", "Green", "Blue")
WORKERS = 2  # that compress tiles
BUFFER = 2**24  # bytes of tiles that are compressed together


def write_tiff(copy: Copy, path: Path, compression: str, told: Callable[[int], None]) -> None:
    """Write a TIFF file.

    The full resolution is written as it comes; coarser levels, a third of its bytes, wait in an
    unnamed file in the same directory.

    Args:
        copy: what to write.
        path: the file.
        compression: one of `COMPRESSIONS`; none of them loses anything.
        told: called with numbers of rows that are done.

    Raises:
        OSError: it cannot be written.
        RasterError: the image cannot be read.
    """
    import tifffile

    pixel = copy.count * copy.dtype.itemsize + copy.masked
    with (
        tempfile.TemporaryFile(dir=path.parent) as spool,
        tifffile.TiffWriter(path, bigtiff=tile_bytes(copy.sizes, pixel) > CLASSIC) as writer,
    ):
        waiting = _Waiting(copy, spool)

        def finest() -> Iterator[Values]:
            passed = halvings(copy.bands(told), copy.sizes, copy.halving)
            for number, rows in passed:
                waiting.add(number, rows)
                if number == 0:
                    yield rows

        look = _look(copy, compression)
        for number, size in enumerate(copy.sizes):
            rows = finest() if number == 0 else waiting.rows(number)
            writer.write(
                _tiles(rows, size, copy.count),
                shape=(*size, copy.count) if copy.count > 1 else tuple(size),
                dtype=copy.dtype,
                subfiletype=REDUCED if number else 0,
                extratags=_tags(copy, finest=number == 0),
                **look,
            )
            for _ in rows:  # the writer stops at its last tile; of other levels more may come
                pass
        for number, size in enumerate(copy.sizes if copy.masked else ()):
            writer.write(
                _tiles(waiting.masks(number), size, 1),
                shape=tuple(size),
                dtype=bool,
                tile=(TILE, TILE),
                photometric="mask",
                compression="adobe_deflate",
                subfiletype=MASK | (REDUCED if number else 0),
                metadata=None,
                software=False,
            )


def tile_bytes(sizes: Sequence[Size], pixel: int) -> int:
    """Bytes of all tiles of all levels, the last ones padded, with `pixel` bytes each pixel."""
    return sum(-(-h // TILE) * -(-w // TILE) for h, w in sizes) * TILE**2 * pixel


class _Waiting:
    """Rows of coarser levels, and masks of all, until their turn comes."""

    def __init__(self, copy: Copy, spool: IO[bytes]) -> None:
        self._copy, self._spool = copy, spool
        self._depth = copy.count + copy.masked
        places = [0]
        for number, size in enumerate(copy.sizes):
            kept = self._depth if number else int(copy.masked)
            places.append(places[-1] + size.area * kept * copy.dtype.itemsize)
        self._starts = places[:-1]
        self._next = places[:-1]

    def add(self, number: int, rows: Values) -> None:
        """Take the next rows of a level; of the finest, its mask alone."""
        kept = rows if number else rows[..., self._copy.count :]
        if kept.size:
            self._spool.seek(self._next[number])
            self._spool.write(np.ascontiguousarray(kept).data)
            self._next[number] += kept.nbytes

    def rows(self, number: int) -> Iterator[Values]:
        """The samples of a level, in bands of tiles."""
        return (band[..., : self._copy.count] for band in self._bands(number, self._depth))

    def masks(self, number: int) -> Iterator[NDArray[np.bool_]]:
        """Where a level shows image, in bands of tiles."""
        depth = self._depth if number else 1
        return (band[..., -1:] > 0 for band in self._bands(number, depth))

    def _bands(self, number: int, depth: int) -> Iterator[Values]:
        (h, w), dtype = self._copy.sizes[number], self._copy.dtype
        row = w * depth * dtype.itemsize
        for top in range(0, h, TILE):
            count = min(TILE, h - top)
            self._spool.seek(self._starts[number] + top * row)
            data = np.frombuffer(self._spool.read(count * row), dtype)
            yield data.reshape(count, w, depth)


def _tiles(rows: Iterator[Values], size: Size, count: int) -> Iterator[Values]:
    """Rows as whole tiles in raster order, the last ones padded."""
    for band in banded(rows, size.h):
        for left in range(0, size.w, TILE):
            tile = band[:, left : left + TILE, :count]
            low, right = TILE - tile.shape[0], TILE - tile.shape[1]
            if low or right:
                tile = np.pad(tile, ((0, low), (0, right), (0, 0)), mode="edge")
            yield np.ascontiguousarray(tile if count > 1 else tile[..., 0])


def banded(rows: Iterator[Values], h: int) -> Iterator[Values]:
    """Pieces of any height as bands of `TILE` rows; the last one may be lower."""
    band: Values | None = None
    filled = done = 0
    for piece in rows:
        start = 0
        while start < len(piece):
            if band is None:
                band = np.empty((min(TILE, h - done), *piece.shape[1:]), piece.dtype)
            taken = min(len(band) - filled, len(piece) - start)
            band[filled : filled + taken] = piece[start : start + taken]
            filled, start = filled + taken, start + taken
            if filled == len(band):
                yield band
                done, filled, band = done + filled, 0, None


def _look(copy: Copy, compression: str) -> dict[str, Any]:
    """How tifffile writes each level."""
    colours = 3 if copy.colour == RGB and copy.shown == (0, 1, 2) else 1
    photometric = "rgb" if colours == 3 else "minisblack"
    alpha = ASSOCIATED if copy.premultiplied else UNASSOCIATED
    extra = [alpha if index == copy.alpha else 0 for index in range(colours, copy.count)]
    packed = compression != "none"
    return {
        "tile": (TILE, TILE),
        "photometric": "miniswhite" if copy.colour == WHITE_ZERO else photometric,
        "planarconfig": "contig" if copy.count > 1 else None,
        "extrasamples": extra or None,
        "compression": {"deflate": "adobe_deflate", "none": None}.get(compression, compression),
        "compressionargs": {"level": LEVELS[compression]} if packed else None,
        "predictor": packed,
        "metadata": None,
        "software": EXACT_HALVES,
        "maxworkers": WORKERS,
        "buffersize": BUFFER,
    }


def _tags(copy: Copy, *, finest: bool) -> list[tuple[int, str, int, Any, bool]]:
    """Tags for no-data, bands that are colours in another order, and the ground."""
    tags: list[tuple[int, str, int, Any, bool]] = []
    if copy.nodata is not None:
        tags.append((NODATA_TAG, "s", 0, f"{copy.nodata:.17g}", True))
    if not finest:
        return tags
    if copy.colour == RGB and copy.shown != (0, 1, 2):
        items = "".join(
            f'<Item name="COLORINTERP" sample="{index}" role="colorinterp">{name}</Item>'
            for index, name in zip(copy.shown, COLOURS, strict=True)
        )
        tags.append((METADATA_TAG, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True))
    return tags + ground_tags(copy.ground)


def ground_tags(ground: Ground | None) -> list[tuple[int, str, int, Any, bool]]:
    """GeoTIFF keys and transform; none for a reference system without an EPSG code.

    Source: OGC 19-008r4 (GeoTIFF 1.1), Sec. 7.
    """
    if ground is None or (code := ground.epsg) is None:
        return []
    from pyproj import CRS

    a, b, c, d, e, f = ground.affine
    model, key = (2, 2048) if CRS.from_epsg(code).is_geographic else (1, 3072)
    keys = [1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, 1, key, 0, 1, code]
    tags: list[tuple[int, str, int, Any, bool]] = [(34735, "H", len(keys), keys, True)]
    if ground.is_rotated or e >= 0 or a <= 0:
        matrix = [a, b, 0, c, d, e, 0, f, 0, 0, 0, 0, 0, 0, 0, 1]
        return [*tags, (34264, "d", 16, matrix, True)]
    return [
        *tags,
        (33550, "d", 3, [a, -e, 0.0], True),
        (33922, "d", 6, [0.0, 0.0, 0.0, c, f, 0.0], True),
    ]
