"""What a model is shown of tiles, for tests that compute anew what a scene makes of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from uhrqa.encoding import TileEncoder
from uhrqa.features import FeatureCache
from uhrqa.ledger import Ledger
from uhrqa.pyramid import Level, Tile
from uhrqa.scene import Scene


def pixels_of(scene: Scene, level: Level, tiles: Sequence[Tile]) -> Tensor:
    """`[T, 3, B, B]` uint8 of tiles, read by an encoder of their own."""
    own = TileEncoder(scene.raster, scene.model, FeatureCache(), Ledger())
    return own.read(level, tiles)[0]
