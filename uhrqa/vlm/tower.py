"""What a vision tower attends to inside a tile: one number and one key for each patch.

Heard in the layer that features are taken from, through `relevance.listening`; whole maps are held
for one tile at a time, and only where there is no class token. Knows nothing of families.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TowerListener:
    """Hears one layer of a vision tower.

    Args:
        layer: its index.
        class_token: the tower's first token stands for the whole tile.
    """

    def __init__(self, layer: int, class_token: bool) -> None:
        self.layer = layer
        self.class_token = class_token
        self._modules: list[nn.Module] = []  # in the order they run
        self._parts: list[Tensor] = []

    def __call__(self, module: nn.Module, query: Tensor, key: Tensor, scaling: float) -> None:
        """See `relevance.Listener`; a layer may come tile by tile, or in one call for all."""
        if not any(module is known for known in self._modules):
            self._modules.append(module)
        if len(self._modules) == self.layer + 1 and module is self._modules[-1]:
            found = patch_traits(query, key, scaling, self.class_token)
            self._parts.append(found.flatten(0, 1))

    def traits(self, tiles: int) -> Tensor:
        """`[T, S, 1 + d]` of all patches that were heard, in the order they came.

        Raises:
            ValueError: nothing was heard.
        """
        if not self._parts:
            raise ValueError(f"tower layer {self.layer} was not heard: is its attention probed?")
        return torch.cat(self._parts).unflatten(0, (tiles, -1))


def patch_traits(query: Tensor, key: Tensor, scaling: float, class_token: bool) -> Tensor:
    """How much each patch is attended to, and its key; both means over heads.

    Args:
        query: `[T, H, S, d]`.
        key: `[T, H, S, d]`.
        scaling: factor of the logits.
        class_token: the first token is one; then its attention counts, else the mean over patches.

    Returns:
        `[T, S', 1 + d]` float32: attention, then key; S' leaves a class token out.
    """
    rows = query[:, :, :1] if class_token else query
    seen = torch.stack(
        [
            (row.float() @ keys.float().transpose(1, 2) * scaling).softmax(-1).mean((0, 1))
            for row, keys in zip(rows, key, strict=True)
        ]
    )
    found = torch.cat([seen[..., None], key.float().mean(1)], -1)
    return found[:, 1:] if class_token else found


def fold(patches: Tensor, tokens: int) -> Tensor:
    """Means of the square groups of patches that each make a token.

    Args:
        patches: `[T, S, k]` in raster order.
        tokens: n * n a tile, S / (n * n) patches each.

    Returns:
        `[T, n * n, k]` in raster order.
    """
    count, width = patches.shape[0], patches.shape[2]
    side, cells = round(patches.shape[1] ** 0.5), round(tokens**0.5)
    cut = patches.reshape(count, cells, side // cells, cells, side // cells, width)
    return cut.mean((2, 4)).flatten(1, 2)
