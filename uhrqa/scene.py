"""A scene: a raster seen through a model for one question, encoded on demand, with a ledger.

Strategies ask it for tokens and relevance and never see pixels, prompts or devices. It knows
nothing of budgets.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from uhrqa.config import MOST_SEED
from uhrqa.errors import BudgetError, ConfigError
from uhrqa.features import FeatureCache, TileFeatures, TileKey
from uhrqa.geometry import Box, Size
from uhrqa.ledger import Ledger
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

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder that answers."""
        return self.model.card.dims.decoder.layers

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

    def tokens(self, level: Level, tiles: Iterable[Tile] | None = None) -> VisualTokens:
        """Visual tokens of some tiles of a level (all by default), in raster order.

        Tokens that show only padding are left out. Encodes what is not cached.

        Raises:
            BudgetError: more tiles than `max_tiles` would have to be encoded.
            RasterError: the image cannot be read there.
        """
        return self._see(level, tiles)[0]

    def watched(self, level: Level) -> tuple[VisualTokens, Tensor]:
        """All tokens of a level, and what the vision tower makes of each inside its tile.

        Returns:
            N tokens as `tokens` gives them, and `[N, 1 + d]` float32: how much the tower attends to
            a token, then its key. Pooled tokens have the mean of what they are made of.

        Raises:
            BudgetError: more tiles than `max_tiles` would have to be encoded.
            RasterError: the image cannot be read there.
        """
        tokens, order, features = self._see(level, watch=True)
        parts = [part.traits.flatten(0, 1) for part in features if part.traits is not None]
        traits = torch.cat(parts)
        return tokens, traits[order.to(traits.device)]

    def _see(
        self, level: Level, tiles: Iterable[Tile] | None = None, *, watch: bool = False
    ) -> tuple[VisualTokens, Tensor, list[TileFeatures]]:
        """Tokens of tiles, their order, and what they are taken from, tile after tile."""
        wanted = sorted(set(level.tiles() if tiles is None else tiles), key=_raster_order)
        features = self._encode(level, wanted, watch)
        tokens, order = self._lay_out(level, wanted, [part.embed for part in features])
        self.ledger.seen[level] += len(tokens)
        placement = self.model.placement
        placed = tokens if placement is None else placement.place(tokens, self.size)
        return placed, order, features

    def _encode(self, level: Level, tiles: list[Tile], watch: bool = False) -> list[TileFeatures]:
        fresh = [tile for tile in tiles if (level, tile) not in self._used]
        self._check_cap(level, len(fresh))
        have: dict[Tile, TileFeatures] = {}
        for tile in tiles:
            kept = self.features.get(self._key(level, tile))
            if kept is not None and not (watch and kept.traits is None):
                have[tile] = kept
        missing = [tile for tile in tiles if tile not in have]
        for start in range(0, len(missing), READ_BATCH):
            batch = missing[start : start + READ_BATCH]
            for tile, features in zip(batch, self._encode_batch(level, batch, watch), strict=True):
                have[tile] = features
                self.features.put(self._key(level, tile), features)
        self._note_tiles(level, fresh, missing)
        self.ledger.watched += watch * len(missing)
        return [have[tile] for tile in tiles]

    def _encode_batch(self, level: Level, tiles: list[Tile], watch: bool) -> list[TileFeatures]:
        with self.ledger.stage("read"):
            pixels = self._read(level, tiles)
        pool = self._pool(level)
        with self.ledger.stage("encode"):
            embed, traits = (
                self.model.watch_tiles(pixels) if watch else (self.model.encode_tiles(pixels), None)
            )
            embed = pool_tiles(embed, pool)
            if embed.is_cuda:  # else the time would show in the next stage
                torch.cuda.synchronize(embed.device)
        # A row of a batch is a view that would keep the whole batch alive.
        if traits is None:
            return [TileFeatures(row.clone()) for row in embed]
        pairs = zip(embed, pool_tiles(traits, pool), strict=True)
        return [TileFeatures(row.clone(), own.clone()) for row, own in pairs]

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
        return level.size, level.tile, self._pool(level), tile

    def _read(self, level: Level, tiles: list[Tile]) -> Tensor:
        before = self.raster.bytes_read
        fill = self.model.fill
        batch = np.empty((len(tiles), level.tile, level.tile, 3), np.uint8)
        for row, tile in zip(batch, tiles, strict=True):
            pixels = self.raster.read(level.box(tile), Size(level.tile, level.tile))
            row[:] = np.where(pixels.mask[..., None], pixels.array, fill)
        self.ledger.bytes_read += self.raster.bytes_read - before
        return torch.from_numpy(batch).permute(0, 3, 1, 2)

    def _lay_out(
        self, level: Level, tiles: list[Tile], features: list[Tensor]
    ) -> tuple[VisualTokens, Tensor]:
        """Tokens of tiles in the raster order of the level's whole token grid, and that order."""
        cell = float(self.cell(level))
        side = self.model.card.dims.vision.side // self._pool(level)
        corner = torch.tensor([(tile.row * side, tile.col * side) for tile in tiles])
        offset = torch.cartesian_prod(torch.arange(side), torch.arange(side))
        place = (corner[:, None] + offset).flatten(0, 1)  # [T * n * n, 2] row, col
        rows, cols = self.token_grid(level)
        shown = (place[:, 0] < rows) & (place[:, 1] < cols)
        order = (place[:, 0] * (cols + side) + place[:, 1]).argsort()
        order = order[shown[order]]
        place = place[order]
        sy, sx = level.scale
        x0, y0 = place[:, 1] * (cell / sx), place[:, 0] * (cell / sy)
        box = torch.stack([x0, y0, x0 + cell / sx, y0 + cell / sy], 1).float()
        embed = torch.cat([part.flatten(0, 1) for part in features])
        count = len(place)
        tokens = VisualTokens(
            embed[order.to(embed.device)],
            box,
            torch.full((count,), level.index, dtype=torch.int64),
            place[:, 0],
            place[:, 1],
            torch.tensor([[rows, cols]]).expand(count, -1),
            torch.ones(count, dtype=torch.int64),
        )
        return tokens, order

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

    def shown(self, box: Tensor) -> Box:
        """A token's box, cut at the image's edges."""
        return Box(*box.tolist()).intersect(Box.whole(self.size))


def _raster_order(tile: Tile) -> tuple[int, int]:
    return tile.row, tile.col
