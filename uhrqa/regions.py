"""Partitions of visual tokens into regions: clusters of features and place, or a plain grid.

Knows nothing of scores, budgets or models. A partition is a `[N]` int64 tensor of labels, dense
from 0, numbered by the first token of each region.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from uhrqa.errors import ConfigError

WIDTH = 64  # directions of features that are clustered
OVERSAMPLE, ROUNDS = 16, 3  # of finding them
SAMPLE = 8192  # tokens they, and BIRCH's tree, are found from
CHUNK = 8192  # tokens that are in float32 at once
LEAST_RADIUS = 1e-3  # of a leaf of BIRCH's tree: below it tokens are the same
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
        features: `[N, D]`, scaled to length 1 here, and seen along their `WIDTH` directions of
            greatest spread where D is more; D may be 0.
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
    generator = torch.Generator().manual_seed(seed)
    points = _points(features, centres_xy, coord_weight, seed)
    start = torch.randperm(len(points), generator=generator)[:k].sort().values
    middles = points[start.to(points.device)]
    labels = _nearest(points, middles)
    for _ in range(iterations):
        middles = _means(points, labels, middles)
        moved = _nearest(points, middles)
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
    try:
        from sklearn.cluster import Birch
    except ImportError as error:
        raise ConfigError(
            "partition=birch: scikit-learn is not installed; pip install 'uhrqa[regions]', "
            "or use partition=kmeans"
        ) from error
    points = _points(features, centres_xy, coord_weight, seed).cpu()
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randperm(len(points), generator=generator)[:SAMPLE].sort().values
    sample, radius = points[picked].numpy(), 0.5
    while radius > LEAST_RADIUS:  # halved until there are leaves enough
        tree = Birch(threshold=radius, n_clusters=None).fit(sample)
        if len(tree.subcluster_centers_) >= k:
            break
        radius /= 2
    leaves = torch.from_numpy(tree.subcluster_centers_).to(points)
    own = torch.arange(len(leaves))
    if len(leaves) > k:
        from sklearn.cluster import AgglomerativeClustering

        own = torch.from_numpy(AgglomerativeClustering(k).fit_predict(leaves.numpy())).long()
    return dense(own[_nearest(points, leaves)])


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


def _points(features: Tensor, centres_xy: Tensor, coord_weight: float, seed: int) -> Tensor:
    """`[N, min(D, WIDTH) + 2]` float32 what is clustered: unit features beside weighted places.

    Their mean is 0: distances stay, and float32 keeps more of their digits.

    Source: Dang et al. 2026, Eq. 13.
    """
    features = features.detach()
    width = min(features.shape[1], WIDTH)
    points = torch.empty(len(features), width + 2, device=features.device)
    basis, middle = _directions(features, seed) if features.shape[1] > WIDTH else (None, 0.0)
    for start in range(0, len(features), CHUNK):
        unit = normalize(features[start : start + CHUNK].float(), dim=1)
        points[start : start + CHUNK, :width] = unit if basis is None else (unit - middle) @ basis
    points[:, width:] = centres_xy.to(points) * coord_weight
    return points.sub_(points.mean(0))


def _directions(features: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """`[D, WIDTH]` orthonormal directions in which unit features differ most, and their `[D]` mean.

    From a seeded sample, by subspace iteration.

    Source: Halko et al. 2011, Algorithm 4.4.
    """
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randperm(len(features), generator=generator)[:SAMPLE].sort().values
    unit = normalize(features[picked.to(features.device)].float(), dim=1)
    middle = unit.mean(0)
    unit -= middle
    basis = torch.randn(unit.shape[1], WIDTH + OVERSAMPLE, generator=generator).to(unit)
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(unit.T @ (unit @ torch.linalg.qr(basis).Q)).Q
    turn = torch.linalg.eigh((spread := unit @ basis).T @ spread).eigenvectors  # ascending
    return basis @ turn.flip(1)[:, :WIDTH], middle


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


def dense(labels: Tensor) -> Tensor:
    """The same partition, numbered 0, 1, ... in the order of first appearance."""
    count = len(labels)
    if count == 0:
        return labels
    first = torch.full((int(labels.max()) + 1,), count)  # `count` where a label has no token
    first.scatter_reduce_(0, labels, torch.arange(count), "amin")
    return first.argsort().argsort()[labels]
