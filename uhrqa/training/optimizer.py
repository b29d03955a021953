"""Muon for the weight matrices of the layers, AdamW for all else.

On the embedded tower Muon reaches a loss in about half of AdamW's steps. Source: Jordan et al.
2024, https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MUON_PEAK = 0.014
ADAM_PEAK = 1.4e-3
WEIGHT_DECAY = 0.02


class LayerOptimizer:
    """Both optimisers as one, with learning rates as shares of their peaks.

    Args:
        layers: modules whose matrices (2-D weights, embeddings apart) Muon updates.
        others: what AdamW updates, besides what `layers` has left.
        slow: parameters among `others` that learn at `slow_pace` of the rate.
        slow_pace: see `slow`.
        peak: multiplies both peak rates.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        others: Iterable[nn.Parameter] = (),
        slow: Iterable[nn.Parameter] = (),
        slow_pace: float = 1.0,
        peak: float = 1.0,
    ) -> None:
        matrices: list[nn.Parameter] = []
        rest = list(others)
        for module in layers:
            for part in module.modules():
                for parameter in part.parameters(recurse=False):
                    hidden = isinstance(part, nn.Linear) and parameter.ndim == 2
                    (matrices if hidden else rest).append(parameter)
        held = {id(parameter) for parameter in slow}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in rest if id(p) not in held], "pace": 1.0},
            {"params": [p for p in rest if id(p) in held], "pace": slow_pace},
        ]
        groups = [group for group in groups if group["params"]]
        self._muon = torch.optim.Muon(matrices, lr=MUON_PEAK, weight_decay=WEIGHT_DECAY)
        self._adam = torch.optim.AdamW(
            groups, lr=ADAM_PEAK, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98)
        )
        self._peak = peak
        self._all = [p for group in self._groups() for p in group["params"]]

    def _groups(self) -> list[dict[str, Any]]:
        return [*self._muon.param_groups, *self._adam.param_groups]

    def step(self, loss: Tensor, pace: float) -> None:
        """Descend once.

        Args:
            loss: a scalar.
            pace: share of the peak learning rates, in 0..1.
        """
        for group in self._muon.param_groups:
            group["lr"] = MUON_PEAK * self._peak * pace
        for group in self._adam.param_groups:
            group["lr"] = ADAM_PEAK * self._peak * pace * group["pace"]
        for parameter in self._all:
            parameter.grad = None
        loss.backward()
        nn.utils.clip_grad_norm_(self._all, 1.0)
        self._muon.step()
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._muon.load_state_dict(saved["muon"])
        self._adam.load_state_dict(saved["adam"])
