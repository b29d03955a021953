"""Choosing tokens that differ from each other, without a matrix of all pairs.

Knows nothing of images, models or budgets: features and scores in, indices out. Every choice is
made row by row, so that memory grows with N and not with its square.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

WIDTH = 256  # features wider than this are projected first
CHUNK = 8192  # tokens whose features are in float32 at once
LEAST_GAIN = 1e-8  # a DPP whose best gain is below has nothing new left


def unit_features(features: Tensor, seed: int) -> Tensor:
    """Features of length 1, projected to `WIDTH` dimensions when they are wider.

    A seeded Gaussian projection keeps cosines to about 1 / sqrt(WIDTH).

    Args:
        features: `[N, D]`.
        seed: of the projection.

    Returns:
        `[N, min(D, WIDTH)]` float32.
    """
    if features.shape[1] <= WIDTH:
        return normalize(features.detach().float(), dim=1)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(features.shape[1], WIDTH, generator=generator).to(features.device)
    found = torch.empty(len(features), WIDTH, device=features.device)
    for start in range(0, len(features), CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = normalize(normalize(features[part].detach().float(), dim=1) @ basis, dim=1)
    return found


def farthest_apart(unit: Tensor, count: int) -> Tensor:
    """Tokens each of which is as unlike all before it as can be: greedy max-min distance.

    Starts with the token least like the mean of all.

    Args:
        unit: `[N, d]` of length 1.
        count: how many, at most N.

    Returns:
        `[count]` indices in the order they were chosen; ties by index.

    Source: Alvar et al. 2025 (DivPrune), Eq. 2 and Algorithm 1; there the first token is the one
    farthest from its nearest neighbour, which takes all pairs.
    """
    count = min(count, len(unit))
    if not unit.shape[1]:  # a plan's: all are equally far apart
        return torch.arange(count)
    distance = 1 - unit @ normalize(unit.mean(0), dim=0)
    chosen = torch.zeros(count, dtype=torch.int64)
    for step in range(count):
        pick = int(distance.argmax())
        chosen[step] = pick
        nearer = 1 - unit @ unit[pick]
        distance = nearer if step == 0 else torch.minimum(distance, nearer)
        distance[chosen[: step + 1]] = -torch.inf
    return chosen


def conditional_dpp(unit: Tensor, relevance: Tensor, count: int) -> Tensor:
    """Tokens that are relevant and unlike each other: greedy MAP of a conditional DPP.

    The kernel is `r_i <x_i, x_j> r_j` with relevance scaled to [0, 1]. Once no token adds anything,
    the most relevant of the others follow.

    Args:
        unit: `[N, d]` of length 1.
        relevance: `[N]`.
        count: how many, at most N; `[count, N]` numbers are held.

    Returns:
        `[count]` indices in the order they were chosen; ties by index.

    Source: Zhang et al. 2025 (CDPruner), Sec. 3.3, with the incremental Cholesky factor of Chen et
    al. 2018.
    """
    count = min(count, len(unit))
    if not unit.shape[1]:  # a plan's: none is like another
        return relevance.argsort(descending=True, stable=True)[:count].cpu()
    low, high = relevance.min(), relevance.max()
    r = ((relevance - low) / (high - low).clamp_min(1e-12)).to(unit)
    gain = r.square().clone()
    factor = unit.new_zeros(count, len(unit))
    chosen: list[int] = []
    for step in range(count):
        pick = int(gain.argmax())
        if float(gain[pick]) < LEAST_GAIN:
            break
        row = r[pick] * r * (unit @ unit[pick])
        row -= factor[:step].T @ factor[:step, pick]
        factor[step] = row / gain[pick].sqrt()
        gain -= factor[step].square()
        chosen.append(pick)
        gain[chosen] = -torch.inf
    others = relevance.clone()
    others[chosen] = -torch.inf
    rest = others.argsort(descending=True, stable=True)[: count - len(chosen)]
    return torch.cat([torch.tensor(chosen, dtype=torch.int64), rest.cpu()])


def least_alike(unit: Tensor, pivots: Tensor, count: int) -> Tensor:
    """The pivots, and for each in turn the tokens least like it.

    Args:
        unit: `[N, d]` of length 1.
        pivots: `[P]` indices.
        count: how many in all, P or more.

    Returns:
        `[count]` indices.

    Source: Wen et al. 2025 (DART), Sec. 3.2.
    """
    free = torch.ones(len(unit), dtype=torch.bool, device=unit.device)
    free[pivots.to(unit.device)] = False
    chosen = [pivots.cpu()]
    left = min(count, len(unit)) - len(pivots)
    for index, pivot in enumerate(pivots.tolist()):
        share = -(-left // (len(pivots) - index))
        alike = (unit @ unit[pivot]).masked_fill(~free, torch.inf)
        picks = alike.argsort(stable=True)[:share]
        free[picks] = False
        chosen.append(picks.cpu())
        left -= share
    return torch.cat(chosen)


def quotas(scores: Tensor, sizes: Tensor, room: int, temperature: float) -> Tensor:
    """How many tokens each part may keep: the same share of all, more where scores are higher.

    Args:
        scores: `[P]` of the parts.
        sizes: `[P]` tokens each has.
        room: tokens in all.
        temperature: of the softmax over scores.

    Returns:
        `[P]` int64, none above `sizes`, summing to `min(room, sizes.sum())`.

    Source: Liu et al. 2025 (GlobalCom2), Eq. 4-5: r_j = R (1 + softmax_j - 1/P).
    """
    room = min(room, int(sizes.sum()))
    lean = ((scores - scores.max()) / temperature).double().softmax(0)
    wish = (1 + lean - 1 / len(scores)) * sizes
    given = torch.zeros_like(sizes)
    while (left := room - int(given.sum())) > 0:
        open_parts = given < sizes
        part = torch.where(open_parts, wish, 0.0)
        more = (part / part.sum() * left).floor().long().minimum(sizes - given)
        if not more.any():  # less than one each: to those that wish most
            order = part.argsort(descending=True, stable=True)[:left]
            more[order[open_parts[order]]] = 1
        given += more
    return given
