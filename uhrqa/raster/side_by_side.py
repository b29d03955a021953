"""Several images as one raster: side by side, tops aligned, with a masked gap between them.

A model that is asked about one image can so be shown two. Nothing is resized beforehand: every read
asks each image for its own part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.raster import Pixels, Raster, requests_made

GAP = 0.01  # of the longest side
LEAST_GAP = 16  # px


class SideBySide:
    """See the module; a raster.

    Args:
        parts: the images from left to right, 1 or more; closed with this.
    """

    def __init__(self, parts: Sequence[Raster]) -> None:
        self.parts = tuple(parts)
        gap = max(LEAST_GAP, round(GAP * max(max(part.size) for part in parts)))
        left, self.lefts = 0, []
        for part in self.parts:
            self.lefts.append(left)
            left += part.size.w + gap
        self.size = Size(max(part.size.h for part in parts), left - gap)
        self.levels = (self.size,)
        self.has_mask = True

    @property
    def path(self) -> str:
        """Those of the parts."""
        return " + ".join(part.path for part in self.parts)

    @property
    def bytes_read(self) -> int:
        """Encoded bytes taken from storage so far."""
        return sum(part.bytes_read for part in self.parts)

    @property
    def requests(self) -> int:
        """See `uhrqa.raster.requests_made`."""
        return sum(requests_made(part) for part in self.parts)

    def boxes(self) -> tuple[Box, ...]:
        """Where each image lies."""
        pairs = zip(self.lefts, self.parts, strict=True)
        return tuple(Box(x, 0, x + part.size.w, part.size.h) for x, part in pairs)

    def read(self, box: Box, out: Size) -> Pixels:
        """See `Raster.read`; a pixel belongs to the image its centre lies in.

        Raises:
            RasterError: the data of one of the images cannot be decoded.
        """
        array = np.zeros((*out, 3), np.uint8)
        mask = np.zeros(out, np.bool_)
        step_x, step_y = box.w / out.w, box.h / out.h
        for part, place in zip(self.parts, self.boxes(), strict=True):
            x0, x1 = _centres(box.x0, step_x, out.w, place.x0, place.x1)
            y0, y1 = _centres(box.y0, step_y, out.h, place.y0, place.y1)
            if x0 >= x1 or y0 >= y1:
                continue
            shown = Box(
                box.x0 + x0 * step_x - place.x0,
                box.y0 + y0 * step_y,
                box.x0 + x1 * step_x - place.x0,
                box.y0 + y1 * step_y,
            )
            pixels = part.read(shown, Size(y1 - y0, x1 - x0))
            array[y0:y1, x0:x1] = pixels.array
            mask[y0:y1, x0:x1] = pixels.mask
        return Pixels(array, mask, box)

    def close(self) -> None:
        """Release the files."""
        with ExitStack() as stack:
            for part in self.parts:
                stack.callback(part.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _centres(start: float, step: float, count: int, low: float, high: float) -> tuple[int, int]:
    """Which of `count` steps from `start` have their centres in `[low, high)`: first and end."""
    first = math.ceil((low - start) / step - 0.5)
    end = math.ceil((high - start) / step - 0.5)
    return max(0, first), min(count, end)
