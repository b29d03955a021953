"""Stand-ins for image, model and scene: they have sizes, and neither pixels nor weights."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from uhrqa.clustering import KMeans
from uhrqa.encoding import TileEncoder
from uhrqa.features import EncodedTile
from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import Pixels, Raster, in_source, whole_of
from uhrqa.regions import grid_regions
from uhrqa.scene import Scene
from uhrqa.tokens import VisualTokens
from uhrqa.vlm import Prompt, Sequence
from uhrqa.vlm.card import Card
from uhrqa.vlm.paired import paired_config, paired_flops
from uhrqa.vlm.placement import Placement
from uhrqa.vlm.turns import Turns

SIDE = 8  # of the scores of planned towers in a tile


class PlannedEncoder(TileEncoder):
    """Notes the tiles it is asked for and encodes none.

    Attributes:
        kept: tokens of all tiles that would be kept encoded.
    """

    raster: PlannedRaster
    kept = 0

    def encode(
        self, level: Level, tiles: Many[Tile], *, masked: bool = False, watch: bool = False
    ) -> tuple[dict[Tile, EncodedTile], list[Tile]]:
        """Tiles without features, each noted as read and encoded the first time."""
        side = self.side(level)
        traits = torch.zeros(side, side, 2) if watch else None
        blank = EncodedTile(torch.empty(side, side, 0), None, traits)
        missing = [
            tile
            for tile in tiles
            if (kept := self.features.get(self.key(level, tile))) is None
            or (watch and kept.traits is None)
        ]
        for tile in missing:
            self.features.put(self.key(level, tile), blank)
            self.raster.note(level.box(tile), Size(level.tile, level.tile))
        self.kept += len(missing) * side**2
        self.ledger.encoded[level] += len(missing)
        self.ledger.watched += watch * len(missing)
        return dict.fromkeys(tiles, blank), missing


class PlannedScene(Scene):
    """Sees tokens without embedding."""

    encoder_type: ClassVar[type[PlannedEncoder]] = PlannedEncoder
    raster: PlannedRaster
    _encoder: PlannedEncoder

    @property
    def features_kept(self) -> int:
        """Tokens of all tiles that would be kept encoded."""
        return self._encoder.kept

    def _clustered(self, tokens: VisualTokens, places: Tensor, how: KMeans) -> Tensor:
        """A grid in its place: tokens of a plan have no features."""
        return grid_regions(places, how.k)


class PlannedRaster:
    """A size, and what would be read of it; a window knows what it is of."""

    def __init__(self, image: Size | Raster) -> None:
        self.size = image if isinstance(image, Size) else image.size
        self.path = str(self.size)
        self.whole = self if isinstance(image, Size) else whole_of(image)
        self.levels = (self.size,)
        self._image = image
        self.bytes_read = 0
        self.has_mask = False
        self.reads: list[tuple[Box, Size]] = []

    def in_source(self, box: Box) -> Box:
        """See `uhrqa.raster.in_source`."""
        return box if isinstance(self._image, Size) else in_source(self._image, box)

    def note(self, box: Box, out: Size) -> None:
        """Remember a read."""
        self.reads.append((box, out))

    def read(self, box: Box, out: Size) -> Pixels:
        """A plan reads no pixel: paired towers see black."""
        self.note(box, out)
        return Pixels(np.zeros((*out, 3), np.uint8), np.ones(out, np.bool_), box)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class PlannedTowers:
    """Sizes in the place of paired towers, which see something everywhere."""

    scale = 1.0

    def __init__(self, path: Path, length: int) -> None:
        self._config = paired_config(path)
        self._length = min(length, self._config.text_config.max_position_embeddings)
        self._random = torch.Generator().manual_seed(0)

    def encode(self, pixels: Tensor) -> Tensor:
        """Diffuse scores."""
        return torch.rand(len(pixels), SIDE, SIDE, 1, generator=self._random)

    def read(self, question: str) -> tuple[Tensor, int]:
        """A question of the expected length."""
        return torch.ones(1), self._length

    def flops(self, tiles: int, length: int) -> int:
        """As the towers themselves count."""
        return paired_flops(self._config, tiles, length)


class PlannedModel:
    """A card in the place of a model: tokens without embedding, attention without focus."""

    placement: Placement | None = None
    fill = (0, 0, 0)
    precision = "none"
    device = torch.device("cpu")

    def __init__(self, card: Card, question_tokens: int) -> None:
        self.card = card
        self.newline = torch.empty(0) if card.row_ends else None
        self.rfm_layers = card.rfm_layers
        self.paired = PlannedTowers(Path(card.clip), question_tokens) if card.clip else None
        self._question_tokens = question_tokens

    def encode_tiles(self, pixels: Tensor) -> Tensor:
        """A plan encodes no tile."""
        raise NotImplementedError

    def watch_tiles(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """A plan encodes no tile."""
        raise NotImplementedError

    def build_prompt(self, question: str, history: Turns = ()) -> Prompt:
        """A prompt of the expected length."""
        return Prompt((), (0,) * self._question_tokens, (0,) * self.card.between_tokens)

    def assemble(self, prompt: Prompt, tokens: VisualTokens) -> Sequence:
        """A sequence of the right length and no width."""
        length = prompt.length(tokens)
        return Sequence(
            torch.empty(1, length, 0), torch.arange(len(tokens)), torch.arange(len(tokens), length)
        )

    def attend(
        self,
        sequence: Sequence,
        *,
        layer: int | None,
        rows: Tensor,
        columns: Tensor,
        blank: Tensor | None = None,
    ) -> Tensor:
        """Diffuse attention: the top share lies all over the image."""
        scores = torch.rand(len(columns), generator=torch.Generator().manual_seed(0)) + 1
        return scores / scores.sum()
