"""Images that are already in memory, as numpy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.raster import IN_MEMORY
from uhrqa.raster.derived_levels import ArrayLevel
from uhrqa.raster.guard import check_size
from uhrqa.raster.levels import LevelRaster
from uhrqa.reading import Reading


def open_array(array: NDArray[np.uint8], reading: Reading | None = None) -> LevelRaster:
    """A raster over an array; the array is not copied.

    Args:
        array: `[h, w]` grey or `[h, w, 3]` RGB, uint8.
        reading: its `max_pixels` alone counts.

    Raises:
        RasterError: another shape or type.
    """
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    ):
        raise RasterError(
            f"array of shape {array.shape} and type {array.dtype}: give [h, w] or [h, w, 3] uint8"
        )
    h, w = array.shape[:2]
    check_size(IN_MEMORY, h, w, reading.max_pixels if reading else None)
    return LevelRaster(IN_MEMORY, [ArrayLevel(array if array.ndim == 3 else array[:, :, None])])
