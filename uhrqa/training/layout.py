"""Which tokens of a view are kept, where they stand, and what attention should find in them.

Dropped tokens still count: in half of the samples those kept stand for them, by a bias of
log(how many) on their attention and by positions as far apart as in the full sequence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uhrqa.synth.questions import Question
from uhrqa.training.views import View
from uhrqa.training.wanted import answer_weight, count_row, ground_row

TEMPTING = 0.15  # from here on a token is not one of the many that look like nothing
THUMBNAIL_SHARE = 0.6  # of samples that start with it
SHORT = 95  # tokens: shorter samples get row separators, which may double their length
_ASKED_MORE = {"count": 3.0, "shape": 2.2, "status": 2.2, "existence": 0.7, "rural/urban": 0.4,
                "position": 1.0, "background": 0.8, "unknown": 0.5}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """One view, arranged: T tokens out of S, and Q questions.

    Attributes:
        mix: `[T, S]` rows that average source tokens; zero for a separator.
        newline: `[T]` bool.
        bias: `[T]` log of how many tokens each stands for.
        position: `[T]`.
        start: position of the first text token.
        chosen: indices of its questions.
        ground: `[Q, 1 + T]` wanted attention on the first token and each visual one; zero: any.
        count: `[Q, 1 + T]` the same for the counting heads.
        weight: `[Q]` of the answer.
        visual: `[T]` bool: tokens of tiles, neither thumbnail nor separator.
    """

    mix: np.ndarray
    newline: np.ndarray
    bias: np.ndarray
    position: np.ndarray
    start: int
    chosen: list[int]
    ground: np.ndarray
    count: np.ndarray
    weight: np.ndarray
    visual: np.ndarray


def arrange(
    view: View,
    rng: np.random.Generator,
    most: int,
    share: float = 0.1,
    dilute: float = 0.5,
    blind: float = 0.0,
) -> Layout:
    """A random arrangement of a view.

    Args:
        view: tokens and questions.
        rng: of every choice.
        most: questions at most.
        share: of the tokens that show nothing asked about, how many are kept.
        dilute: share of arrangements in which the tokens kept stand for all.
        blind: share of arrangements without any visual token: what is said without looking.
    """
    chosen = _choose(view, rng, most)
    if blind and rng.random() < blind:
        return _blind(view, chosen)
    kept = _keep(view, rng, [view.asked[index] for index in chosen], share)
    order = np.nonzero(kept)[0]
    order = order[np.lexsort((view.col[order], view.row[order], view.level[order]))]
    hit = np.zeros(len(view.level), bool)
    hit[view.thing_hits[:, 1]] = True
    merging = view.kind == "views" and rng.random() < 0.6
    groups = _group(view, rng, order, hit, merging)
    wanted = len(groups) < SHORT if share < 1 else rng.random() < 0.5
    groups, newline = _with_newlines(view, groups, wanted and not merging)
    mix = np.zeros((len(groups), len(view.level)), np.float32)
    for index, members in enumerate(groups):
        mix[index, members] = 1.0 / max(1, len(members))
    single = np.array([len(members) == 1 for members in groups])
    first = np.array([members[0] if len(members) else 0 for members in groups])
    visual = ~newline & (view.level[first] > 0)
    bias, position, start = _dilute(
        view,
        rng,
        first,
        single & visual & ~hit[first] & (view.tempting[first] < TEMPTING),
        not merging and rng.random() < dilute,
    )
    spot = np.full(len(view.level), -1)
    spot[first[single]] = np.nonzero(single)[0]
    asked = [view.asked[index] for index in chosen]
    return Layout(
        mix, newline, bias, position, start, chosen,
        np.stack([ground_row(view, question, spot, len(groups)) for question in asked]),
        np.stack([count_row(view, question, spot, len(groups)) for question in asked]),
        np.array([answer_weight(view, question) for question in asked], np.float32),
        visual,
    )  # fmt: skip


def _blind(view: View, chosen: list[int]) -> Layout:
    """Questions with nothing before them."""
    nothing = np.zeros((len(chosen), 1), np.float32)
    return Layout(
        np.zeros((0, len(view.level)), np.float32), np.zeros(0, bool), np.zeros(0, np.float32),
        np.zeros(0, np.int64), 1, chosen, nothing, nothing,
        np.array([answer_weight(view, view.asked[index]) for index in chosen], np.float32),
        np.zeros(0, bool),
    )  # fmt: skip


def _choose(view: View, rng: np.random.Generator, most: int) -> list[int]:
    odds = np.array([_ASKED_MORE.get(question.category, 1.0) for question in view.asked])
    keys = rng.random(len(odds)) ** (1.0 / odds)
    return np.argsort(-keys)[:most].tolist()


def _keep(
    view: View, rng: np.random.Generator, asked: Sequence[Question], share: float
) -> np.ndarray:
    """All tokens of the objects asked about, most of the others' and a random share of the rest."""
    kept = np.zeros(len(view.level), bool)
    rest = np.nonzero(view.level > 0)[0]
    rest = np.setdiff1d(rest, view.thing_hits[:, 1])
    # A strategy keeps what looks like the object asked for, so that must be learnt from.
    tempting = (view.tempting[rest] > TEMPTING) * rng.choice([share, 0.5, 0.9])
    kept[rest[rng.random(len(rest)) < np.maximum(share, tempting)]] = True
    if rng.random() < (0.15 if view.kind == "views" else THUMBNAIL_SHARE):
        kept[view.level == 0] = True
    wanted = {thing for question in asked for thing in (*question.things, *question.among)}
    others = {thing for thing in range(len(view.length)) if rng.random() < 0.7}
    middle = set(view.centres[:, 1].tolist())
    for thing, token in view.thing_hits.tolist():
        if thing in wanted or thing in others:
            kept[token] |= token in middle or rng.random() < 0.9
    for thing, token in view.centres.tolist():
        if thing in wanted and view.level[token] > 0:
            kept[token] = True
    if not kept[view.level > 0].any():
        kept[rest[:4]] = True
    if not kept.any():
        kept[:] = True
    return kept


def _group(
    view: View, rng: np.random.Generator, order: np.ndarray, hit: np.ndarray, merging: bool
) -> list[list[int]]:
    """Tokens in order, one group each; when merging, background cells become one group.

    Region-merge sends what it keeps region by region, so merged samples are shuffled.
    """
    if not merging:
        return [[int(token)] for token in order]
    side = int(rng.choice([2, 3, 4, 6]))
    spread = bool(rng.random() < 0.4)  # regions of like tokens, wherever they lie
    groups: list[list[int]] = []
    for level in np.unique(view.level[order]):
        own = order[view.level[order] == level]
        if level == 0:
            groups += [[int(token)] for token in own]
            continue
        cells: dict[tuple[int, int], list[int]] = {}
        for token in own[~hit[own]].tolist():
            cell = (view.row[token] // side, view.col[token] // side)
            cells.setdefault((int(rng.integers(8)), 0) if spread else cell, []).append(token)
        every = [[int(token)] for token in own[hit[own]]] + list(cells.values())
        groups += [every[index] for index in rng.permutation(len(every))]
    return groups


def _with_newlines(
    view: View, groups: list[list[int]], wanted: bool
) -> tuple[list[list[int]], np.ndarray]:
    """Put an empty group after the last token of each row of a tiled level."""
    if not wanted:
        return groups, np.zeros(len(groups), bool)
    out: list[list[int]] = []
    for index, group in enumerate(groups):
        out.append(group)
        after = groups[index + 1] if index + 1 < len(groups) else None
        here = (view.level[group[0]], view.row[group[0]])
        there = (view.level[after[0]], view.row[after[0]]) if after else None
        if here[0] > 0 and len(group) == 1 and here != there:
            out.append([])
    return out, np.array([not group for group in out])


def _dilute(
    view: View, rng: np.random.Generator, first: np.ndarray, rest: np.ndarray, wanted: bool
) -> tuple[np.ndarray, np.ndarray, int]:
    """Bias and positions, as if the tokens dropped were there (or as they are)."""
    count = len(first)
    bias = np.zeros(count, np.float32)
    if not wanted:
        return bias, np.arange(1, count + 1), count + 1
    levels = view.level[first]
    total = count
    for level, full in view.full.items():
        own = rest & (levels == level)
        if level == 0 or not own.any():
            continue
        bias[own] = math.log(max(1.0, full / int(own.sum())))
        total += max(0, full - int(own.sum()))
    return bias, np.sort(rng.permutation(total)[:count]) + 1, total + 1
