"""Large PNG and JPEG images, decoded from top to bottom by the optional pyvips, once.

What is decoded goes into a file on the disk (in `TMPDIR`, deleted before it is used), so that any
window can be read again; memory holds one band of rows.
"""

from __future__ import annotations

import logging
import os
import tempfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import StorageError
from uhrqa.geometry import Size
from uhrqa.raster.blocks import Window

Values = NDArray[Any]
BANDS_HELD = 3  # the last one, the next, and about as much in libvips
WIDE = 2  # windows of more than a width by this are read by whole rows


def has_pyvips() -> bool:
    """Whether pyvips and the library it needs are installed."""
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError):  # the latter without libvips
        return False
    return True


class BandedPixels:
    """Pixels of an image that is decoded band by band, as far down as they are needed.

    Args:
        path: for messages.
        stream: the file.
        size: (h, w) as stored.
        samples: of a pixel.
        dtype: of a sample.
        band: rows that are decoded at once, a multiple of 16.
    """

    def __init__(
        self,
        path: str,
        stream: IO[bytes],
        size: Size,
        *,
        samples: int,
        dtype: np.dtype[Any],
        band: int,
    ) -> None:
        self._path = path
        self._stream = stream
        self._size = size
        self._samples = samples
        self._dtype = dtype
        self._rows = band
        self._row_bytes = size.w * samples * dtype.itemsize
        self.held_bytes = BANDS_HELD * band * self._row_bytes
        self._image: Any = None
        self._spool: IO[bytes] | None = None
        self._band: tuple[int, Values] = 0, np.empty((0, size.w, samples), dtype)
        self._tried = False

    def cut(self, window: Window) -> Values:
        """`[h, w, S]`.

        Raises:
            StorageError: the disk has no room for what is decoded.
        """
        while self._done < window.y1:
            self._decode()
        top, rows = self._band
        if window.y0 >= top:
            return rows[window.y0 - top : window.y1 - top, window.x0 : window.x1]
        return self._from_disk(window)

    def close(self) -> None:
        """Give back the disk."""
        if self._spool is not None:
            self._spool.close()

    @property
    def _done(self) -> int:
        top, rows = self._band
        return top + len(rows)

    def _decode(self) -> None:
        """The next band."""
        if self._tried:  # libvips would give what it has, black where it has nothing
            raise ValueError("it could not be decoded before")
        self._tried = True
        if self._image is None:
            self._image, self._spool = self._opened(), tempfile.TemporaryFile()  # noqa: SIM115
        done, (h, w) = self._done, self._size
        rows = self._image.crop(0, done, w, min(self._rows, h - done)).numpy()
        if rows.dtype != self._dtype:
            raise ValueError(f"it decodes to {rows.dtype}, not {self._dtype}")
        rows = rows.reshape(len(rows), w, self._samples)
        self._write(rows, done * self._row_bytes)
        self._band, self._tried = (done, rows), False

    def _opened(self) -> Any:  # noqa: ANN401 - pyvips has no types
        import pyvips

        logging.getLogger("pyvips").setLevel(logging.CRITICAL + 1)  # what it logs is raised, too
        self._stream.seek(0)
        source = pyvips.Source.new_from_descriptor(self._stream.fileno())
        image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error")
        found = image.height, image.width, image.bands
        if found != (*self._size, self._samples):
            raise ValueError(f"it decodes to {found}, not {(*self._size, self._samples)}")
        return image

    def _write(self, rows: Values, offset: int) -> None:
        left = np.ascontiguousarray(rows).data.cast("B")
        try:
            while left:
                count = os.pwrite(self._descriptor, left, offset)
                left, offset = left[count:], offset + count
        except OSError as error:
            raise StorageError(
                f"{self._path}: {self._size.h * self._row_bytes >> 20} MiB of pixels cannot be "
                f"kept in {tempfile.gettempdir()} ({error.strerror}); name a larger disk in TMPDIR"
            ) from error

    @property
    def _descriptor(self) -> int:
        if self._spool is None:
            raise ValueError("nothing is decoded yet")
        return self._spool.fileno()

    def _from_disk(self, window: Window) -> Values:
        (h, w), width = window.size, self._size.w
        left, right = (0, width) if WIDE * w > width else (window.x0, window.x1)
        values = np.empty((h, right - left, self._samples), self._dtype)
        start = window.y0 * self._row_bytes + left * self._samples * self._dtype.itemsize
        pieces = [values] if right - left == width else list(values)
        for row, piece in enumerate(pieces):
            self._fill(piece.data.cast("B"), start + row * self._row_bytes)
        return values[:, window.x0 - left : window.x1 - left]

    def _fill(self, piece: memoryview, offset: int) -> None:
        while piece:
            count = os.preadv(self._descriptor, [piece], offset)
            if not count:
                raise StorageError(f"{self._path}: its pixels in {tempfile.gettempdir()} are gone")
            piece, offset = piece[count:], offset + count
