"""Tiles go through a tower in batches, as many at once as memory has room for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from uhrqa.errors import SmallerBatchWarning, is_out_of_memory

TILE_BATCH = 32  # tiles that are read, and go through a tower, together

Result = TypeVar("Result")


@dataclass
class Batching:
    """How many tiles are encoded at once; fewer from the first time that memory ran out.

    Attributes:
        size: tiles in a batch.
    """

    size: int = TILE_BATCH
    _is_told: bool = False

    def run(self, work: Callable[[Tensor], Result], pixels: Tensor) -> Iterator[Result]:
        """What some work makes of tiles, batch by batch.

        Where memory runs out, the batch is halved and the same tiles are tried again.

        Args:
            work: of a batch `[t, 3, B, B]`.
            pixels: `[T, 3, B, B]`.

        Raises:
            RuntimeError: torch's own, where not even one tile fits. MemoryError likewise.
        """
        done = 0
        while done < len(pixels):
            batch = pixels[done : done + self.size]
            try:
                result = work(batch)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                result = None
            if result is None:  # behind the handler: the error held the tensors that were there
                self._halve(len(batch))
                continue
            yield result
            done += len(batch)

    def _halve(self, tiles: int) -> None:
        self.size = (tiles + 1) // 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if not self._is_told:
            self._is_told = True
            warnings.warn(
                f"memory ran out with {tiles} tiles encoded at once; going on with half as many "
                "or fewer, which is slower",
                SmallerBatchWarning,
                stacklevel=4,
            )
