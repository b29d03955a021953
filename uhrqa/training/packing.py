"""From views to one batch: several questions behind one visual prefix.

A question sees the prefix and itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from uhrqa.training.layout import Layout
from uhrqa.training.views import View


@dataclass(frozen=True, slots=True)
class Batch:
    """B layouts, padded.

    Attributes:
        source: (view, question) of each row of `asks`, indices in the batch.
        features: `[B, S, D]`.
        centre: `[B, S, 2]`.
        depth: `[B, S]`.
        mix: `[B, T, S]`.
        newline: `[B, T]` bool.
        visual: `[B, T]` bool.
        text: `[B, X]` token ids.
        position: `[B, 1 + T + X]`.
        segment: `[B, 1 + T + X]`: 0 prefix and visual, k question k, -1 padding.
        bias: `[B, 1 + T + X]`.
        asks: `[R, 2]` (view, index in the sequence) of each question's last prompt token.
        answers: `[N, 2]` (view, index) of the tokens that must say the next word.
        labels: `[N]` what they must say.
        of: `[N]` question (row of `asks`) each answer token belongs to.
        weight: `[R]`.
        ground: `[R, 1 + T]`.
        count: `[R, 1 + T]`.
    """

    source: list[tuple[int, int]]
    features: Tensor
    centre: Tensor
    depth: Tensor
    mix: Tensor
    newline: Tensor
    visual: Tensor
    text: Tensor
    position: Tensor
    segment: Tensor
    bias: Tensor
    asks: Tensor
    answers: Tensor
    labels: Tensor
    of: Tensor
    weight: Tensor
    ground: Tensor
    count: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        parts = (getattr(self, field.name) for field in fields(self)[1:])
        return Batch(self.source, *[part.to(device) for part in parts])


def pack(views: Sequence[View], layouts: Sequence[Layout], assistant: int) -> Batch:
    """Pad and stack."""
    size = len(views)
    s, t = max(len(v.level) for v in views), max(len(a.newline) for a in layouts)
    x = max(sum(1 + len(q) + len(a) - 1 for q, a in (v.ids[i] for i in lay.chosen))
            for v, lay in zip(views, layouts, strict=True))  # fmt: skip
    n = 1 + t + x
    features = np.zeros((size, s, views[0].features.shape[1]), np.float32)
    centre, depth = np.zeros((size, s, 2), np.float32), np.zeros((size, s), np.float32)
    mix = np.zeros((size, t, s), np.float32)
    newline, visual = np.zeros((size, t), bool), np.zeros((size, t), bool)
    text, position = np.zeros((size, x), np.int64), np.zeros((size, n), np.int64)
    segment, bias = np.full((size, n), -1, np.int64), np.zeros((size, n), np.float32)
    asks: list[tuple[int, int]] = []
    answers: list[tuple[int, int]] = []
    labels: list[int] = []
    of: list[int] = []
    source: list[tuple[int, int]] = []
    ground, count, weight = [], [], []
    for b, (view, lay) in enumerate(zip(views, layouts, strict=True)):
        own, out = len(view.level), len(lay.newline)
        features[b, :own], centre[b, :own], depth[b, :own] = view.features, view.centre, view.depth
        mix[b, :out, :own], newline[b, :out], visual[b, :out] = lay.mix, lay.newline, lay.visual
        segment[b, : 1 + out] = 0
        position[b, 1 : 1 + out], bias[b, 1 : 1 + out] = lay.position, lay.bias
        at = 0
        for k, index in enumerate(lay.chosen):
            question, answer = view.ids[index]
            tokens = [*question, assistant, *answer[:-1]]
            span = slice(1 + t + at, 1 + t + at + len(tokens))
            text[b, at : at + len(tokens)] = tokens
            position[b, span] = lay.start + np.arange(len(tokens))
            segment[b, span] = k + 1
            ask = 1 + t + at + len(question)
            answers += [(b, ask + j) for j in range(len(answer))]
            of += [len(asks)] * len(answer)
            labels += answer
            asks.append((b, ask))
            source.append((b, index))
            at += len(tokens)
            ground.append(np.pad(lay.ground[k], (0, t - out)))
            count.append(np.pad(lay.count[k], (0, t - out)))
            weight.append(lay.weight[k])
    arrays = (features, centre, depth, mix, newline, visual, text, position, segment, bias,
              np.array(asks), np.array(answers), np.array(labels), np.array(of),
              np.array(weight, np.float32), np.stack(ground), np.stack(count))  # fmt: skip
    return Batch(source, *[torch.from_numpy(array) for array in arrays])
