"""Regions of tokens from labels of pixels: a segmenter's raster, or superpixels made here.

Knows arrays and boxes, no files, models or budgets.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uhrqa.errors import ConfigError, what_lacks
from uhrqa.geometry import Box, Size
from uhrqa.regions import dense

OUTSIDE = np.iinfo(np.int64).max  # sorts last; is never voted for where anything else is
SAMPLES = 1 << 23  # labels held at once: 64 MB
COMPACTNESS = 10.0  # of superpixels: scikit-image's own


def vote(
    labels: NDArray[np.integer], boxes: Tensor, size: Size, cells: int, extent: Box | None = None
) -> Tensor:
    """The label most of a token's pixels have; ties go to the smallest.

    Args:
        labels: `[h, w]` over an extent, at any resolution.
        boxes: `[N, 4]` of the tokens, source pixels.
        size: of the source image.
        cells: pixels along a token's side that are looked at, each the nearest label.
        extent: source pixels under the labels, which may lie beyond a window; the image by default.

    Returns:
        `[N]` int64; `OUTSIDE` where a token shows only what lies beyond the image.

    Source: Dang et al. 2026 (UHR-BAT), Eq. 15.
    """
    extent = extent or Box.whole(size)
    found = np.empty(len(boxes), np.int64)
    step = max(1, SAMPLES // cells**2)
    at = (np.arange(cells) + 0.5) / cells
    for start in range(0, len(boxes), step):
        x0, y0, x1, y1 = (side[:, None] for side in boxes[start : start + step].double().numpy().T)
        x, y = x0 + (x1 - x0) * at, y0 + (y1 - y0) * at  # [n, cells]
        cols = _nearest(x - extent.x0, extent.w, labels.shape[1])
        rows = _nearest(y - extent.y0, extent.h, labels.shape[0])
        seen = labels[rows[:, :, None], cols[:, None, :]].astype(np.int64)
        inside_x, inside_y = (x >= 0) & (x < size.w), (y >= 0) & (y < size.h)
        seen[~(inside_y[:, :, None] & inside_x[:, None, :])] = OUTSIDE
        found[start : start + step] = _most_common(seen.reshape(len(seen), -1))
    return torch.from_numpy(found)


def _nearest(place: NDArray[np.float64], length: float, labels: int) -> NDArray[np.int64]:
    """Which of the labels along one axis a place has."""
    return np.floor(place * (labels / length)).astype(np.int64).clip(0, labels - 1)


def _most_common(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[N]` of each row of `[N, K]`; ties go to the smallest."""
    values = np.sort(values, axis=1)
    number = np.arange(values.shape[1])
    starts = np.ones(values.shape, np.bool_)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    length = number - np.maximum.accumulate(np.where(starts, number, 0), axis=1)
    length[values == OUTSIDE] = -1
    best = length.argmax(axis=1)  # the first that is longest, so the smallest value
    common: NDArray[np.int64] = values[np.arange(len(values)), best]
    return common


def as_regions(labels: Tensor, *, singles: bool = False) -> Tensor:
    """Voted labels as a partition, dense from 0 in the order of first appearance.

    Args:
        labels: `[N]`.
        singles: tokens of label 0, and those beyond the image, are each a region of their own.
    """
    if singles:
        alone = (labels == 0) | (labels == OUTSIDE)
        known = torch.unique(labels, return_inverse=True)[1]
        labels = torch.where(alone, len(labels) + torch.arange(len(labels)), known)
    return dense(torch.unique(labels, return_inverse=True)[1])


def superpixels(pixels: NDArray[np.uint8], count: int) -> NDArray[np.integer]:
    """About `count` connected patches of like colour (SLIC).

    Args:
        pixels: `[h, w, 3]` RGB.
        count: patches wanted.

    Returns:
        `[h, w]` labels from 0.

    Raises:
        ConfigError: scikit-image is not installed, or a package it needs.
    """
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise ConfigError(
            f"partition=slic: {what_lacks(error, 'skimage', 'scikit-image')}; pip install "
            "'uhrqa[regions]', or use partition=kmeans"
        ) from error
    found: NDArray[np.integer] = slic(
        pixels, n_segments=count, compactness=COMPACTNESS, start_label=0, channel_axis=2
    )
    return found
