"""The loss a Region Focus Module is distilled with. Knows nothing of where the logits come from.

Source: Luo et al. 2025, Eq. 4-6: per head, KL divergence over all that the last prompt token sees,
KL over the high-resolution tokens alone (lambda_hr = 2), and the squared error of its logits there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MSE_SCALE = 0.02  # logits reach some 10: brings the squared error to the size of the divergences


@dataclass(frozen=True, slots=True)
class Weights:
    """Factors of the loss' terms.

    Attributes:
        kl: of both divergences (lambda_kl).
        hr: of the divergence over the high-resolution tokens, beside the whole one (lambda_hr).
        mse: of the squared error of the logits (lambda_mse).
    """

    kl: float = 1.0
    hr: float = 2.0
    mse: float = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The loss' parts, scalars each: not weighted, the squared error scaled by `MSE_SCALE`."""

    whole: Tensor
    local: Tensor
    mse: Tensor

    def total(self, weights: Weights) -> Tensor:
        """Eq. 6."""
        return weights.kl * (self.whole + weights.hr * self.local) + weights.mse * self.mse


def distillation_loss(
    student: Tensor, teacher: Tensor, visual: Tensor, weights: Weights = Weights()
) -> Tensor:
    """Eq. 6: arguments are those of `distillation_terms`."""
    return distillation_terms(student, teacher, visual).total(weights)


def distillation_terms(student: Tensor, teacher: Tensor, visual: Tensor) -> Terms:
    """The parts of Eq. 4 and 5, means over rows and heads.

    Args:
        student: `[R, H, N]` masked logits.
        teacher: the same of the teacher.
        visual: `[R, N]` bool: high-resolution tokens.
    """
    hidden = ~visual[:, None]
    low = torch.finfo(student.dtype).min / 2
    gap = ((student - teacher) ** 2).masked_fill(hidden, 0.0)
    count = visual.sum(-1).clamp_min(1)[:, None]
    return Terms(
        _divergence(student, teacher),
        _divergence(student.masked_fill(hidden, low), teacher.masked_fill(hidden, low)),
        MSE_SCALE * (gap.sum(-1) / count).mean(),
    )


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    log_t, log_s = teacher.log_softmax(-1), student.log_softmax(-1)
    return (log_t.exp() * (log_t - log_s)).sum(-1).mean()
