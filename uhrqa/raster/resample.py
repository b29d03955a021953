"""Antialiased resampling of a window, exact against resizing the whole image at once.

Knows arrays and intervals, no files. The filter is Pillow's BICUBIC, which widens with the
reduction. A window is read with a halo, so that a tile has the pixels of the whole level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, __version__

from uhrqa.geometry import Size

Array = NDArray[np.uint8]
MODES = {1: "L", 3: "RGB", 4: "CMYK"}  # CMYK: four planes that Pillow resizes without blending
PICKS_ORDER = int(__version__.split(".")[0]) >= 13
SNAP = 1e-6  # level pixels: edges this near to a whole pixel are on it


@dataclass(frozen=True, slots=True)
class Span:
    """One axis of a read, resolved: which output pixels show image, and what they need.

    Attributes:
        out: `[first, last)` output pixels whose centre is on the image.
        box: `(from, to)` the level pixels these show, fractional.
        need: `[first, last)` level pixels to read, halo included; it passes the level's edge only
            where `box` does.
        length: level pixels along this axis.
    """

    out: tuple[int, int]
    box: tuple[float, float]
    need: tuple[int, int]
    length: int

    @property
    def count(self) -> int:
        """Output pixels on the image."""
        return self.out[1] - self.out[0]

    @property
    def step(self) -> float:
        """Level pixels per output pixel."""
        return (self.box[1] - self.box[0]) / self.count

    @property
    def inside(self) -> tuple[int, int]:
        """The part of `need` that exists."""
        return max(0, self.need[0]), min(self.length, self.need[1])

    @property
    def whole_count(self) -> int:
        """Output pixels the whole level would have at this scale."""
        return max(1, round(self.length / self.step))

    @property
    def shows_all(self) -> bool:
        """Whether the whole level is shown, and no more."""
        return self.box == (0, self.length)

    def part(self, first: int, last: int) -> Span:
        """The same scale for output pixels `[first, last)` only."""
        start = self.box[0] + (first - self.out[0]) * self.step
        stop = self.box[0] + (last - self.out[0]) * self.step
        return resolved((first, last), (start, stop), self.length)


def span(edges: tuple[float, float], length: float, count: int, level: tuple[int, float]) -> Span:
    """Resolve one axis.

    Args:
        edges: `[from, to)` in source pixels; may pass the image's edges.
        length: source pixels along the axis.
        count: output pixels for all of `edges`.
        level: level pixels along the axis, and level pixels per source pixel.
    """
    start, step = edges[0], (edges[1] - edges[0]) / count
    first = min(count, max(0, math.ceil(-start / step - 0.5)))
    last = max(first, min(count, math.ceil((length - start) / step - 0.5)))
    scale = level[1]
    return resolved(
        (first, last), ((start + first * step) * scale, (start + last * step) * scale), level[0]
    )


def resolved(out: tuple[int, int], box: tuple[float, float], length: int) -> Span:
    """A span with its halo. A window at scale 1 on whole pixels needs none: it is a slice."""
    start, stop = (_snapped(edge, length) for edge in box)
    if out[1] <= out[0]:
        return Span((out[0], out[0]), (start, start), (0, 0), length)
    step = (stop - start) / (out[1] - out[0])
    copied = start == math.floor(start) and abs(step - 1) * (out[1] - out[0]) < SNAP
    # Bicubic reaches 2 output pixels, or 2 level pixels when enlarging; 1 more for rounding.
    halo = 0 if copied else math.ceil(2 * max(1.0, step)) + 1
    low, high = min(0, math.floor(start)), max(length, math.ceil(stop))
    need = max(low, math.floor(start) - halo), min(high, math.ceil(stop) + halo)
    return Span(out, (start, stop), need, length)


def _snapped(edge: float, length: int) -> float:
    nearest = round(edge)
    return float(nearest) if abs(edge - nearest) < SNAP * max(1.0, length / 65536) else edge


def resample(window: Array, rows: Span, cols: Span) -> Array:
    """Resize what was read for two spans.

    Args:
        window: `[h, w, C]`, the pixels of `rows.inside` x `cols.inside`.
        rows: the vertical axis.
        cols: the horizontal axis.

    Returns:
        `[rows.count, cols.count, C]`.
    """
    beyond = [
        (axis.inside[0] - axis.need[0], axis.need[1] - axis.inside[1]) for axis in (rows, cols)
    ]
    if any(map(any, beyond)):
        window = np.pad(window, (*beyond, (0, 0)), mode="edge")
    top, bottom = (edge - rows.need[0] for edge in rows.box)
    left, right = (edge - cols.need[0] for edge in cols.box)
    out = Size(rows.count, cols.count)
    if out == window.shape[:2] and (top, left) == (0, 0):
        return window
    image = to_image(window)
    if rows.shows_all and cols.shows_all:
        return to_array(image.resize((out.w, out.h), _BICUBIC))
    first = vertical_first(rows.length, rows.whole_count, cols.length, cols.whole_count)
    return to_array(two_passes(image, out, (left, top, right, bottom), vertical=first))


def two_passes(
    image: Image.Image, out: Size, box: tuple[float, float, float, float], *, vertical: bool
) -> Image.Image:
    """Resize `box` (left, top, right, bottom) of an image, columns first if `vertical`."""
    left, top, right, bottom = box
    if vertical:
        image = image.resize((image.width, out.h), _BICUBIC, (0, top, image.width, bottom))
        return image.resize((out.w, out.h), _BICUBIC, (left, 0, right, out.h))
    image = image.resize((out.w, image.height), _BICUBIC, (left, 0, right, image.height))
    return image.resize((out.w, out.h), _BICUBIC, (0, top, out.w, bottom))


def vertical_first(h: int, out_h: int, w: int, out_w: int) -> bool:
    """Whether Pillow would begin with columns if it resized all of `h` x `w`.

    Between its two passes Pillow rounds to 8 bits, so the order shows. Since version 13 it picks
    the order by the shape of what it is given; a tile or band must follow its whole level.
    """
    return PICKS_ORDER and h > out_h and h - out_h > 2 * (w - out_w)


_BICUBIC = Image.Resampling.BICUBIC


def to_image(array: Array) -> Image.Image:
    """`[h, w, C]` as a Pillow image of C separate planes."""
    h, w, channels = array.shape
    mode = MODES[channels]
    return Image.frombuffer(mode, (w, h), np.ascontiguousarray(array), "raw", mode, 0, 1)


def to_array(image: Image.Image) -> Array:
    """A Pillow image as `[h, w, C]`."""
    array: Array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


def without_rim(samples: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Colour and mask of `[h, w, 4]`, whose colours are dark where part of a pixel is no image.

    Hidden pixels are black, so what resampling mixed of colour and nothing is brightened again by
    the share of image in it: the rim of an image is no darker than the rest of it.
    """
    alpha = samples[..., 3]
    mask = alpha >= 128
    colour = samples[..., :3] * mask[:, :, None]
    rim = mask & (alpha < 255)
    if rim.any():
        share = alpha[rim].astype(np.uint16)[:, None]
        bright = (colour[rim].astype(np.uint16) * 255 + share // 2) // share
        colour[rim] = np.minimum(bright, 255).astype(np.uint8)
    return colour, mask
