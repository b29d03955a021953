"""Visual tokens as a struct of arrays, and the separators that end their rows.

Knows nothing of images, models or questions: a token is an embedding, the source box it shows, its
level, its row in that level's grid, and how many encoder tokens it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from uhrqa.geometry import Size


@dataclass(frozen=True, slots=True)
class VisualTokens:
    """N visual tokens after projector and pooling.

    Attributes:
        embed: `[N, D]`, on the model's device.
        box: `[N, 4]` float32, XYXY source pixels, on the CPU like all that follow.
        level: `[N]` int64, pyramid level.
        row: `[N]` int64, row in the level's token grid; of a merged token the mean, rounded.
        col: `[N]` int64, column there, alike.
        grid: `[N, 2]` int64, rows and columns of that grid.
        weight: `[N]` int64, encoder tokens it stands for: 1, more when merged, 0 for a separator.
    """

    embed: Tensor
    box: Tensor
    level: Tensor
    row: Tensor
    col: Tensor
    grid: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return int(self.embed.shape[0])

    @property
    def is_separator(self) -> Tensor:
        """`[N]` bool: newline tokens, which show nothing."""
        return self.weight == 0

    def take(self, index: Tensor) -> VisualTokens:
        """The tokens at `index` (`[K]` int64, or a `[N]` bool mask), in that order."""
        on_device = index.to(self.embed.device)
        parts = [getattr(self, field.name)[index] for field in fields(self)[1:]]
        return VisualTokens(self.embed[on_device], *parts)

    def runs(self) -> Tensor:
        """`[N]` int64, how often the level has changed before each token."""
        changes = (self.level[1:] != self.level[:-1]).long()
        return torch.cat([changes.new_zeros(min(1, len(self))), changes]).cumsum(0)

    @property
    def level_changes(self) -> int:
        """How often the level changes from one token to the next."""
        return int(self.runs()[-1]) if len(self) else 0

    def centres(self) -> Tensor:
        """`[N, 2]` (x, y) of the boxes' centres, source pixels."""
        return (self.box[:, :2] + self.box[:, 2:]) / 2

    @classmethod
    def cat(cls, parts: Sequence[VisualTokens]) -> VisualTokens:
        """All tokens of `parts`, in order."""
        columns = [torch.cat([getattr(p, field.name) for p in parts]) for field in fields(cls)]
        return cls(*columns)

    @classmethod
    def empty(cls, width: int) -> VisualTokens:
        """No token, of embeddings `width` wide."""
        none = torch.zeros(0, dtype=torch.int64)
        grid = torch.zeros(0, 2, dtype=torch.int64)
        return cls(torch.zeros(0, width), torch.zeros(0, 4), none, none, none, grid, none)

    def merge(self) -> VisualTokens:
        """One token for all: mean embedding, enclosing box, summed weight.

        Source: Dang et al. 2026, Eq. 10.
        """
        box = torch.cat([self.box[:, :2].amin(0), self.box[:, 2:].amax(0)])
        mean = self.embed.float().mean(0, keepdim=True).to(self.embed.dtype)
        row, col = (part.double().mean(0).round().long()[None] for part in (self.row, self.col))
        weight = self.weight.sum(0)[None]
        return VisualTokens(mean, box[None], self.level[:1], row, col, self.grid[:1], weight)


def end_rows(tokens: VisualTokens, newline: Tensor | None) -> VisualTokens:
    """Put a separator after the last token of every row that holds one.

    Tokens must be in raster order. With `newline` None the tokens come back as they are.

    Args:
        tokens: N tokens of one or more levels.
        newline: `[D]`, the model's learned row end.
    """
    if newline is None or len(tokens) == 0:
        return tokens
    changes = (tokens.row[1:] != tokens.row[:-1]) | (tokens.level[1:] != tokens.level[:-1])
    ends = torch.cat([changes.nonzero().flatten(), torch.tensor([len(tokens) - 1])])
    last = tokens.take(ends)
    corner = torch.cat([last.box[:, 2:], last.box[:, 2:]], dim=1)
    embed = newline.to(tokens.embed).expand(len(ends), -1)
    none = torch.zeros_like(last.weight)
    marks = VisualTokens(embed, corner, last.level, last.row, last.col + 1, last.grid, none)
    place = torch.cat([torch.arange(len(tokens)) * 2, ends * 2 + 1])
    return VisualTokens.cat([tokens, marks]).take(place.argsort())


def fit_rows(tokens: VisualTokens, order: Tensor, budget: int, newline: Tensor | None) -> Tensor:
    """Which tokens fit a budget when every row they touch costs one separator more.

    Args:
        tokens: N tokens.
        order: `[K]` indices, most wanted first.
        budget: tokens and separators together.
        newline: the separator, or None when rows cost nothing.

    Returns:
        The longest prefix of `order` that fits, sorted (raster order).
    """
    cost = torch.arange(1, len(order) + 1)
    if newline is not None:
        seen: set[tuple[int, int]] = set()
        rows = zip(tokens.level[order].tolist(), tokens.row[order].tolist(), strict=True)
        fresh = [key not in seen and not seen.add(key) for key in rows]  # type: ignore[func-returns-value]
        cost = cost + torch.tensor(fresh, dtype=torch.int64).cumsum(0)
    return order[: int((cost <= budget).sum())].sort().values


def merge_groups(
    tokens: VisualTokens, member: Tensor, group: Tensor, share: Tensor
) -> VisualTokens:
    """Weighted means of groups of tokens; a token may be in several.

    Args:
        tokens: N tokens of one level.
        member: `[P]` indices of tokens.
        group: `[P]` the group of each, 0 to G - 1.
        share: `[P]` of the member in its group; they sum to 1.

    Returns:
        G tokens: mean embedding and place, enclosing box, summed weight.
    """
    count, device = int(group.max()) + 1, tokens.embed.device
    embed = torch.zeros(count, tokens.embed.shape[1], device=device)
    place = torch.zeros(count, 2, dtype=torch.float64)
    for part in torch.split(torch.arange(len(member)), 4096):
        rows, where, own = member[part], group[part], share[part].double()[:, None]
        embed.index_add_(
            0, where.to(device), tokens.embed[rows.to(device)].float() * own.float().to(device)
        )
        place.index_add_(0, where, torch.stack([tokens.row[rows], tokens.col[rows]], 1) * own)
    index, boxes = group[:, None].expand(-1, 2), tokens.box[member]
    low = torch.full((count, 2), torch.inf).scatter_reduce(0, index, boxes[:, :2], "amin")
    high = torch.zeros(count, 2).scatter_reduce(0, index, boxes[:, 2:], "amax")
    weight = torch.zeros(count, dtype=torch.int64).index_add_(0, group, tokens.weight[member])
    row, col = place.round().long().unbind(1)
    level, grid = tokens.level[:1].expand(count), tokens.grid[:1].expand(count, -1)
    box = torch.cat([low, high], 1)
    return VisualTokens(embed.to(tokens.embed.dtype), box, level, row, col, grid, weight)


def pool(tokens: VisualTokens, factor: int) -> tuple[VisualTokens, Tensor]:
    """Average square groups of neighbouring tokens of one level.

    Args:
        tokens: N tokens in raster order, none of them merged, no separators.
        factor: side of a group in tokens; groups at the edge of what is there are smaller.

    Returns:
        G pooled tokens in raster order, and `[N]` the group of each token.

    Source: Luo et al. 2025 pool their high-resolution tiles 2 x 2.
    """
    span = int(tokens.col.max()) // factor + 1
    key = tokens.row // factor * span + tokens.col // factor
    cells, group = torch.unique(key, return_inverse=True)
    count = len(cells)
    size = torch.bincount(group, minlength=count)
    on_device = group.to(tokens.embed.device)
    total = torch.zeros(count, tokens.embed.shape[1], device=tokens.embed.device)
    total.index_add_(0, on_device, tokens.embed.float())
    index = group[:, None].expand(-1, 2)
    low = torch.full((count, 2), torch.inf).scatter_reduce(0, index, tokens.box[:, :2], "amin")
    high = torch.zeros(count, 2).scatter_reduce(0, index, tokens.box[:, 2:], "amax")
    pooled = VisualTokens(
        (total / size[:, None].to(total)).to(tokens.embed.dtype),
        torch.cat([low, high], 1),
        tokens.level[:1].expand(count),
        cells // span,
        cells % span,
        -(-tokens.grid[:1] // factor).expand(count, -1),
        size,
    )
    return pooled, group


def pool_tiles(features: Tensor, factor: int) -> Tensor:
    """Average square groups of a tile's tokens.

    Args:
        features: `[T, n, n, D]`.
        factor: side of a group, a divisor of n.

    Returns:
        `[T, n / factor, n / factor, D]`.

    Source: Luo et al. 2025 pool their high-resolution tiles 2 x 2; bilinear interpolation to half
    the size, as in their code, is the same mean.
    """
    if factor == 1:
        return features
    tiles, side, _, width = features.shape
    groups = features.reshape(tiles, side // factor, factor, side // factor, factor, width)
    return groups.float().mean((2, 4)).to(features.dtype)


def pooled_length(tokens: VisualTokens, factor: int, separators: bool) -> int:
    """Tokens, row ends among them, that `pool` would leave."""
    rows, span = tokens.row // factor, int(tokens.col.max()) // factor + 1
    groups = len(torch.unique(rows * span + tokens.col // factor))
    return groups + separators * len(torch.unique(rows))


def as_grid(values: Tensor, tokens: VisualTokens) -> Tensor:
    """Values of a level's tokens on its whole grid; cells without a token take the nearest one's.

    Args:
        values: `[N]`.
        tokens: N tokens of one level, at least one.

    Returns:
        `[rows, cols]`.
    """
    rows, cols = tokens.grid[0].tolist()
    if len(tokens) == rows * cols:
        return values.reshape(rows, cols)
    own = torch.stack([tokens.row, tokens.col], 1).float()
    whole = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)).float()
    nearest = [torch.cdist(part, own).argmin(1) for part in torch.split(whole, 4096)]
    return values[torch.cat(nearest)].reshape(rows, cols)


def place_in(size: Size, tokens: VisualTokens) -> tuple[Tensor, Tensor]:
    """Where tokens lie in the image, free of its size.

    Returns:
        `[N, 2]` centres (x, y) in [0, 1], and `[N]` depth: log2 of how many such tokens span the
        longer side.
    """
    whole = torch.tensor([size.w, size.h], dtype=torch.float32)
    sides = (tokens.box[:, 2:] - tokens.box[:, :2]).amax(1).clamp_min(1e-6)
    return (tokens.centres() / whole).clamp(0, 1), torch.log2(max(size) / sides).clamp_min(0)
