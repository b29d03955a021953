"""The module that learns, the decoder it learns from, and one step of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from uhrqa.distill.recipe import Recipe
from uhrqa.logits import read_logits
from uhrqa.relevance import probed_name
from uhrqa.relevance_pass import Reading
from uhrqa.rfm import from_layers
from uhrqa.training.distillation import Terms, Weights, distillation_terms
from uhrqa.vlm.family import Family

BETAS = (0.9, 0.98)
MOST_GRADIENT = 1.0  # norm it is clipped to


@dataclass(frozen=True, slots=True)
class Losses:
    """The loss of one or more examples, and its unweighted parts."""

    total: float
    whole: float
    local: float
    mse: float

    @classmethod
    def mean(cls, parts: Iterable[Losses]) -> Losses:
        """Of each part."""
        rows = [(part.total, part.whole, part.local, part.mse) for part in parts]
        return cls(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


class Student:
    """A Region Focus Module in training.

    Args:
        model: a loaded checkpoint, which stays as it is.
        recipe: layers, pairs and factors of the loss.

    Attributes:
        rfm: the module, in float32 whatever the checkpoint is in.
    """

    def __init__(self, model: Family, recipe: Recipe) -> None:
        self._recipe = recipe
        self._teacher: nn.Module = model.model.get_decoder()
        self._weights = Weights(recipe.lambda_kl, recipe.lambda_hr, recipe.lambda_mse)
        self._device = model.device
        self.rfm = self._make()
        self._parameters = list(self.rfm.parameters())
        self.optimizer = torch.optim.AdamW(
            self._parameters, lr=recipe.lr, betas=BETAS, weight_decay=0.0
        )

    def _make(self) -> nn.Module:
        rfm: Any = from_layers(self._teacher, self._recipe.layers).float()
        # flash-attn takes no float32, and the teacher keeps its own.
        rfm.set_attn_implementation(probed_name("sdpa"))
        if self._recipe.recompute:
            name = "activation_checkpointing_enable"  # of transformers 5.23 on
            enable = getattr(rfm, name, None) or rfm.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        rfm.requires_grad_(True)
        module: nn.Module = rfm.train(self._recipe.recompute)  # in evaluation mode it is off
        return module

    def step(self, readings: Iterable[Reading], pace: float) -> Losses:
        """One optimiser step over a batch, an example at a time.

        Args:
            readings: `recipe.batch` of them.
            pace: share of the peak learning rate.
        """
        self.optimizer.zero_grad(set_to_none=True)
        found = []
        for reading in readings:
            total, losses = self._loss(reading)
            (total / self._recipe.batch).backward()
            found.append(losses)
        nn.utils.clip_grad_norm_(self._parameters, MOST_GRADIENT)
        for group in self.optimizer.param_groups:
            group["lr"] = self._recipe.lr * pace
        self.optimizer.step()
        return Losses.mean(found)

    @torch.no_grad()
    def measure(self, reading: Reading) -> tuple[Losses, Tensor, Tensor]:
        """The loss of one example, and whom module and teacher find relevant.

        Returns:
            The loss of the layer that is read, and scores `[N]` of the tokens by that layer and the
            one that teaches it; float32 on the CPU, each sums to 1.
        """
        mine, theirs = self._logits(reading)
        last = self._recipe.pairs[-1]
        _, losses = self._weigh({last: mine[last]}, theirs, reading.columns)
        scores = (rows[last][:, reading.columns].softmax(-1).mean(0) for rows in (mine, theirs))
        own, other = (score.cpu() for score in scores)
        return losses, own, other

    def _loss(self, reading: Reading) -> tuple[Tensor, Losses]:
        return self._weigh(*self._logits(reading), reading.columns)

    def _logits(self, reading: Reading) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Logits of the last prompt token by module layer: the module's own, and its teachers'."""
        recipe, sequence = self._recipe, reading.sequence
        row = int(sequence.text_after[-1])
        with torch.no_grad():
            taught = read_logits(self._teacher, sequence.inputs(), recipe.taught_by, row)
        inputs = sequence.inputs()
        inputs["inputs_embeds"] = inputs["inputs_embeds"].float()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=recipe.mixed):
            mine = read_logits(self.rfm, inputs, recipe.pairs, row, ends=not recipe.recompute)
        return mine, {
            pair: taught[layer] for pair, layer in zip(recipe.pairs, recipe.taught_by, strict=True)
        }

    def _weigh(
        self, mine: dict[int, Tensor], theirs: dict[int, Tensor], columns: Tensor
    ) -> tuple[Tensor, Losses]:
        """Eq. 6: the mean over pairs of layers."""
        first = next(iter(mine.values()))
        visual = torch.zeros(1, first.shape[-1], dtype=torch.bool, device=first.device)
        visual[0, columns] = True
        found = [distillation_terms(mine[pair][None], theirs[pair][None], visual) for pair in mine]
        mean = Terms(
            *(
                torch.stack(part).mean()
                for part in zip(*((t.whole, t.local, t.mse) for t in found), strict=True)
            )
        )
        total = mean.total(self._weights)
        values = torch.stack([total, mean.whole, mean.local, mean.mse]).tolist()
        return total, Losses(*values)
