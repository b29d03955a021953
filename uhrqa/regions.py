"""Partitions of visual tokens into regions: clusters of features and place, or a plain grid.

Knows nothing of scores, budgets or models. A partition is a `[N]` int64 tensor of labels, dense
from 0, numbered by the first token of each region.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from uhrqa.errors import ConfigError, what_lacks

WIDTH = 64  # directions of features that BIRCH sees
OVERSAMPLE, ROUNDS = 16, 3  # of finding directions
SAMPLE = 8192  # tokens they, and BIRCH's tree, are found from
CHUNK = 8192  # tokens that are in float32 at once
LEAST_RADIUS = 1e-3  # of a leaf of BIRCH's tree: below it tokens are the same
_CELLS = 1 << 23  # distances held at once: 32 MB in float32


def kmeans_regions(  # noqa: PLR0913 - a clustering's own numbers
    features: Tensor,
    centres_xy: Tensor,
    k: int,
    *,
    seed: int,
    iterations: int = 10,
    coord_weight: float = 0.05,
    width: int | None = None,
) -> Tensor:
    """At most `k` regions alike in content and close in place: Lloyd's algorithm from a seed.

    Places are relative to the image; the released UHR-BAT repeats them in every tile. A region that
    loses all its tokens keeps its centre, so that fewer than `k` labels may come back. Features are
    brought to float32 a part at a time, once for each iteration.

    Args:
        features: `[N, D]`, scaled to length 1 here; D may be 0.
        centres_xy: `[N, 2]` (x, y) in [0, 1] over the image.
        k: regions wanted; N or more give every token its own.
        seed: of the start; the global random state is neither read nor changed.
        iterations: at most; stops early when no token moves.
        coord_weight: what places are multiplied by.
        width: features are seen along so many directions, those of greatest spread; all when None.

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
    points = _Points(features, centres_xy, coord_weight)
    if width is not None:
        points = points.narrowed(width, seed)
    generator = torch.Generator().manual_seed(seed)
    middles = points.take(torch.randperm(len(points), generator=generator)[:k].sort().values)
    labels, sums = _assigned(points, middles)
    for _ in range(iterations):
        middles = _means(sums, labels, middles)
        moved, sums = _assigned(points, middles)
        if torch.equal(moved, labels):
            break
        labels = moved
    return dense(labels.cpu())


def birch_regions(
    features: Tensor, centres_xy: Tensor, k: int, *, seed: int, coord_weight: float = 0.05
) -> Tensor:
    """At most `k` regions: BIRCH's tree over a sample, its leaves joined.

    Args:
        features: `[N, D]`, as `kmeans_regions` takes them.
        centres_xy: `[N, 2]` (x, y) in [0, 1] over the image.
        k: regions wanted.
        seed: of the sample of at most `SAMPLE` tokens.
        coord_weight: what places are multiplied by.

    Returns:
        `[N]` int64 labels on the CPU: the region of the nearest leaf.

    Raises:
        ValueError: `k` is below 1.
        ConfigError: scikit-learn is not installed.

    Source: Dang et al. 2026, Table 8, which names the method; Zhang et al. 1996.
    """
    if k < 1:
        raise ValueError(f"{k} regions: ask for 1 or more")
    if k >= len(features):
        return torch.arange(len(features))
    clusters = load_clusters()
    points = _Points(features, centres_xy, coord_weight).narrowed(WIDTH, seed)
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randperm(len(points), generator=generator)[:SAMPLE].sort().values
    sample, radius = points.take(picked).cpu().numpy(), 0.5
    while radius > LEAST_RADIUS:  # halved until there are leaves enough
        tree = clusters.Birch(threshold=radius, n_clusters=None).fit(sample)
        if len(tree.subcluster_centers_) >= k:
            break
        radius /= 2
    leaves = torch.from_numpy(tree.subcluster_centers_).to(features.device, torch.float32)
    own = torch.arange(len(leaves))
    if len(leaves) > k:
        joined = clusters.AgglomerativeClustering(k).fit_predict(leaves.cpu().numpy())
        own = torch.from_numpy(joined).long()
    return dense(own[_assigned(points, leaves)[0].cpu()])


def load_clusters() -> Any:  # noqa: ANN401 - a module without types
    """scikit-learn's clusterings.

    Raises:
        ConfigError: it is not installed, or a package it needs.
    """
    try:
        return importlib.import_module("sklearn.cluster")
    except ImportError as error:
        raise ConfigError(
            f"partition=birch: {what_lacks(error, 'sklearn', 'scikit-learn')}; pip install "
            "'uhrqa[regions]', or use partition=kmeans"
        ) from error


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
    return dense(cell[:, 1] * (k // rows) + cell[:, 0])


class _Points:
    """What is clustered: unit features beside weighted places, in float32 where they are used.

    Their mean is 0: distances stay, and float32 keeps more of their digits.

    Args:
        features: `[N, D]`.
        centres_xy: `[N, 2]`.
        coord_weight: what places are multiplied by.

    Source: Dang et al. 2026, Eq. 13.
    """

    def __init__(self, features: Tensor, centres_xy: Tensor, coord_weight: float) -> None:
        self._features = features.detach()
        self._places = centres_xy.to(features.device, torch.float32) * coord_weight
        self._middle: Tensor | float = 0.0
        parts = [self.part(slice(i, i + CHUNK)).sum(0) for i in range(0, len(self), CHUNK)]
        self._middle = torch.stack(parts).sum(0) / len(self)

    def __len__(self) -> int:
        return len(self._features)

    def part(self, which: slice | Tensor) -> Tensor:
        """`[n, D + 2]` some of the points."""
        unit = normalize(self._features[which].float(), dim=1)
        return torch.cat([unit, self._places[which]], dim=1).sub_(self._middle)

    def take(self, index: Tensor) -> Tensor:
        """`[n, D + 2]` the points at `[n]`."""
        return self.part(index.to(self._features.device))

    def narrowed(self, width: int, seed: int) -> _Points:
        """The same, features turned to the `width` directions in which they differ most.

        Found by subspace iteration from a seeded sample.

        Source: Halko et al. 2011, Algorithm 4.4.
        """
        if self._features.shape[1] <= width:
            return self
        generator = torch.Generator().manual_seed(seed)
        sample = self.take(torch.randperm(len(self), generator=generator)[:SAMPLE].sort().values)
        spread = sample[:, :-2]
        count = min(width + OVERSAMPLE, spread.shape[1])
        basis = torch.randn(spread.shape[1], count, generator=generator).to(spread)
        for _ in range(ROUNDS):
            basis = torch.linalg.qr(spread.T @ (spread @ torch.linalg.qr(basis).Q)).Q
        turned = spread @ basis
        basis = basis @ torch.linalg.eigh(turned.T @ turned).eigenvectors.flip(1)[:, :width]
        return _Narrow(self, basis)


class _Narrow(_Points):
    """Points whose features are seen along some directions; all of them are held."""

    def __init__(self, wide: _Points, basis: Tensor) -> None:
        parts = (wide.part(slice(i, i + CHUNK)) for i in range(0, len(wide), CHUNK))
        self._features = torch.cat([torch.cat([p[:, :-2] @ basis, p[:, -2:]], 1) for p in parts])

    def part(self, which: slice | Tensor) -> Tensor:
        """`[n, width + 2]` some of the points."""
        return self._features[which]


def _assigned(points: _Points, middles: Tensor) -> tuple[Tensor, Tensor]:
    """`[N]` index of the closest of `[k, D]` middles, and `[k, D]` the sum of each one's points."""
    half = middles.square().sum(1) / 2  # [k]
    labels = torch.empty(len(points), dtype=torch.int64, device=middles.device)
    sums = torch.zeros_like(middles)
    for start in range(0, len(points), step := max(1, min(CHUNK, _CELLS // len(middles)))):
        part = points.part(slice(start, start + step))
        own = labels[start : start + step]
        torch.argmin(torch.addmm(half, part, middles.T, alpha=-1), 1, out=own)
        sums.index_add_(0, own, part)
    return labels, sums


def _means(sums: Tensor, labels: Tensor, middles: Tensor) -> Tensor:
    """`[k, D]` mean of each region's points; the old middle where there are none."""
    counts = torch.bincount(labels, minlength=len(middles))[:, None]
    return torch.where(counts > 0, sums / counts.clamp_min(1), middles)


def dense(labels: Tensor) -> Tensor:
    """The same partition, numbered 0, 1, ... in the order of first appearance."""
    count = len(labels)
    if count == 0:
        return labels
    first = torch.full((int(labels.max()) + 1,), count)  # `count` where a label has no token
    first.scatter_reduce_(0, labels, torch.arange(count), "amin")
    return first.argsort().argsort()[labels]
