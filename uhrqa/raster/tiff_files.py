"""A TIFF file with those that GDAL writes beside it: `.ovr` of overviews, `.msk` of masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tifffile import TiffFile, TiffPage

from uhrqa.raster.files import ByteFile, LocalFile
from uhrqa.raster.guard import guarded
from uhrqa.raster.tiff_tiles import TiffSource

MAX_IMAGES = 64  # images of a file that are looked at; overviews come early
OVERVIEWS, MASKS, MASK_OVERVIEWS = ".ovr", ".msk", ".msk.ovr"


class TiffFiles:
    """The open files of one image.

    Args:
        source: the file itself; it is closed with the others.
        tif: the same, of tifffile.
    """

    def __init__(self, source: TiffSource, tif: TiffFile) -> None:
        self.source = source
        self.tif = tif
        self._sources = {tif: source}
        self._stack = ExitStack()
        self._keep(tif, source.file)

    def beside(self, suffix: str) -> list[TiffPage]:
        """Images of the file of that name beside it; none of one on a server.

        Raises:
            RasterError: there is one, and it is damaged.
        """
        path = f"{self.source.path}{suffix}"
        if self.source.file.is_remote or not Path(path).is_file():
            return []
        with guarded(f"{path}: not a readable TIFF", "write it again, or remove it"):
            tif = TiffFile(path)
        file = LocalFile(path, self.source.file.meter)
        self._keep(tif, file)
        self._sources[tif] = replace(self.source, file=file)
        with guarded(f"{path}: the TIFF headers cannot be read", "write it again, or remove it"):
            if pages := list(pages_of(tif)):
                return pages
            raise ValueError("no image where it should begin")

    def source_of(self, page: TiffPage) -> TiffSource:
        """The file that holds an image."""
        return self._sources[page.parent]

    def close(self) -> None:
        """Close all of them."""
        self.source.cache.clear()
        self._stack.close()

    def _keep(self, tif: TiffFile, file: ByteFile) -> None:
        self._stack.callback(file.close)
        self._stack.callback(tif.close)


def pages_of(tif: TiffFile) -> Iterator[TiffPage]:
    """The first images of a file, in order."""
    tif.pages.cache = True  # who asks again need not have them parsed again
    seen: set[int] = set()
    for index in range(MAX_IMAGES):
        try:
            page = tif.pages[index]
        except IndexError:
            return
        if page.offset in seen:  # a damaged chain that leads back
            return
        seen.add(page.offset)
        yield page if isinstance(page, TiffPage) else page.aspage()
