"""What a model is shown of tiles, for tests that compute anew what a scene makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from uhrqa.ledger import Ledger
from uhrqa.pyramid import Level, Tile
from uhrqa.scene import Scene
from uhrqa.tile_batches import TileBatches


def pixels_of(scene: Scene, level: Level, tiles: Sequence[Tile]) -> Tensor:
    """`[T, 3, B, B]` uint8 of tiles, read by a reader of their own."""
    reads = TileBatches(scene.raster, scene.model.fill, scene.model.device, Ledger())
    return torch.cat([batch.pixels for batch in reads.read(level, tiles, 1, masked=True)])
