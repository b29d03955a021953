"""What is clustered: unit features beside weighted places, and the nearest of some middles.

Source: Dang et al. 2026 (UHR-BAT), Eq. 13.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

OVERSAMPLE, ROUNDS = 16, 3  # of finding directions
SAMPLE = 8192  # tokens they, and BIRCH's tree, are found from
CHUNK = 2048  # tokens that are in float32 at once
CELLS = 1 << 23  # distances held at once: 32 MB in float32


class Points:
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

    def narrowed(self, width: int, seed: int) -> Points:
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
        return Narrow(self, basis)


class Narrow(Points):
    """Points whose features are seen along some directions; all of them are held."""

    def __init__(self, wide: Points, basis: Tensor) -> None:
        parts = (wide.part(slice(i, i + CHUNK)) for i in range(0, len(wide), CHUNK))
        self._features = torch.cat([torch.cat([p[:, :-2] @ basis, p[:, -2:]], 1) for p in parts])

    def part(self, which: slice | Tensor) -> Tensor:
        """`[n, width + 2]` some of the points."""
        return self._features[which]


def assigned(points: Points, middles: Tensor) -> tuple[Tensor, Tensor]:
    """`[N]` index of the closest of `[k, D]` middles, and `[k, D]` the sum of each one's points."""
    half = middles.square().sum(1) / 2  # [k]
    labels = torch.empty(len(points), dtype=torch.int64, device=middles.device)
    sums = torch.zeros_like(middles)
    for start in range(0, len(points), step := max(1, min(CHUNK, CELLS // len(middles)))):
        part = points.part(slice(start, start + step))
        own = labels[start : start + step]
        torch.argmin(torch.addmm(half, part, middles.T, alpha=-1), 1, out=own)
        sums.index_add_(0, own, part)
    return labels, sums


def means(sums: Tensor, labels: Tensor, middles: Tensor) -> Tensor:
    """`[k, D]` mean of each region's points; the old middle where there are none."""
    counts = torch.bincount(labels, minlength=len(middles))[:, None]
    return torch.where(counts > 0, sums / counts.clamp_min(1), middles)


def move(points: Points, sums: Tensor, before: Tensor, after: Tensor) -> None:
    """Bring `[k, D]` sums up to date for the points whose `[N]` label changed."""
    for index in torch.split((before != after).nonzero().flatten(), CHUNK):
        part = points.take(index)
        sums.index_add_(0, before[index], part, alpha=-1).index_add_(0, after[index], part)
