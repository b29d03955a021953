"""Choosing and merging tokens by what the vision tower attends to and by its keys.

Knows nothing of images, models or budgets: scores and keys in, indices out. Similarities are made
in parts, so that memory grows with N and not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 4096
FENCE = 1.5  # interquartile ranges above the third quartile, from where on a score is an outlier


def evenly(count: int, among: int) -> Tensor:
    """`[count]` indices spread evenly over `among`, ascending; `count` is at most `among`."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * among / count).long()


def most_alike(unit: Tensor, targets: Tensor) -> Tensor:
    """`[N]` which of `[G, d]` targets each of `[N, d]` is most like; ties by index."""
    return torch.cat([(part @ targets.T).argmax(1) for part in torch.split(unit, CHUNK)])


def dominant_and_contextual(
    saliency: Tensor, unit: Tensor, room: int, contextual: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The most attended tokens, and groups that all others are merged into.

    Args:
        saliency: `[N]`.
        unit: `[N, d]` keys of length 1.
        room: tokens in all, fewer than N.
        contextual: groups among them, fewer than `room`.

    Returns:
        `[room - contextual]` kept tokens, ascending; `[R]` all others, ascending, and `[R]` the
        group of each. A group's centre is one of an even sample of them.

    Source: Yang et al. 2025 (VisionZip), Sec. 3.2.
    """
    order = saliency.argsort(descending=True, stable=True)
    kept = order[: room - contextual].sort().values
    others = order[room - contextual :].sort().values
    if contextual == 0:
        return kept, others[:0], others[:0]
    centres = evenly(contextual, len(others)).to(others.device)
    group = most_alike(unit[others], unit[others[centres]])
    group[centres] = torch.arange(contextual, device=group.device)
    return kept, others, group


def outliers(saliency: Tensor, tile: Tensor) -> Tensor:
    """`[N]` bool: scores far above the rest of their tile, by the interquartile rule.

    Args:
        saliency: `[N]`.
        tile: `[N]` int64, which tile each token lies in.

    Source: Shang et al. 2025 (LLaVA-PruMerge), Sec. 3.2.
    """
    found = torch.zeros(len(saliency), dtype=torch.bool)
    for members in _by_tile(tile):
        own = saliency[members]
        low, high = torch.quantile(own, torch.tensor([0.25, 0.75]).to(own)).tolist()
        found[members] = (own > high + FENCE * (high - low)).to(found.device)
    return found


def neighbours(unit: Tensor, tile: Tensor, kept: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """For each kept token, itself and the others of its tile whose keys are most like its own.

    Args:
        unit: `[N, d]` keys of length 1.
        tile: `[N]` int64, which tile each token lies in.
        kept: `[K]` indices, ascending.
        count: others at most; fewer where a tile has no more. They may serve several kept tokens.

    Returns:
        `[P]` members, and `[P]` which of the kept tokens each belongs to.

    Source: Shang et al. 2025 (LLaVA-PruMerge), Algorithm 1.
    """
    place = torch.full((len(unit),), -1)
    place[kept] = torch.arange(len(kept))
    member, group = [kept], [torch.arange(len(kept))]
    for members in _by_tile(tile):
        stays = place[members] >= 0
        here, free = members[stays], members[~stays]
        if count and len(here) and len(free):
            alike = unit[here] @ unit[free].T
            near = alike.argsort(dim=1, descending=True, stable=True)[:, :count].cpu()
            member.append(free[near].flatten())
            group.append(place[here].repeat_interleave(near.shape[1]))
    return torch.cat(member), torch.cat(group)


def _by_tile(tile: Tensor) -> Iterator[Tensor]:
    """Indices of the tokens of each tile, ascending."""
    sizes = torch.unique(tile, return_counts=True)[1]
    yield from torch.split(tile.argsort(stable=True), sizes.tolist())
