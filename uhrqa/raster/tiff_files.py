"""A TIFF file with those that GDAL writes beside it: `.ovr` of overviews, `.msk` of masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from tifffile import TiffFile, TiffPage

from uhrqa.raster.files import ByteFile
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
        self._stack.callback(source.file.close)
        self._stack.callback(tif.close)

    def beside(self, *, complete: bool) -> tuple[list[TiffPage], list[TiffPage]]:
        """Images of overviews and of masks that lie in files beside it.

        Args:
            complete: it has overviews itself; one on a server is then asked for nothing more.

        Raises:
            RasterError: there is such a file, and it is damaged.
        """
        if complete and self.source.file.is_remote:
            return [], []
        overviews, masks = self._beside(OVERVIEWS, MASKS)
        return overviews, [*masks, *(self._beside(MASK_OVERVIEWS)[0] if masks else ())]

    def source_of(self, page: TiffPage) -> TiffSource:
        """The file that holds an image."""
        return self._sources[page.parent]

    def close(self) -> None:
        """Close all of them."""
        self.source.cache.clear()
        self._stack.close()

    def _beside(self, *suffixes: str) -> list[list[TiffPage]]:
        found = self.source.file.beside(suffixes)
        for file in found.values():
            self._stack.callback(file.close)
        return [self._pages(found[suffix]) if suffix in found else [] for suffix in suffixes]

    def _pages(self, file: ByteFile) -> list[TiffPage]:
        stream = file.stream()
        self._stack.callback(stream.close)
        with guarded(f"{file.path}: not a readable TIFF", "write it again, or remove it"):
            tif = TiffFile(stream, name=file.path)
        self._stack.callback(tif.close)
        self._sources[tif] = replace(self.source, file=file)
        with guarded(
            f"{file.path}: the TIFF headers cannot be read", "write it again, or remove it"
        ):
            if pages := list(pages_of(tif)):
                return pages
            raise ValueError("no image where it should begin")


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
