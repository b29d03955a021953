"""Halving samples of any type as they are stored, with places that show no image.

What is no image counts for nothing: a value is the bicubic mean of the image under it. Where that
is less than half of it, there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.raster.painter import Mask, Painter
from uhrqa.raster.reduce import shrink as shrink_bytes

Values = NDArray[Any]
EXACT = ("uint8", "int8", "uint16", "int16", "float16", "float32")  # in 24 bits of a float32


@dataclass(frozen=True)
class SampleHalving:
    """Halves `[2h, 2w, S]`, or `[2h, 2w, S + 1]` with a mask, 0 or 1, as the last plane.

    Attributes:
        painter: knows what is no image by the samples themselves; None: colours, with alpha as the
            last where there are 2 or 4.
        order: place of each of the painter's samples among those given.
        masked: whether a mask comes along.
        fill: `[S]`, what stands where there is no image.
    """

    painter: Painter | None
    order: tuple[int, ...]
    masked: bool
    fill: Values

    def __call__(self, block: Values) -> Values:
        """The half of a block."""
        valid = self.valid(block)
        if valid is None:
            plain = block.dtype == np.uint8
            return shrink_bytes(block) if plain else self._stored(_bicubic(block), block.dtype)
        values = block[..., : len(self.fill)]
        share = _bicubic(valid[..., None].astype(_work(block.dtype)))
        total = _bicubic(np.where(valid[..., None], values, 0))
        shown = share[..., 0] >= 0.5
        mean = self._stored(total / np.where(shown[..., None], share, 1), block.dtype)
        self._spare_nodata(mean, shown)
        mean[~shown] = self.fill
        if not self.masked:
            return mean
        return np.concatenate([mean, shown[..., None].astype(block.dtype)], axis=2)

    def valid(self, block: Values) -> Mask | None:
        """Where a block shows image; None: everywhere, as in every block of this image."""
        values = block[..., : len(self.fill)]
        mask = block[..., -1] > 0 if self.masked else None
        if self.painter is None:
            alpha = values.shape[2] in (2, 4)
            return values[..., -1] > 0 if alpha else mask
        return self.painter.valid(values[..., list(self.order)], mask)

    def _spare_nodata(self, mean: Values, shown: Mask) -> None:
        """Let no mean of image be the value that says there is none."""
        nodata = None if self.painter is None else self.painter.nodata
        if nodata is None:
            return
        bands = list(self.order[: len(self.painter.samples.shown)]) if self.painter else []
        hit = shown & (mean[..., bands] == nodata).all(-1)
        if mean.dtype.kind == "f":
            other = np.nextafter(nodata, mean.dtype.type(np.inf))
        else:
            other = nodata - 1 if nodata == np.iinfo(mean.dtype).max else nodata + 1
        mean[..., bands[0]][hit] = other

    @staticmethod
    def _stored(made: NDArray[np.floating], dtype: np.dtype[Any]) -> Values:
        if dtype.kind == "f":
            return made.astype(dtype)
        info = np.iinfo(dtype)
        whole: Values = np.clip(np.rint(made), info.min, info.max).astype(dtype)
        return whole


def _work(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32 if dtype.name in EXACT else np.float64)


def _bicubic(values: Values) -> NDArray[np.floating]:
    """`[2h, 2w, C]` as `[h, w, C]`, antialiased, not rounded."""
    import torch
    from torch.nn.functional import interpolate

    h, w = values.shape[:2]
    planes = np.ascontiguousarray(np.moveaxis(values, 2, 0), _work(values.dtype))
    made = interpolate(
        torch.from_numpy(planes)[None], size=(h // 2, w // 2), mode="bicubic", antialias=True
    )
    found: NDArray[np.floating] = np.moveaxis(made[0].numpy(), 0, 2)
    return found
