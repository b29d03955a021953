"""Partitions of visual tokens into regions: k-means on features and place, or a plain grid.

Knows nothing of scores, budgets or models. A partition is a `[N]` int64 tensor of labels, dense
from 0, numbered by the first token of each region.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

_CELLS = 1 << 23  # distances held at once: 32 MB in float32


def kmeans_regions(
    features: Tensor,
    centres_xy: Tensor,
    k: int,
    *,
    seed: int,
    iterations: int = 10,
    coord_weight: float = 0.05,
) -> Tensor:
    """At most `k` regions alike in content and close in place: Lloyd's algorithm from a seed.

    Places are relative to the image; the released UHR-BAT repeats them in every tile. A region that
    loses all its tokens keeps its centre, so that fewer than `k` labels may come back.

    Args:
        features: `[N, D]`, scaled to length 1 here; D may be 0.
        centres_xy: `[N, 2]` (x, y) in [0, 1] over the image.
        k: regions wanted; N or more give every token its own.
        seed: of the start; the global random state is neither read nor changed.
        iterations: at most; stops early when no token moves.
        coord_weight: what places are multiplied by.

    Returns:
        `[N]` int64 labels on the CPU.

    Raises:
        ValueError: `k` is below 1.

    Source: Dang et al. 2026, Eq. 13-14.
    """
    if k < 1:
        raise ValueError(f"{k} regions: ask for 1 or more")
    if k >= len(features):
        return torch.arange(len(features))
    unit = normalize(features.detach().float(), dim=1)
    points = torch.cat([unit, centres_xy.to(unit) * coord_weight], dim=1)  # [N, D + 2]
    points -= points.mean(0)  # distances stay; float32 keeps more of their digits
    generator = torch.Generator().manual_seed(seed)
    start = torch.randperm(len(points), generator=generator)[:k].sort().values
    middles = points[start.to(points.device)]
    labels = _nearest(points, middles)
    for _ in range(iterations):
        middles = _means(points, labels, middles)
        moved = _nearest(points, middles)
        if torch.equal(moved, labels):
            break
        labels = moved
    return _dense(labels.cpu())


def grid_regions(centres_xy: Tensor, k: int) -> Tensor:
    """At most `k` regions by place alone: a grid of equal square-ish cells over the image.

    Args:
        centres_xy: `[N, 2]` (x, y) in [0, 1] over the image.
        k: cells at most: floor(sqrt(k)) rows of floor(k / rows) cells.

    Returns:
        `[N]` int64 labels on the CPU; cells without a token get none.

    Raises:
        ValueError: `k` is below 1.
    """
    if k < 1:
        raise ValueError(f"{k} regions: ask for 1 or more")
    rows = math.isqrt(k)
    counts = torch.tensor([k // rows, rows])
    cell = (centres_xy.cpu() * counts).long().clamp_min(0).minimum(counts - 1)  # [N, 2]
    return _dense(cell[:, 1] * (k // rows) + cell[:, 0])


def _nearest(points: Tensor, middles: Tensor) -> Tensor:
    """`[N]` index of the closest of `[k, D]` middles, a part of the tokens at a time."""
    half = middles.square().sum(1) / 2  # [k]
    step = max(1, _CELLS // len(middles))
    distances = points.new_empty(min(step, len(points)), len(middles))  # one buffer for all parts
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    for i in range(0, len(points), step):
        part = points[i : i + step]
        torch.addmm(half, part, middles.T, alpha=-1, out=distances[: len(part)])
        torch.argmin(distances[: len(part)], 1, out=labels[i : i + step])
    return labels


def _means(points: Tensor, labels: Tensor, middles: Tensor) -> Tensor:
    """`[k, D]` mean of each region's points; the old middle where there are none."""
    counts = torch.bincount(labels, minlength=len(middles))[:, None]
    sums = torch.zeros_like(middles).index_add_(0, labels, points)
    return torch.where(counts > 0, sums / counts.clamp_min(1), middles)


def _dense(labels: Tensor) -> Tensor:
    """The same partition, numbered 0, 1, ... in the order of first appearance."""
    count = len(labels)
    if count == 0:
        return labels
    first = torch.full((int(labels.max()) + 1,), count)  # `count` where a label has no token
    first.scatter_reduce_(0, labels, torch.arange(count), "amin")
    return first.argsort().argsort()[labels]
