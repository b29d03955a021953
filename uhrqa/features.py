"""Encoded tiles kept between questions about one image."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import Tensor

from uhrqa.geometry import Size
from uhrqa.pyramid import Tile
from uhrqa.raster import IN_MEMORY, Raster

FEATURE_BYTES = 2 * 2**30

# level size and origin, tile side, pooling, place in the grid
TileKey = tuple[Size, tuple[int, int], int, int, Tile]


class FeatureCache:
    """Encoded tiles of one image, least recently used first out when `limit` bytes are reached."""

    def __init__(self, limit: int = FEATURE_BYTES) -> None:
        self.limit = limit
        self.held = 0
        self._raster: Raster | None = None  # held: an address could be given out again
        self._model: object = None
        self._features: OrderedDict[TileKey, Tensor] = OrderedDict()

    def belong_to(self, raster: Raster, model: object) -> None:
        """Bind the cache to an image seen through a model: the first that uses it.

        Rasters that are opened from one file are one image; others are just themselves.

        Raises:
            ValueError: it is another's already.
        """
        if self._raster is None:
            self._raster, self._model = raster, model
        if self._model is not model or not _is_one_image(self._raster, raster):
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


def _is_one_image(one: Raster, other: Raster) -> bool:
    if one is other:
        return True
    same_name = one.path == other.path != IN_MEMORY and one.size == other.size
    return same_name and Path(one.path).exists()
