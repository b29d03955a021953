"""Encoded tiles kept between questions about one image."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from uhrqa.geometry import Size
from uhrqa.pyramid import Tile
from uhrqa.raster import IN_MEMORY, Raster
from uhrqa.raster.formats import is_remote

FEATURE_BYTES = 2 * 2**30
PAIRED = 0  # in the place of a key's pooling: features of paired towers

# level's size, source and origin, tile side, pooling, place in the grid
TileKey = tuple[Size, Size, tuple[int, int], int, int, Tile]


class EncodedTile(NamedTuple):
    """A tile as it was encoded.

    Attributes:
        features: `[n, n, D]`; None where the tile shows no image.
        shown: `[n, n]` bool, tokens that show any image; None where all do.
        traits: `[n, n, 1 + d]` float32, what the vision tower makes of them, as `watch_tiles` gives
            it; None where nobody asked.
    """

    features: Tensor | None
    shown: Tensor | None = None
    traits: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of features and traits."""
        return sum(part.nbytes for part in (self.features, self.traits) if part is not None)


class TileStore(Protocol):
    """Where encoded tiles outlive the process."""

    def load(self, key: TileKey) -> EncodedTile | None:
        """A tile, or None."""
        ...

    def save(self, key: TileKey, tile: EncodedTile) -> None:
        """Keep a tile, in the place of what was kept of it."""
        ...


class FeatureCache:
    """Encoded tiles of one image, least recently used first out when `limit` bytes are reached.

    Args:
        limit: of bytes in memory.
        store: where tiles are looked for that are not in memory, and kept besides.
    """

    def __init__(self, limit: int = FEATURE_BYTES, store: TileStore | None = None) -> None:
        self.limit = limit
        self._store = store
        self.held = 0
        self._raster: Raster | None = None  # held: an address could be given out again
        self._model: object = None
        self._features: OrderedDict[TileKey, EncodedTile] = OrderedDict()

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

    def get(self, key: TileKey) -> EncodedTile | None:
        """A tile, or None."""
        found = self._features.get(key)
        if found is not None:
            self._features.move_to_end(key)
        elif self._store is not None:
            found = self._store.load(key)
            if found is not None:
                self._hold(key, found)
        return found

    def put(self, key: TileKey, tile: EncodedTile) -> None:
        """Keep a tile; one kept under that key before is forgotten."""
        self._hold(key, tile)
        if self._store is not None:
            self._store.save(key, tile)

    def _hold(self, key: TileKey, tile: EncodedTile) -> None:
        if key in self._features:
            self.held -= self._features.pop(key).nbytes
        self._features[key] = tile
        self.held += tile.nbytes
        while self.held > self.limit and len(self._features) > 1:
            self.held -= self._features.popitem(last=False)[1].nbytes


def _is_one_image(one: Raster, other: Raster) -> bool:
    if one is other:
        return True
    same_name = one.path == other.path != IN_MEMORY and one.size == other.size
    for what in ("roi", "reading"):  # one file in other parts, other bands or another contrast
        if getattr(one, what, None) != getattr(other, what, None):
            return False
    return same_name and (is_remote(one.path) or Path(one.path).exists())
