"""Rasters: files of pixels behind one protocol. Knows no model, no pyramid, no question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from uhrqa.geometry import Box, Size

Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a read gives: never a bare array.

    Attributes:
        array: `[h, w, 3]` uint8, RGB.
        mask: `[h, w]` bool, True where there is image; False beyond the source's edges.
        box: the part of the source shown, XYXY half-open source pixels.
    """

    array: Array
    mask: NDArray[np.bool_]
    box: Box


@runtime_checkable
class Raster(Protocol):
    """An image that is read by window, at any scale.

    Attributes:
        path: what the user gave, for messages.
        size: (h, w) of the full-resolution image.
        levels: sizes of the stored resolutions, finest first; `levels[0] == size`.
        bytes_read: encoded bytes taken from storage so far.
    """

    path: str
    size: Size
    levels: tuple[Size, ...]
    bytes_read: int

    def read(self, box: Box, out: Size) -> Pixels:
        """The part of the image under `box`, resampled with antialiasing to `out`.

        Parts of `box` beyond the image come back black and masked.

        Raises:
            RasterError: the data under the box is damaged or cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...
