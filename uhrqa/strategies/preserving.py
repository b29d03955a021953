"""Region-wise preserve-and-merge: budgets of views, importance of their tokens, what is kept.

Source: Dang et al. 2026 (UHR-BAT), Eq. 6-12 and Algorithm 1. Differences are listed in
docs/deviations.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.pyramid import Level
    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

TINY = 1e-9  # scores that differ by a smaller share are equal


def allot(
    budget: int, counts: Sequence[int], shares: Sequence[int], least: Sequence[int] | None = None
) -> list[int]:
    """Share a budget among views: in proportion, none below its least, none above its tokens.

    What a small view cannot use goes to the others, so no budget lies idle while tokens are left.

    Args:
        budget: visual tokens in all, at least one a view.
        counts: tokens of each view.
        shares: of each view; a budget of their sum gives each its own.
        least: regions of each view, which its budget is raised to (B_s >= R_s); all are taken for
            1 when their sum is more than the budget.

    Source: Dang et al. 2026, Sec. 3.3, sum of B_s <= B and B_s >= R_s.
    """
    floors = [min(pair) for pair in zip(least or [1] * len(counts), counts, strict=True)]
    if sum(floors) > budget:
        floors = [1] * len(counts)
    first = spread(budget, shares, counts)
    spare = [max(0, got - low) for got, low in zip(first, floors, strict=True)]
    raised = [max(pair) for pair in zip(first, floors, strict=True)]
    taken = spread(sum(raised) - sum(first), spare, spare)
    return [got - back for got, back in zip(raised, taken, strict=True)]


def spread(total: int, weights: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to weights, none above its cap, that add up to a total.

    Args:
        total: their sum, or that of the caps if it is less.
        weights: above 0 where the cap is.
        caps: the most of each.
    """
    given = [0] * len(caps)
    while (left := min(total, sum(caps)) - sum(given)) > 0:
        unfilled = [i for i, cap in enumerate(caps) if given[i] < cap]
        whole = sum(weights[i] for i in unfilled)
        gains = {i: min(left * weights[i] // whole, caps[i] - given[i]) for i in unfilled}
        if not any(gains.values()):  # fewer left than numbers: to the largest remainders
            ranked = sorted(unfilled, key=lambda i: (-left * weights[i], i))
            gains = dict.fromkeys(ranked[:left], 1)
        for i, gain in gains.items():
            given[i] += gain
    return given


def transfer(importance: Tensor, tokens: VisualTokens, anchor: Level, cell: float) -> Tensor:
    """The anchor's importance at other tokens' centres, bilinearly.

    Args:
        importance: `[rows, cols]` on the anchor's token grid.
        tokens: N tokens of any view.
        anchor: the anchor view.
        cell: level pixels along one side of an anchor token.

    Returns:
        `[N]` float32.

    Source: Dang et al. 2026, Eq. 6-7; coordinates are source pixels, so views of any shape align.
    """
    import torch
    from torch.nn import functional

    sy, sx = anchor.scale
    rows, cols = importance.shape
    grid = tokens.centres() * torch.tensor([sx, sy]) / cell  # in anchor cells
    grid = grid / torch.tensor([cols, rows]) * 2 - 1
    sampled = functional.grid_sample(
        importance[None, None].float(),
        grid[None, None],
        padding_mode="border",
        align_corners=False,
    )
    return sampled.flatten()


def group_by_region(labels: Tensor, importance: Tensor) -> tuple[list[Tensor], list[int]]:
    """Members of each region, and the regions from the most important on; ties by label.

    Source: Dang et al. 2026, Eq. 8 and Algorithm 1, line 18. Means are taken in float64.
    """
    import torch

    order = labels.argsort(stable=True)
    groups = list(torch.split(order, torch.bincount(labels).tolist()))
    means = torch.stack([importance[members].double().mean() for members in groups])
    return groups, means.argsort(descending=True, stable=True).tolist()


def join_least(labels: Tensor, importance: Tensor, most: int) -> Tensor:
    """At most so many regions: the least important ones become one, numbered last.

    Args:
        labels: `[N]` dense from 0.
        importance: `[N]`.
        most: regions, at least 1.
    """
    if int(labels.max()) < most:
        return labels
    groups, order = group_by_region(labels, importance)
    joined = labels.clone()
    for rank, index in enumerate(order):
        joined[groups[index]] = min(rank, most - 1)
    return joined


def preserve_and_merge(
    members: Tensor, importance: Tensor, room: int, *, strict: bool = False
) -> tuple[Tensor, Tensor]:
    """Members at or above their region's mean, most important first, and those to merge.

    Args:
        members: `[K]` token indices of one region.
        importance: `[N]` of all tokens.
        room: tokens the region may become, at least 1; what does not fit is merged with the rest.
        strict: only members above the mean are preserved, as in the released code.

    Source: Dang et al. 2026, Eq. 9 and 11. The mean is taken in float64 and compared with a
    tolerance, so that equal scores are all preserved, as the equation says, or none if `strict`.
    """
    values = importance[members].double()
    order = values.argsort(descending=True, stable=True)
    mean = values.mean()
    kept = values > mean * (1 + TINY) if strict else values >= mean * (1 - TINY)
    count = int(kept.sum())
    if count + (count < len(members)) > room:
        count = room - 1
    return members[order[:count]], members[order[count:]]


def compress(
    tokens: VisualTokens,
    importance: Tensor,
    labels: Tensor,
    room: int,
    *,
    cover: bool = False,
    strict: bool = False,
) -> tuple[VisualTokens, Tensor]:
    """One view within its budget.

    Args:
        tokens: N tokens.
        importance: `[N]`.
        labels: `[N]` region of each, dense from 0; no more regions than `room` if `cover`.
        room: the view's budget B_s.
        cover: one token of the budget is set aside for each region, so that none vanishes.
        strict: see `preserve_and_merge`.

    Returns:
        At most `room` tokens, those of the most important region first, and their importance; of a
        merged one the mean.

    Source: Dang et al. 2026, Algorithm 1, lines 9-28.
    """
    import torch

    from uhrqa.tokens import VisualTokens

    groups, order = group_by_region(labels, importance)
    kept: list[VisualTokens] = []
    scores: list[Tensor] = []
    left = room
    for rank, index in enumerate(order):  # lines 18-27
        room_here = left - (len(order) - rank - 1) if cover else len(tokens)
        preserved, merged = preserve_and_merge(groups[index], importance, room_here, strict=strict)
        preserved = preserved[:left]
        kept.append(tokens.take(preserved))
        scores.append(importance[preserved])
        left -= len(preserved)
        if len(merged) and left > 0:
            kept.append(tokens.take(merged).merge())
            scores.append(importance[merged].mean()[None])
            left -= 1
        if left <= 0:
            break
    return VisualTokens.cat(kept), torch.cat(scores)


def joined(
    parts: list[tuple[VisualTokens, Tensor]], views: tuple[Level, ...], order: str
) -> Selection:
    """A selection of all views' parts.

    Args:
        parts: tokens of each view and their importance.
        views: of these parts.
        order: `priority`, as they come, or `raster`, view by view.
    """
    import torch

    from uhrqa.selection import Selection
    from uhrqa.tokens import VisualTokens

    tokens = VisualTokens.cat([part for part, _ in parts])
    scores = torch.cat([part for _, part in parts])
    if order == "raster":
        centres = tokens.centres()
        keys = (centres[:, 0], centres[:, 1], tokens.level)
        index = torch.arange(len(tokens))
        for key in keys:  # stable sorts, the last key counts most
            index = index[key[index].argsort(stable=True)]
        tokens, scores = tokens.take(index), scores[index]
    steps = tuple(
        f"view {view.size}: {len(part)} tokens, {int((part.weight > 1).sum())} of them merged"
        for view, (part, _) in zip(views, parts, strict=True)
    )
    return Selection(tokens, scores, steps)
