"""Which way up a photograph is: EXIF orientation, by window."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray
from PIL.Image import Exif
from PIL.ImageFile import ImageFile

from uhrqa.errors import RasterError
from uhrqa.geometry import Size
from uhrqa.raster.blocks import Window
from uhrqa.raster.guard import guarded

EXIF_TAG = 0x0112


class Orientation(NamedTuple):
    """How stored pixels become shown ones: first transposed, then flipped."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def size(self, stored: Size) -> Size:
        """(h, w) as shown."""
        return Size(stored.w, stored.h) if self.transposed else stored

    def stored_window(self, window: Window, stored: Size) -> Window:
        """Where the pixels of a shown window are stored."""
        h, w = self.size(stored)
        y0, y1, x0, x1 = window
        if self.upside_down:
            y0, y1 = h - y1, h - y0
        if self.mirrored:
            x0, x1 = w - x1, w - x0
        return Window(x0, x1, y0, y1) if self.transposed else Window(y0, y1, x0, x1)

    def shown(self, stored: NDArray[Any]) -> NDArray[Any]:
        """`[h, w, C]` as shown; a view."""
        if self.transposed:
            stored = stored.swapaxes(0, 1)
        if self.upside_down:
            stored = stored[::-1]
        return stored[:, ::-1] if self.mirrored else stored


# Source: EXIF 2.32, tag 274: where row 0 and column 0 of what is stored belong.
ORIENTATIONS = {
    1: Orientation(),
    2: Orientation(mirrored=True),
    3: Orientation(upside_down=True, mirrored=True),
    4: Orientation(upside_down=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored=True),
    7: Orientation(transposed=True, upside_down=True, mirrored=True),
    8: Orientation(transposed=True, upside_down=True),
}


def orientation_of(image: ImageFile) -> Orientation:
    """What the image's EXIF says; as stored where it says nothing or is damaged.

    Only what lies before the pixels is looked at: Pillow's `getexif` would decode them.
    """
    data, exif = image.info.get("exif"), Exif()
    if not isinstance(data, bytes):
        return Orientation()
    try:
        with guarded("EXIF"):
            exif.load(data)
            return ORIENTATIONS.get(exif.get(EXIF_TAG, 1), Orientation())
    except RasterError:
        return Orientation()
