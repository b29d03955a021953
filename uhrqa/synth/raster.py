"""A drawn scene as a raster: windows are rendered when they are read, so no file is needed."""

from __future__ import annotations

from typing import Self

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.raster import Pixels
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.window import render


class SceneRaster:
    """See `uhrqa.raster.Raster`. `bytes_read` counts the pixels drawn."""

    def __init__(self, scene: SceneTruth) -> None:
        self.scene = scene
        self._drawn = 0

    @property
    def path(self) -> str:
        """What stands in messages."""
        return f"scene {self.scene.seed}"

    @property
    def size(self) -> Size:
        """Of the scene."""
        return self.scene.size

    @property
    def levels(self) -> tuple[Size, ...]:
        """Halvings down to about a thousand pixels, as a tiled file would store."""
        found = [self.size]
        while max(found[-1]) > 1024:
            found.append(Size(max(1, found[-1].h // 2), max(1, found[-1].w // 2)))
        return tuple(found)

    @property
    def has_mask(self) -> bool:
        """A drawn scene shows image everywhere."""
        return False

    @property
    def bytes_read(self) -> int:
        """Bytes of pixels drawn so far."""
        return self._drawn

    def read(self, box: Box, out: Size) -> Pixels:
        """The part of the scene under `box` at size `out`; black and masked beyond its edges."""
        array = np.zeros((out.h, out.w, 3), np.uint8)
        mask = np.zeros((out.h, out.w), bool)
        sx, sy = out.w / box.w, out.h / box.h
        inside = box.intersect(Box.whole(self.size))
        if not inside.is_empty:
            x0, y0 = (round((inside.x0 - box.x0) * sx), round((inside.y0 - box.y0) * sy))
            x1, y1 = (round((inside.x1 - box.x0) * sx), round((inside.y1 - box.y0) * sy))
            if x1 > x0 and y1 > y0:
                shown = Box(box.x0 + x0 / sx, box.y0 + y0 / sy, box.x0 + x1 / sx, box.y0 + y1 / sy)
                array[y0:y1, x0:x1] = render(self.scene, shown, Size(y1 - y0, x1 - x0))
                mask[y0:y1, x0:x1] = True
                self._drawn += 3 * (x1 - x0) * (y1 - y0)
        return Pixels(array, mask, box)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
