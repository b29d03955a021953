"""An image converted once to a raster that reads fast: tiles or shards, with all its levels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from uhrqa.aside import draft_of
from uhrqa.errors import ConfigError, OutputError, RasterError
from uhrqa.geometry import Size
from uhrqa.raster import ExtraBandsWarning, StretchWarning, open_raster
from uhrqa.raster.copies import Copy, copy_of, is_painted
from uhrqa.raster.formats import ZARR_FILES, is_remote
from uhrqa.raster.image_files import image_files
from uhrqa.raster.levels import LevelRaster
from uhrqa.raster.samples import WHITE_ZERO
from uhrqa.raster.tiff_copy import COMPRESSIONS, write_tiff
from uhrqa.raster.tiff_files import MASK_OVERVIEWS, MASKS, OVERVIEWS
from uhrqa.raster.zarr_copy import write_zarr
from uhrqa.reading import BAD_TILES, Reading

TIFFS, ZARR = (".tif", ".tiff"), ".zarr"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was written.

    Attributes:
        path: the file or directory.
        sizes: of its levels, finest first.
        bands: samples of a pixel.
        dtype: of a sample.
        notes: what could not be kept.
    """

    path: Path
    sizes: tuple[Size, ...]
    bands: int
    dtype: str
    notes: tuple[str, ...]


def prepare(  # noqa: PLR0913 - all but the first two by name
    source: str | Path,
    target: str | Path,
    *,
    compression: str = COMPRESSIONS[0],
    overwrite: bool = False,
    max_pixels: int | None = None,
    on_bad_tile: str = BAD_TILES[0],
    started: Callable[[int], Callable[[int], None]] = lambda rows: lambda count: None,
) -> Prepared:
    """Convert an image; its full resolution is copied value by value.

    The image is read once, from top to bottom. Memory follows its width.

    Args:
        source: what `open_raster` takes.
        target: `.tif` or `.tiff`, or `.zarr`; it appears when it is whole.
        compression: `zstd`, `deflate` (TIFF alone) or `none`.
        overwrite: replace what is there.
        max_pixels: the largest image that is converted.
        on_bad_tile: "error", or "mask": what cannot be decoded is no image, by a mask that is
            written along.
        started: given the number of rows, gives what is told of rows done.

    Raises:
        ConfigError: the target's name or the compression is none of these.
        OutputError: the target is there already, or cannot be written.
        RasterError: the image cannot be read, or the target's format cannot hold it.
    """
    if is_remote(str(target)):
        raise ConfigError(f"{target}: a copy is written to a disk; name a file, then upload it")
    path = Path(target)
    _check_target(path, Path(source), compression, overwrite=overwrite)
    with _opened(source, Reading(max_pixels=max_pixels, on_bad_tile=on_bad_tile)) as copy:
        if path.suffix == ZARR:
            _check_zarr(str(source), copy)
        told = started(copy.sizes[0].h)
        with _whole(path) as draft:
            write = write_zarr if path.suffix == ZARR else write_tiff
            write(copy, draft, compression, told)
        notes = tuple(_notes(path, copy))
    return Prepared(path, copy.sizes, copy.count, copy.dtype.name, notes)


@contextmanager
def _opened(source: str | Path, reading: Reading) -> Iterator[Copy]:
    with warnings.catch_warnings():
        for kind in (ExtraBandsWarning, StretchWarning):  # all are copied as they are
            warnings.simplefilter("ignore", kind)
        raster = open_raster(source, reading)
    if not isinstance(raster, LevelRaster):
        raster.close()
        raise RasterError(f"{source}: its pixels cannot be copied; convert it: gdal_translate")
    try:
        shown: tuple[int, ...] = ()
        painter = raster.painter
        if painter is not None and not is_painted(painter.samples):
            shown = painter.samples.shown
            raster.close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # told already
                again = open_raster(source, replace(reading, all_bands=True))
            if not isinstance(again, LevelRaster):
                raise RasterError(f"{source}: was replaced while it was opened; try again")
            raster = again
        yield copy_of(raster, shown)
    finally:
        raster.close()


def _check_target(path: Path, source: Path, compression: str, *, overwrite: bool) -> None:
    if path.suffix not in (*TIFFS, ZARR):
        raise ConfigError(f"{path}: name a .tif, .tiff or .zarr to write")
    if compression not in COMPRESSIONS or (compression == "deflate" and path.suffix == ZARR):
        possible = COMPRESSIONS if path.suffix != ZARR else ("zstd", "none")
        raise ConfigError(f"compression '{compression}': give {', '.join(possible)}")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no directory {path.parent}; make it first")
    _check_apart(path, source)
    for file in () if overwrite else _beside(path):
        raise OutputError(f"{file}: would be read as a part of {path}; remove it, or --overwrite")
    if not (path.exists() or path.is_symlink()):
        return
    if not overwrite:
        raise OutputError(f"{path}: is there already; name another, or --overwrite")
    if path.is_dir() != (path.suffix == ZARR) or (
        path.is_dir() and not any((path / name).is_file() for name in ZARR_FILES)
    ):
        kind = "no Zarr store" if path.suffix == ZARR else "a directory"
        raise OutputError(f"{path}: is {kind} and is not replaced; name another")
    if path.is_dir() and path.is_symlink():
        raise OutputError(f"{path}: is a link and is not replaced; name {path.resolve()}")


def _check_apart(path: Path, source: Path) -> None:
    """Refuse a target that holds the image or lies in it: a level of a store is a path, too.

    Raises:
        OutputError: it does.
    """
    if not source.exists():
        return
    read, written = source.resolve(), path.resolve()
    if any(file.exists() and file.samefile(source) for file in (path, *_beside(path))):
        raise OutputError(f"{path}: is the image itself; name another file")
    if written in read.parents or read in written.parents:
        where = "holds" if written in read.parents else "lies in"
        raise OutputError(f"{path}: {where} the image itself, {source}; name another place")
    if written in {file.resolve() for file in image_files(str(source))}:
        raise OutputError(f"{path}: {source} is read from it; name another file")


def _beside(path: Path) -> list[Path]:
    """Files that a TIFF of this name is read with."""
    if path.suffix == ZARR:
        return []
    names = (f"{path.name}{end}" for end in (OVERVIEWS, MASKS, MASK_OVERVIEWS))
    return [file for name in names if (file := path.with_name(name)).is_file()]


def _check_zarr(source: str, copy: Copy) -> None:
    """Refuse what this Zarr layout has no place for.

    Raises:
        RasterError: a mask or alpha, which no value can stand for, or a zero that is white.
    """
    if copy.colour == WHITE_ZERO:
        raise RasterError(
            f"{source}: its zero is white, which a .zarr cannot say and would show inverted; "
            "write a .tif"
        )
    if copy.masked or copy.alpha is not None:
        kind = "a mask (or --on-bad-tile makes one)" if copy.masked else "transparency"
        raise RasterError(f"{source}: has {kind}, for which a .zarr has no place; write a .tif")


def _notes(path: Path, copy: Copy) -> Iterator[str]:
    if holes := copy.holes():
        yield f"tiles that could not be decoded are masked: {holes}"
    if copy.dtype.kind in "iu" and copy.bits < (stored := 8 * copy.dtype.itemsize):
        yield (
            f"its {copy.bits}-bit values are {stored}-bit ones now: --stretch none shows the copy "
            f"{2 ** (stored - copy.bits)} times darker; give --stretch minmax"
        )
    if copy.ground is not None and copy.ground.epsg is None and path.suffix != ZARR:
        yield f"its reference system ({copy.ground.name}) has no EPSG code and was left out"
    if path.suffix == ZARR and copy.shown not in ((), (0,), (0, 1, 2)):
        bands = ",".join(str(index + 1) for index in copy.shown)
        yield f"which bands are its colours was left out: --bands {bands}"


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write under; it becomes `path` when the block ends well.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with draft_of(path, [path] if path.is_dir() else _beside(path)) as draft:
            yield draft
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
