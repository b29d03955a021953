"""Pixels of PNG and JPEG images, decoded as a whole at the first need and cut out by window."""

from __future__ import annotations

from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from uhrqa.raster.blocks import Window

Values = NDArray[Any]
CUT_PIXELS = 2**24  # at once
PIXEL_BYTES = 4  # of a decoded pixel
COUNTS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}  # samples in each mode


class Pixels(Protocol):
    """The stored pixels of an image, decoded when they are first needed."""

    @property
    def held_bytes(self) -> int:
        """Bytes of them that stay in memory."""
        ...

    def cut(self, window: Window) -> Values:
        """`[h, w, S]` of a window; whatever a decoder raises."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


class PillowPixels:
    """Pixels of an image that Pillow decodes at the first need."""

    def __init__(self, image: ImageFile, mode: str) -> None:
        self.held_bytes = image.width * image.height * PIXEL_BYTES
        self._image = image
        self._tried = self._loaded = False
        self._mode = mode

    def cut(self, window: Window) -> Values:
        """`[h, w, S]`; in bands, as Pillow guards crops, too, with its global limit."""
        if not self._loaded:
            if self._tried:  # Pillow would give what it has, black where it has nothing
                raise ValueError("it could not be decoded before")
            self._tried = True
            self._image.load()
            self._loaded = True
        out = np.empty((*window.size, COUNTS[self._mode]), np.uint8)
        band = max(1, min(512, CUT_PIXELS // window.size.w))
        for top in range(window.y0, window.y1, band):
            bottom = min(window.y1, top + band)
            part = self._image.crop((window.x0, top, window.x1, bottom))
            if part.mode != self._mode:
                part = part.convert("RGBA" if self._mode == "LA" else self._mode)
            values = np.asarray(part).reshape(*part.size[::-1], -1)
            if self._mode == "LA" and values.shape[2] == 4:
                values = values[..., [0, 3]]
            out[top - window.y0 : bottom - window.y0] = values
        return out

    def close(self) -> None:
        """Nothing: the image is closed by who opened it."""


class DeepPngPixels:
    """Pixels of a PNG with 16 bits a sample."""

    def __init__(self, stream: IO[bytes], held_bytes: int) -> None:
        self.held_bytes = held_bytes
        self._stream = stream
        self._array: NDArray[np.uint16] | None = None

    def cut(self, window: Window) -> Values:
        """`[h, w, S]`."""
        if self._array is None:
            from imagecodecs import png_decode

            self._stream.seek(0)
            self._array = png_decode(self._stream.read())
        part = self._array[window.y0 : window.y1, window.x0 : window.x1]
        return part[:, :, None] if part.ndim == 2 else part

    def close(self) -> None:
        """Forget them."""
        self._array = None
