"""A scene: a raster seen through a model for one question, encoded on demand, with a ledger.

Strategies ask it for tokens and relevance and never see pixels, prompts or devices. It knows
nothing of budgets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from uhrqa.config import MOST_SEED
from uhrqa.errors import BudgetError, ConfigError
from uhrqa.features import FeatureCache, TileKey
from uhrqa.geometry import Box, Size
from uhrqa.ledger import Ledger
from uhrqa.outline import in_order, outline
from uhrqa.pyramid import Level, Pyramid, Tile
from uhrqa.raster import Raster
from uhrqa.relevance_pass import RelevanceReader
from uhrqa.tokens import VisualTokens, pool_tiles
from uhrqa.vlm import Prompt, VisionLanguageModel

READ_BATCH = 64  # tiles whose pixels are in memory at once


class Scene:
    """One image and one question, seen through a model.

    Args:
        raster: where pixels come from.
        model: what encodes and attends.
        question: the user's words.
        features: encoded tiles shared with other questions about the same image.
        max_tiles: cap on tiles encoded for this question.
        seed: of every random choice a strategy makes.

    Raises:
        QuestionError: the question is empty or holds the image token.
        ConfigError: the seed is out of range.
        ValueError: the cache holds another image or model.
    """

    def __init__(
        self,
        raster: Raster,
        model: VisionLanguageModel,
        question: str,
        *,
        features: FeatureCache | None = None,
        max_tiles: int | None = None,
        seed: int = 0,
    ) -> None:
        self.raster = raster
        self.model = model
        self.prompt: Prompt = model.build_prompt(question)
        self.features = FeatureCache() if features is None else features
        self.max_tiles = max_tiles
        if not 0 <= seed <= MOST_SEED:
            raise ConfigError(f"seed {seed}: give a whole number from 0 to 2**63 - 1")
        self.seed = seed
        self.ledger = Ledger()
        self._reader = RelevanceReader(model, self.prompt, self.ledger)
        self._used: set[tuple[Level, Tile]] = set()
        self.features.belong_to(raster, model)

    @property
    def size(self) -> Size:
        """Of the source image."""
        return self.raster.size

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

    def cell(self, level: Level) -> Fraction:
        """Level pixels along one side of a visual token; pooled tokens are larger."""
        return self.model.card.pixels_per_token * self._pool(level)

    def _pool(self, level: Level) -> int:
        card = self.model.card
        return 1 if level.index == 0 and not card.pool_thumbnail else card.pool

    @property
    def newline(self) -> Tensor | None:
        """The model's row separator, if it has one."""
        return self.model.newline

    @property
    def tiles_left(self) -> int | None:
        """Tiles this question may still use; None when there is no cap.

        Cached tiles count too, so that an answer does not depend on questions asked before.
        """
        return None if self.max_tiles is None else self.max_tiles - len(self._used)

    def require_tiles(self, levels: Iterable[Level]) -> None:
        """Refuse before anything is read when whole levels are more than the cap on tiles.

        Raises:
            BudgetError: names the least feasible cap.
        """
        needed = sum(level.tile_count for level in levels)
        if self.max_tiles is not None and needed > self.max_tiles:
            raise BudgetError(
                f"--max-tiles {self.max_tiles}: this strategy needs at least {needed} tiles here; "
                f"allow {needed}, or use -s thumbnail (1 tile)",
                least=needed,
            )

    def generator(self) -> torch.Generator:
        """A fresh random source that depends on the seed alone."""
        return torch.Generator().manual_seed(self.seed)

    def token_grid(self, level: Level) -> tuple[int, int]:
        """Rows and columns of tokens that show image, padding left out."""
        return level.cells(self.cell(level))

    def token_count(self, level: Level) -> int:
        """Visual tokens of a whole level, without separators."""
        rows, cols = self.token_grid(level)
        return rows * cols

    def tokens(
        self, level: Level, tiles: Iterable[Tile] | None = None, *, placed: int = 1
    ) -> VisualTokens:
        """Visual tokens of some tiles of a level (all by default), in raster order.

        Tokens that show only padding are left out. Encodes what is not cached.

        Args:
            level: the level.
            tiles: some of its tiles.
            placed: how often the checkpoint's tables of place and scale are added, where it has
                any.

        Raises:
            BudgetError: more tiles than `max_tiles` would have to be encoded.
            RasterError: the image cannot be read there.
        """
        wanted = sorted(set(level.tiles() if tiles is None else tiles), key=_raster_order)
        features = self._encode(level, wanted)
        bare, order = self._outline(level, wanted)
        tokens = replace(bare, embed=in_order([features[tile] for tile in wanted], order))
        self.ledger.seen[level] += len(tokens)
        return self.placed(tokens, placed)

    def placed(self, tokens: VisualTokens, times: int = 1) -> VisualTokens:
        """Tokens with the checkpoint's tables of place and scale added, where it has any."""
        if self.model.placement is not None:
            for _ in range(times):
                tokens = self.model.placement.place(tokens, self.size)
        return tokens

    def _encode(self, level: Level, tiles: list[Tile]) -> dict[Tile, Tensor]:
        fresh = [tile for tile in tiles if (level, tile) not in self._used]
        self._check_cap(level, len(fresh))
        found = {tile: self.features.get(self._key(level, tile)) for tile in tiles}
        have = {tile: features for tile, features in found.items() if features is not None}
        missing = [tile for tile in tiles if tile not in have]
        for start in range(0, len(missing), READ_BATCH):
            batch = missing[start : start + READ_BATCH]
            with self.ledger.stage("read"):
                pixels = self._read(level, batch)
            with self.ledger.stage("encode"):
                encoded = pool_tiles(self.model.encode_tiles(pixels), self._pool(level))
                if encoded.is_cuda:  # else the time would show in the next stage
                    torch.cuda.synchronize(encoded.device)
            for tile, features in zip(batch, encoded, strict=True):
                # A row of a batch is a view that would keep the whole batch alive.
                have[tile] = features.clone()
                self.features.put(self._key(level, tile), have[tile])
        self._note_tiles(level, fresh, missing)
        return have

    def _note_tiles(self, level: Level, fresh: list[Tile], missing: list[Tile]) -> None:
        self.ledger.encoded[level] += len(missing)
        self.ledger.reused[level] += len(set(fresh) - set(missing))
        self._used.update((level, tile) for tile in fresh)

    def _check_cap(self, level: Level, fresh: int) -> None:
        left = self.tiles_left
        if left is not None and fresh > left:
            needed = len(self._used) + fresh
            raise BudgetError(
                f"--max-tiles {self.max_tiles}: level {level.index} needs {fresh} tiles more, "
                f"{needed} in all; allow at least {needed}, or use -s thumbnail (1 tile)",
                least=needed,
            )

    def _key(self, level: Level, tile: Tile) -> TileKey:
        return level.size, level.origin, level.tile, self._pool(level), tile

    def _read(self, level: Level, tiles: list[Tile]) -> Tensor:
        before = self.raster.bytes_read
        fill = self.model.fill
        batch = np.empty((len(tiles), level.tile, level.tile, 3), np.uint8)
        for row, tile in zip(batch, tiles, strict=True):
            pixels = self.raster.read(level.box(tile), Size(level.tile, level.tile))
            row[:] = np.where(pixels.mask[..., None], pixels.array, fill)
        self.ledger.bytes_read += self.raster.bytes_read - before
        return torch.from_numpy(batch).permute(0, 3, 1, 2)

    def outline(self, level: Level) -> VisualTokens:
        """All tokens of a level in raster order, without embeddings; encodes nothing."""
        return self._outline(level, list(level.tiles()))[0]

    def _outline(self, level: Level, tiles: list[Tile]) -> tuple[VisualTokens, Tensor]:
        side = self.model.card.dims.vision.side // self._pool(level)
        return outline(level, tiles, self.cell(level), side)

    def features_of(self, tokens: VisualTokens) -> Tensor:
        """`[N, D]` what enters the decoder, without what its inner layers add."""
        return tokens.embed[:, : self.model.card.dims.decoder.width]

    def relevance_source(self, source: str) -> str:
        """Which attention is read: `rfm` or `llm`; `auto` takes the RFM where there is one.

        Raises:
            ConfigError: `rfm` where the model has none, or another word.
        """
        return self._reader.source(source)

    def relevance(
        self,
        tokens: VisualTokens,
        context: VisualTokens | None = None,
        *,
        source: str = "auto",
        layer: int | None = None,
        rows: str = "last",
    ) -> Tensor:
        """How much the question attends to each of `tokens`, in one relevance pass.

        Args:
            tokens: N tokens in raster order.
            context: tokens that stand before them in the pass but get no score (the thumbnail).
            source: `rfm`, `llm` or `auto`.
            layer: decoder layer for `llm`, negative from the last one; the card's by default.
            rows: `last` text token, or the mean over all `text` tokens behind the image.

        Returns:
            `[N]` float32, softmax over `tokens` alone, mean over heads; sums to 1. Where the pass
            would not fit the model's context, neighbouring tokens are pooled and share a score.

        Raises:
            ConfigError: an attention the model does not have, or another word.
            BudgetError: question and `context` leave no room in the model's context.

        Source: Luo et al. 2025, Sec. 4.1.2; Dang et al. 2026, Eq. 2.
        """
        return self._reader.read(tokens, context, source=source, layer=layer, rows=rows)

    def grid_relevance(self, tokens: VisualTokens, context: VisualTokens, blank: Tensor) -> Tensor:
        """Relevance as the released LRS-VQA code reads it: over separators and empty cells, too.

        Args:
            tokens: N tokens of a whole grid with its row ends.
            context: the thumbnail.
            blank: `[N]` bool, cells that hold no tile: nothing attends to them, but the softmax
                runs over them.

        Returns:
            `[N]` float32, from the Region Focus Module's last layer, last text token, mean over
            heads.

        Raises:
            ConfigError: the model has no Region Focus Module.
        """
        return self._reader.read_grid(tokens, context, blank)

    def whole_relevance(self, tokens: VisualTokens, *, layer: int) -> Tensor:
        """Relevance as the released UHR-BAT reads it: a softmax over the whole sequence, text too.

        Args:
            tokens: N tokens in raster order; no row ends are added.
            layer: decoder layer, negative from the last one.

        Returns:
            `[N]` float32, last text token, mean over heads; their sum is below 1.

        Raises:
            ConfigError: the decoder has no such layer.
        """
        return self._reader.read_whole(tokens, layer)

    def shown(self, box: Tensor) -> Box:
        """A token's box, cut at the image's edges."""
        return Box(*box.tolist()).intersect(Box.whole(self.size))


def _raster_order(tile: Tile) -> tuple[int, int]:
    return tile.row, tile.col
