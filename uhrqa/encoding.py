"""Tiles read, encoded and kept: what of them shows image, and what the model makes of them.

Knows nothing of questions, strategies or caps on tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import torch
from torch import Tensor

from uhrqa.features import PAIRED, EncodedTile, FeatureCache, TileKey
from uhrqa.geometry import Size
from uhrqa.ledger import Ledger
from uhrqa.outline import in_order, outline
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import Pixels, Raster, has_mask
from uhrqa.tile_batches import TileBatch, TileBatches
from uhrqa.tile_pixels import z_order
from uhrqa.tokens import VisualTokens, pool_tiles
from uhrqa.vlm import SceneModel
from uhrqa.vlm.paired import Paired


class TileEncoder:
    """Encodes tiles of one image, each once.

    Args:
        raster: where pixels come from.
        model: what encodes.
        features: encoded tiles, shared between questions.
        ledger: where reads, tiles and their time are noted.
        ahead: batches of tiles read before they are asked for, see `TileBatches`.
    """

    def __init__(
        self,
        raster: Raster,
        model: SceneModel,
        features: FeatureCache,
        ledger: Ledger,
        ahead: int | None = None,
    ) -> None:
        self.raster = raster
        self.model = model
        self.features = features
        self.ledger = ledger
        self._levels: dict[tuple[int, ...], Level] = {}  # by index and grid of tokens
        self._like: Tensor | None = None  # tokens laid out before, without any
        self._batches = TileBatches(raster, model.fill, model.device, ledger, ahead=ahead)
        features.belong_to(raster, model)

    def pooling(self, level: Level) -> int:
        """Side of the groups of tokens that are averaged at a level."""
        return self.model.card.pooling(level.index)

    def cell(self, level: Level) -> Fraction:
        """Level pixels along one side of a visual token."""
        return self.model.card.pixels_per_token * self.pooling(level)

    def side(self, level: Level) -> int:
        """Visual tokens along a tile's side."""
        return self.model.card.dims.vision.side // self.pooling(level)

    def level_of(self, tokens: VisualTokens) -> Level:
        """The level that tokens were laid out of."""
        return self._levels[int(tokens.level[0]), *tokens.grid[0].tolist()]

    def key(self, level: Level, tile: Tile, pooling: int | None = None) -> TileKey:
        """Where a tile is kept, pooled as the level is by default."""
        pooled = self.pooling(level) if pooling is None else pooling
        return level.size, level.source, level.origin, level.tile, pooled, tile

    def encode(
        self, level: Level, tiles: Sequence[Tile], *, masked: bool = False, watch: bool = False
    ) -> tuple[dict[Tile, EncodedTile], list[Tile]]:
        """Tiles of a level, from the cache where they are there.

        A tile that shows no image is read and not encoded, unless it is asked for.

        Args:
            level: whose tiles.
            tiles: which.
            masked: also encode tiles that show no image.
            watch: also keep what the vision tower makes of each token.

        Returns:
            Each tile, and those that were not in the cache.
        """
        with self.ledger.stage("read"):
            found = {tile: self.features.get(self.key(level, tile)) for tile in tiles}
        have = {
            tile: entry
            for tile, entry in found.items()
            if entry is not None and _is_enough(entry, masked=masked, watch=watch)
        }
        missing = [tile for tile in tiles if tile not in have]
        order = sorted(missing, key=z_order)
        with closing(self._batches.read(level, order, self.side(level), masked=masked)) as batches:
            for batch in batches:
                self._keep(level, batch, have, watch)
        return have, missing

    def encode_paired(
        self, level: Level, towers: Paired, places: Sequence[int]
    ) -> tuple[Tensor, int]:
        """Tiles as paired towers see them, kept like the model's own.

        Args:
            level: whose tiles.
            towers: what encodes.
            places: T tiles by their number in raster order.

        Returns:
            `[T, g, g, P]`, and how many were encoded for it.
        """
        tiles = [Tile(*divmod(place, level.grid[1])) for place in places]
        keys = [self.key(level, tile, PAIRED) for tile in tiles]
        have = {
            key: found.features
            for key in keys
            if (found := self.features.get(key)) is not None and found.features is not None
        }
        missing = [key for key in keys if key not in have]
        reads = self._batches.read(level, [key[-1] for key in missing], 1, masked=True)
        with closing(reads) as batches:
            for batch in batches:
                with self.ledger.stage("relevance"):
                    encoded = towers.encode(batch.pixels)
                for tile, patches in zip(batch.tiles, encoded, strict=True):
                    key = self.key(level, tile, PAIRED)
                    have[key] = patches.clone()
                    self.features.put(key, EncodedTile(have[key]))
        return torch.stack([have[key] for key in keys]), len(missing)

    def _keep(
        self, level: Level, batch: TileBatch, have: dict[Tile, EncodedTile], watch: bool
    ) -> None:
        """Encode what is seen of a batch, and keep all of it."""
        encoded = self._encoded(level, batch.pixels, watch)
        for tile, cells, is_seen in zip(batch.tiles, batch.shown, batch.seen, strict=True):
            features, traits = next(encoded) if is_seen else (None, None)
            entry = EncodedTile(features, cells, traits)
            have[tile] = entry
            self.features.put(self.key(level, tile), entry)
        seen = sum(batch.seen)
        self.ledger.encoded[level] += seen
        self.ledger.watched += watch * seen
        if seen < len(batch.seen):
            self.ledger.blank[level] += len(batch.seen) - seen

    def _encoded(
        self, level: Level, pixels: Tensor, watch: bool
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """`[n, n, D]` of each tile and, where it is watched, `[n, n, 1 + d]`."""
        if not len(pixels):
            return
        pool = self.pooling(level)
        with self.ledger.stage("encode"):
            embed, traits = (
                self.model.watch_tiles(pixels) if watch else (self.model.encode_tiles(pixels), None)
            )
            embed = pool_tiles(embed, pool)
            if embed.is_cuda:  # else the time would show in the next stage
                torch.cuda.synchronize(embed.device)
        pooled = None if traits is None else pool_tiles(traits, pool)
        for index, row in enumerate(embed):
            # A row of a batch is a view that would keep the whole batch alive.
            yield row.clone(), None if pooled is None else pooled[index].clone()

    def shown_cells(self, level: Level) -> Tensor:
        """`[rows, cols]` bool: tokens of a level that show any image.

        Tiles that are not kept are read; nothing is encoded. What is read stays, up to a bound,
        until it is encoded.
        """
        rows, cols = level.cells(self.cell(level))
        down, right = level.grid
        side = self.side(level)
        cells = torch.ones(down, right, side, side, dtype=torch.bool)
        if has_mask(self.raster):
            kept = {tile: self.features.get(self.key(level, tile)) for tile in level.tiles()}
            found = [(tile, entry.shown) for tile, entry in kept.items() if entry is not None]
            missing = [tile for tile, entry in kept.items() if entry is None]
            for batch in self._batches.read(level, sorted(missing, key=z_order), side, hold=True):
                found += zip(batch.tiles, batch.shown, strict=True)
            for tile, shown_here in found:
                if shown_here is not None:
                    cells[tile.row, tile.col] = shown_here
        whole = cells.transpose(1, 2).reshape(down * side, -1)
        return whole[:rows, :cols]

    def overview(self, out: Size) -> Pixels:
        """The whole image in `out` pixels."""
        return self._batches.overview(out)

    def lay_out(
        self, level: Level, encoded: dict[Tile, EncodedTile], masked: bool
    ) -> tuple[VisualTokens, Tensor | None]:
        """Tokens of tiles in the raster order of the level's whole token grid.

        Returns:
            N tokens, and `[N, 1 + d]` what the tower makes of them where all tiles were watched.
        """
        seen = {tile: entry for tile, entry in encoded.items() if entry.features is not None}
        if not seen:
            return self._nothing(), None
        rows, cols = level.cells(self.cell(level))
        self._levels[level.index, rows, cols] = level
        side = self.side(level)
        places, order = outline(level, list(seen), self.cell(level), side)
        if not masked and any(entry.shown is not None for entry in seen.values()):
            every = torch.ones(side, side, dtype=torch.bool)
            cells = [every if entry.shown is None else entry.shown for entry in seen.values()]
            shown = torch.stack(cells).flatten()[order]
            places, order = places.take(shown), order[shown]
        features = [entry.features for entry in seen.values() if entry.features is not None]
        traits = [entry.traits for entry in seen.values() if entry.traits is not None]
        embed = in_order(features, order)
        if embed.shape[1]:
            self._like = embed.new_empty(0, embed.shape[1])
        is_watched = len(traits) == len(seen)
        return replace(places, embed=embed), in_order(traits, order) if is_watched else None

    def places(self, level: Level) -> VisualTokens:
        """All tokens of a level in raster order, without embedding and as if all showed image."""
        return outline(level, list(level.tiles()), self.cell(level), self.side(level))[0]

    def count_in(self, level: Level, tokens: VisualTokens, tiles: Iterable[Tile]) -> int:
        """How many of a level's tokens lie in some of its tiles."""
        inside = torch.zeros(level.grid, dtype=torch.bool)
        for tile in tiles:
            inside[tile.row, tile.col] = True
        side = self.side(level)
        return int(inside[tokens.row // side, tokens.col // side].sum())

    def _nothing(self) -> VisualTokens:
        """No token, of the type and on the device of those that were laid out before."""
        none = VisualTokens.empty(self.model.card.dims.token_width)
        return none if self._like is None else replace(none, embed=self._like)


def _is_enough(entry: EncodedTile, *, masked: bool, watch: bool) -> bool:
    """Whether a kept tile has what is asked for; one without image has no features to keep."""
    if entry.features is None:
        return not masked
    return not watch or entry.traits is not None
