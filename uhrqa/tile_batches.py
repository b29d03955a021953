"""Batches of tiles as a tower takes them: read and put together, ahead of use where that pays."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Event
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from uhrqa.ahead import made_ahead
from uhrqa.geometry import Box, Size
from uhrqa.ledger import Ledger
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import Pixels, Raster, has_mask, requests_made
from uhrqa.raster.formats import is_remote
from uhrqa.tile_pixels import TilePixels
from uhrqa.vlm.batching import TILE_BATCH

AHEAD = 2  # batches read before they are asked for, where the CPU would else wait


class TileBatch(NamedTuple):
    """Tiles read together.

    Attributes:
        tiles: T of them.
        seen: whether each is to be encoded.
        pixels: `[t, 3, B, B]` uint8 of those; pinned where they go to a GPU.
        shown: `[n, n]` bool of each of the T, tokens under which there is any image; None where all
            do.
    """

    tiles: Sequence[Tile]
    seen: list[bool]
    pixels: Tensor
    shown: list[Tensor | None]


def reads_ahead(raster: Raster, device: str) -> int:
    """Batches of an image's tiles that are read before they are asked for.

    On a CPU that encodes what lies on a disk, none; where another device encodes, or a server is
    waited for, the CPU has time.

    Args:
        raster: the image.
        device: kind of what encodes.
    """
    return AHEAD if device != "cpu" or is_remote(raster.path) else 0


class TileBatches:
    """Reads tiles of one image for one device.

    Args:
        raster: the image.
        fill: RGB where there is none.
        device: where pixels will go.
        ledger: takes the bytes that are read and, as stage `read`, the time that is waited for
            them: of what is read while a GPU encodes, none.
        ahead: batches read before they are asked for; as `reads_ahead` says, when None.
    """

    def __init__(
        self,
        raster: Raster,
        fill: tuple[int, int, int],
        device: torch.device,
        ledger: Ledger,
        *,
        ahead: int | None = None,
    ) -> None:
        self._raster = raster
        self._fill = fill
        self._device = device
        self._ledger = ledger
        self._ahead = reads_ahead(raster, device.type) if ahead is None else ahead
        self._pixels = TilePixels(raster)

    def read(
        self,
        level: Level,
        tiles: Sequence[Tile],
        side: int,
        *,
        masked: bool = False,
        hold: bool = False,
    ) -> Generator[TileBatch, None, None]:
        """Tiles batch by batch, to be closed where not all of them are taken.

        Args:
            level: whose tiles.
            tiles: which, those that share blocks of the file near each other.
            side: tokens n along a tile's side.
            masked: tiles that show no image are to be encoded, too.
            hold: they will likely be read once more, and are not encoded now.

        Raises:
            RasterError: the image cannot be read there.
        """
        parts = [tiles[start : start + TILE_BATCH] for start in range(0, len(tiles), TILE_BATCH)]
        # Where tiles are held, nothing is done with a batch meanwhile.
        depth = 0 if hold else self._ahead

        def make(part: Sequence[Tile], stopped: Event) -> TileBatch:
            return self._batch(level, part, side, masked=masked, hold=hold, stopped=stopped)

        with closing(made_ahead(make, parts, depth)) as batches:
            while True:
                with self._ledger.stage("read"):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch

    def overview(self, out: Size) -> Pixels:
        """The whole image in `out` pixels."""
        with self._ledger.stage("read"), self._noting():
            return self._raster.read(Box.whole(self._raster.size), out)

    def _batch(
        self,
        level: Level,
        tiles: Sequence[Tile],
        side: int,
        *,
        masked: bool,
        hold: bool,
        stopped: Event,
    ) -> TileBatch:
        pixels, mask = self._filled(level, tiles, hold=hold, stopped=stopped)
        shown = self._shown(mask, side)
        seen = [masked or cells is None or bool(cells.any()) for cells in shown]
        if not all(seen):  # moved up, as a new tensor would not be pinned
            kept = pixels[torch.tensor(seen)]
            pixels = pixels[: len(kept)].copy_(kept)
        return TileBatch(tiles, seen, pixels, shown)

    def _filled(
        self, level: Level, tiles: Sequence[Tile], *, hold: bool, stopped: Event
    ) -> tuple[Tensor, Tensor]:
        """`[T, 3, B, B]` uint8, filled where there is no image, and `[T, B, B]` where there is."""
        out = Size(level.tile, level.tile)
        batch = torch.empty(
            (len(tiles), *out, 3), dtype=torch.uint8, pin_memory=self._device.type == "cuda"
        )
        mask = torch.empty((len(tiles), *out), dtype=torch.bool)
        places = [((level, tile), level.box(tile)) for tile in tiles]
        with self._noting():
            read = self._pixels.read(places, out, hold=hold, stopped=stopped)
        for row, where, pixels in zip(batch.numpy(), mask.numpy(), read, strict=True):
            row[:], where[:] = pixels.array, pixels.mask
            if not pixels.mask.all():
                row[~pixels.mask] = self._fill
        return batch.permute(0, 3, 1, 2), mask

    def _shown(self, mask: Tensor, side: int) -> list[Tensor | None]:
        if not has_mask(self._raster):
            return [None] * len(mask)
        cells = adaptive_max_pool2d(mask[:, None].float(), side)[:, 0] > 0
        return [None if tile.all() else tile.clone() for tile in cells]

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note in the ledger what is taken from storage meanwhile.

        The raster counts for all that read it. The difference is this reader's where nothing else
        reads the same raster meanwhile: batches are made one after the other, by one thread, and a
        view is read before them or after. Two questions at once each need a raster of their own.
        """
        before, asked = self._raster.bytes_read, requests_made(self._raster)
        yield
        self._ledger.bytes_read += self._raster.bytes_read - before
        self._ledger.requests += requests_made(self._raster) - asked
