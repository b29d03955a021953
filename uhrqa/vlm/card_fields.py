"""What must be known of a checkpoint before its weights are read. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from uhrqa.dims import Dims
from uhrqa.vlm.hub import MARK, cached_snapshot
from uhrqa.vlm.sizes import read_context, read_dims

OWN = ("name", "views", "overruled")
"""Fields of a card that its file does not give."""
LEVEL_ONE_TILES = 3  # 1008 px for 336 px tiles, as in LRS-VQA


@dataclass(frozen=True)
class Card:
    """A checkpoint's geometry and defaults.

    Attributes:
        name: what the user calls it.
        family: `model_type` of its configuration.
        weights: a directory, or `hub:org/name`, with `@revision` or without.
        config: the checkpoint's `config.json`; until its files are at hand, the part that gives
            its dimensions.
        min_side: longer side of pyramid level 1, in pixels; three tiles when the card has none.
        stretch_thumbnail: the thumbnail fills its tile (LLaVA-NeXT) or keeps its shape (LRS-VQA).
        tile_side: of a tile in pixels, for towers that take any size; the tower's own when None.
        pool: side of the groups of tokens that are averaged, 1 for none.
        pool_thumbnail: the thumbnail's tokens are pooled as well.
        row_ends: every row of tokens of a level ends with the model's learned newline.
        packing: `raster`, row by row over a whole level, or `tiles`, one tile after the other.
        between: text between two levels.
        strategy: default strategy.
        budget: default number of visual tokens.
        options: defaults of the strategies' own options, by strategy.
        relevance_layer: decoder layer read for `relevance=llm`; the middle one when None.
        rfm: file of a Region Focus Module, relative to the weights.
        rfm_layers: its layers R, for plans until the file is at hand.
        placement: file of placement tables, relative to the weights.
        prompt: template with `{question}` and one image token, for tokenizers that bring none;
            empty where only the checkpoint's own will do.
        template: the tokenizer's chat template, where there is one, goes before `prompt`.
        history: earlier turns of a conversation in a prompt; 0 where it learned from single ones.
        layout: release of an original LLaVA checkpoint, which gives other defaults.
        vision_tower: directory of a vision tower that the weights lack.
        clip: directory of a whole CLIP or SigLIP, whose text tower `relevance=clip` reads.
        notice: one line the user should read whenever this model answers.
        licence: of the weights.
        paper: where the model is described.
        notes: one line for `uhrqa models`.
        views: longer sides in pixels of the views that the files hold a learned map for.
        overruled: one line about numbers of the card that its files contradict; theirs hold.
    """

    name: str
    family: str
    weights: str
    config: Mapping[str, Any] = field(repr=False)
    min_side: int | None = None
    stretch_thumbnail: bool = True
    tile_side: int | None = None
    pool: int = 1
    pool_thumbnail: bool = False
    row_ends: bool = False
    packing: str = "raster"
    between: str | None = None
    strategy: str = "rfm-dip"
    budget: int = 4000
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    relevance_layer: int | None = None
    rfm: str | None = None
    rfm_layers: int = 0
    placement: str | None = None
    prompt: str = "USER: <image>\n{question} ASSISTANT:"
    template: bool = True
    history: int = 4
    layout: str | None = None
    vision_tower: str | None = None
    clip: str | None = None
    notice: str | None = None
    licence: str = "see the checkpoint"
    paper: str = ""
    notes: str = ""
    views: tuple[int, ...] = ()
    overruled: str | None = None

    @cached_property
    def dims(self) -> Dims:
        """Layer dimensions for the cost formulas."""
        return read_dims(self.config, tile=self.tile_side)

    @property
    def tile(self) -> int:
        """Side B of a tile, in pixels."""
        return self.dims.vision.tile

    @property
    def pixels_per_token(self) -> Fraction:
        """Level pixels along one side of a visual token that is not pooled.

        A tower that leaves some pixels at a tile's edge unread (384 px in patches of 14) counts as
        if its patches were that much larger.
        """
        return Fraction(self.tile, self.dims.vision.side)

    def pooling(self, level: int) -> int:
        """Side of the groups of tokens that are averaged at a level, by its index."""
        return 1 if level == 0 and not self.pool_thumbnail else self.pool

    @property
    def tokens_per_tile(self) -> int:
        """Visual tokens of one tile, pooled."""
        return self.dims.vision.features // self.pool**2

    @property
    def level_one_side(self) -> int:
        """Longer side of pyramid level 1, in pixels."""
        return self.min_side or LEVEL_ONE_TILES * self.tile

    @property
    def context(self) -> int:
        """Longest sequence the decoder was made for."""
        return read_context(self.config)

    @property
    def between_tokens(self) -> int:
        """Tokens of the text between two levels, as near as can be told without the tokenizer."""
        return len(re.findall(r"<\|.*?\|>|[^<\s]+", self.between or ""))

    @property
    def directory(self) -> Path | None:
        """Where the weights lie, or None for a hub id."""
        return None if self.weights.startswith(MARK) else Path(self.weights)

    def find_weights(self) -> Path:
        """Where they lie, in the hub cache if need be.

        Raises:
            CheckpointError: a hub id that is not in the cache.
        """
        return self.directory or cached_snapshot(self.weights.removeprefix(MARK))
