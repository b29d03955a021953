"""Encoded tiles kept between questions about one image."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

from uhrqa.geometry import Size
from uhrqa.pyramid import Tile

FEATURE_BYTES = 2 * 2**30

TileKey = tuple[Size, int, Tile]  # level size, tile side, place in the grid


class FeatureCache:
    """Encoded tiles of one image, least recently used first out when `limit` bytes are reached."""

    def __init__(self, limit: int = FEATURE_BYTES) -> None:
        self.limit = limit
        self.held = 0
        self._owner: object = None
        self._features: OrderedDict[TileKey, Tensor] = OrderedDict()

    def belong_to(self, owner: object) -> None:
        """Bind the cache to an image seen through a model: the first that uses it.

        Raises:
            ValueError: it is another's already.
        """
        if self._owner is None:
            self._owner = owner
        if self._owner != owner:
            raise ValueError("this cache holds tiles of another image or model; make a new one")

    def get(self, key: TileKey) -> Tensor | None:
        """`[n, n, D]` of a tile, or None."""
        found = self._features.get(key)
        if found is not None:
            self._features.move_to_end(key)
        return found

    def put(self, key: TileKey, features: Tensor) -> None:
        """Keep a tile's features."""
        self._features[key] = features
        self.held += features.nbytes
        while self.held > self.limit and len(self._features) > 1:
            self.held -= self._features.popitem(last=False)[1].nbytes
