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

from uhrqa.errors import ConfigError, what_lacks
from uhrqa.points import CELLS, CHUNK, SAMPLE, Points, assigned, means, move

WIDTH = 64  # directions of features that BIRCH sees
FOLLOWED = 64  # directions in which k-means' middles are seen to move
LOOKS = (1, 4)  # iterations that look at whole features, as the start does
WIDE = 512  # features less wide than that are looked at whole every time
USUAL = 31  # iterations after which a token in a thousand moves: of 36,864 tokens into 600 regions
HELD = 1 << 26  # most products kept from one pass to the next: 256 MB in float32
LEAST_RADIUS = 1e-3  # of a leaf of BIRCH's tree: below it tokens are the same


def kmeans_regions(  # noqa: PLR0913 - a clustering's own numbers
    features: Tensor,
    centres_xy: Tensor,
    k: int,
    *,
    seed: int,
    iterations: int = 100,
    coord_weight: float = 0.05,
    plain: bool = False,
) -> Tensor:
    """At most `k` regions alike in content and close in place: Lloyd's algorithm from a seed.

    Places are relative to the image; the released UHR-BAT repeats them in every tile. A region that
    loses all its tokens keeps its centre, so that fewer than `k` labels may come back. Features of
    many tokens and wide are looked at whole in few iterations (see `_Followed`).

    Args:
        features: `[N, D]`, scaled to length 1 here; D may be 0.
        centres_xy: `[N, 2]` (x, y) in [0, 1] over the image.
        k: regions wanted; N or more give every token its own.
        seed: of the start; the global random state is neither read nor changed.
        iterations: at most; stops early when no more than one token in a thousand moves.
        coord_weight: what places are multiplied by.
        plain: all features are looked at in every iteration, until no token moves.

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
    points = Points(features, centres_xy, coord_weight)
    follow = not plain and _follows(len(points), features.shape[1], k)
    settled = 0 if plain else len(points) // 1000
    generator = torch.Generator().manual_seed(seed)
    middles = points.take(torch.randperm(len(points), generator=generator)[:k].sort().values)
    labels, sums = assigned(points, middles)
    followed = _Followed(points, k) if follow else None
    for number in range(1, iterations + 1):
        middles, before = means(sums, labels, middles), labels
        if followed is None:
            labels, sums = assigned(points, middles)
        else:
            if number in LOOKS:
                followed.look(middles)
            labels = followed.nearest(middles)
            move(points, sums, before, labels)
        if int((labels != before).sum()) <= settled:
            break
    return dense(labels.cpu())


def _follows(points: int, width: int, k: int) -> bool:
    """Whether middles are followed, and features not looked at whole each time."""
    return width >= WIDE and k >= FOLLOWED and points * k <= HELD


def kmeans_rounds(
    points: int, width: int, k: int, iterations: int, *, plain: bool
) -> tuple[tuple[int, int], ...]:
    """Passes over points that `kmeans_regions` usually takes, and the width each looks at.

    Args:
        points: N.
        width: D of their features.
        k: regions wanted.
        iterations: at most.
        plain: as `kmeans_regions` takes it.

    Returns:
        Pairs of passes and width; none where every point gets a region of its own.
    """
    if k >= points:
        return ()
    rounds, whole = (iterations if plain else min(iterations, USUAL)) + 1, width + 2  # its place
    if plain or not _follows(points, width, k):
        return ((rounds, whole),)
    looks = 1 + sum(number <= iterations for number in LOOKS)
    return ((looks, whole + FOLLOWED), (rounds - looks, FOLLOWED))


class _Followed:
    """Products of points and middles at a look, and of points and what middles moved since then.

    Moves are seen along the directions in which middles differ most at the look: of width 3584,
    that takes a twentieth of the time.

    Args:
        points: N points.
        k: middles.
    """

    def __init__(self, points: Points, k: int) -> None:
        self._points = points
        like = points.part(slice(0, 1))
        self._products = like.new_empty(len(points), k)
        self._along = like.new_empty(len(points), FOLLOWED)

    def look(self, middles: Tensor) -> None:
        """Look at whole features and `[k, D + 2]` middles."""
        self._middles, count = middles, self._along.shape[1]
        spread = middles - middles.mean(0)
        vectors = torch.linalg.eigh(spread @ spread.T).eigenvectors[:, -count:]  # [k, w]
        self._basis = torch.linalg.qr(spread.T @ vectors).Q  # [D + 2, w]
        both = torch.cat([middles.T, self._basis], 1)
        for start in range(0, len(self._points), CHUNK):
            part = slice(start, start + CHUNK)
            found = self._points.part(part) @ both
            self._products[part] = found[:, :-count]
            self._along[part] = found[:, -count:]

    def nearest(self, middles: Tensor) -> Tensor:
        """`[N]` index of the closest of `[k, D + 2]` middles."""
        moved = ((middles - self._middles) @ self._basis).T  # [w, k]
        half = middles.square().sum(1) / 2
        step = max(1, CELLS // len(middles))
        pairs = zip(torch.split(self._products, step), torch.split(self._along, step), strict=True)
        return torch.cat([torch.addmm(own, at, moved).sub_(half).argmax(1) for own, at in pairs])


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
    points = Points(features, centres_xy, coord_weight).narrowed(WIDTH, seed)
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
    return dense(own[assigned(points, leaves)[0].cpu()])


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


def dense(labels: Tensor) -> Tensor:
    """The same partition, numbered 0, 1, ... in the order of first appearance."""
    count = len(labels)
    if count == 0:
        return labels
    first = torch.full((int(labels.max()) + 1,), count)  # `count` where a label has no token
    first.scatter_reduce_(0, labels, torch.arange(count), "amin")
    return first.argsort().argsort()[labels]
