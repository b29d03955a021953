"""How tokens are clustered by k-means: what is asked for, and what of it the ledger notes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from uhrqa.ledger import Clustering
from uhrqa.regions import kmeans_regions, kmeans_rounds


@dataclass(frozen=True, slots=True)
class KMeans:
    """A k-means over the tokens of a view; see `kmeans_regions`.

    Attributes:
        k: regions wanted.
        iterations: at most.
        coord_weight: what places are multiplied by.
        plain: whole features are looked at in every pass.
    """

    k: int
    iterations: int
    coord_weight: float
    plain: bool

    def regions(self, features: Tensor, places: Tensor, seed: int) -> Tensor:
        """`[N]` labels on the CPU of `[N, D]` features at `[N, 2]` places."""
        return kmeans_regions(
            features,
            places,
            self.k,
            seed=seed,
            iterations=self.iterations,
            coord_weight=self.coord_weight,
            plain=self.plain,
        )

    def passes(self, points: int, width: int) -> list[Clustering]:
        """What it usually takes over so many points of a width."""
        rounds = kmeans_rounds(points, width, self.k, self.iterations, plain=self.plain)
        return [Clustering(points, self.k, count, seen) for count, seen in rounds]
