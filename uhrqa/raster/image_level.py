"""A PNG or JPEG image as the one resolution it is, upright."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from uhrqa.geometry import Size
from uhrqa.raster.blocks import Window
from uhrqa.raster.files import WholeFile
from uhrqa.raster.guard import guarded
from uhrqa.raster.image_pixels import Pixels
from uhrqa.raster.orientation import orientation_of
from uhrqa.raster.painter import Painter

Values = NDArray[Any]
BAND_PIXELS = 2**24
BAND_ROWS = 512
STRIP_ROWS = 16  # that libvips decodes together; a band that ends inside of them cannot go on


def band_of(width: int) -> int:
    """Rows that are read together."""
    return max(1, min(BAND_ROWS, BAND_PIXELS // width) // STRIP_ROWS) * STRIP_ROWS


class ImageLevel:
    """The one resolution of a PNG or JPEG image, upright.

    Args:
        file: all of it is counted at the first read, fetching it too: that is the question's.
        image: its header.
        pixels: stored ones.
        painter: makes colours of samples.
    """

    def __init__(self, file: WholeFile, image: ImageFile, pixels: Pixels, painter: Painter) -> None:
        self._stored = Size(image.height, image.width)
        self._upright = orientation_of(image)
        self.size = self._upright.size(self._stored)
        self.channels = painter.channels
        self.band = band_of(self.size.w)
        self._file = file
        self._pixels = pixels
        self._painter = painter
        self._counted = False
        self.decoded_bytes = pixels.held_bytes
        self._lock = threading.Lock()

    def window(self, window: Window) -> NDArray[np.uint8]:
        """The pixels of a window.

        Raises:
            RasterError: the image is truncated or damaged.
        """
        return self._painter.paint(self.samples(window))

    def stored_bytes(self, _windows: Iterable[Window]) -> int:
        """All of the file, whatever is read; nothing where it is decoded already."""
        return 0 if self._counted else self._file.length

    def samples(self, window: Window) -> Values:
        """The samples of a window that are shown, `[h, w, S]`."""
        with self._lock, guarded(f"{self._file.path}: the image is truncated or damaged"):
            values = self._pixels.cut(self._upright.stored_window(window, self._stored))
            if not self._counted:
                self._file.meter.add(self._file.length, self._file.requests)
                self._counted = True
        chosen, upright = self._painter.samples.indices, self._upright.shown(values)
        every = chosen == tuple(range(values.shape[2]))
        return upright if every else upright[..., list(chosen)]
