"""What is known of a scene before anything is read: sizes, levels, and where tokens lie."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor

from uhrqa.encoding import TileEncoder
from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Level, Pyramid
from uhrqa.raster import Raster, has_mask, in_source, whole_of
from uhrqa.tokens import VisualTokens
from uhrqa.vlm import SceneModel


class SceneShape:
    """The sizes of a raster seen through a model.

    Args:
        raster: where pixels would come from.
        model: what would encode them.
        encoder: tells where the tokens of a tile lie.
    """

    def __init__(self, raster: Raster, model: SceneModel, encoder: TileEncoder) -> None:
        self.raster = raster
        self.model = model
        self._encoder = encoder

    @property
    def size(self) -> Size:
        """Of the source image."""
        return self.raster.size

    @property
    def extent(self) -> Box:
        """Of the image that the scene is a window of, in the window's pixels; else of the scene."""
        x, y, *_ = in_source(self.raster, Box.whole(self.size))
        return Box.whole(whole_of(self.raster).size).moved(-x, -y)

    @property
    def pyramid(self) -> Pyramid:
        """The dynamic image pyramid this model is used with."""
        card = self.model.card
        return Pyramid.build(
            self.size, self.tile, card.level_one_side, stretch=card.stretch_thumbnail
        )

    @property
    def tile(self) -> int:
        """Side B of a tile in pixels."""
        return self.model.card.tile

    @property
    def views(self) -> tuple[int, ...]:
        """Longer sides in pixels of the views the model learned a map for, if it did."""
        return self.model.card.views

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder that answers."""
        return self.model.card.dims.decoder.layers

    def cell(self, level: Level) -> Fraction:
        """Level pixels along one side of a visual token; pooled tokens are larger."""
        return self._encoder.cell(level)

    @property
    def newline(self) -> Tensor | None:
        """The model's row separator, if it has one."""
        return self.model.newline

    def token_grid(self, level: Level) -> tuple[int, int]:
        """Rows and columns of tokens that show image, padding left out."""
        return level.cells(self.cell(level))

    def token_count(self, level: Level) -> int:
        """Visual tokens of a whole level, without separators."""
        rows, cols = self.token_grid(level)
        return rows * cols

    @property
    def may_hide(self) -> bool:
        """Whether there may be tokens that show no image: the raster has a mask."""
        return has_mask(self.raster)

    def places(self, level: Level) -> VisualTokens:
        """Where the tokens of a level lie, in raster order, as if all showed image.

        They have no embedding; nothing is read or encoded.
        """
        return self._encoder.places(level)

    def shown(self, box: Tensor) -> Box:
        """A token's box, cut at the image's edges; of a window, in pixels of what it is of."""
        return in_source(self.raster, Box(*box.tolist()).intersect(Box.whole(self.size)))
