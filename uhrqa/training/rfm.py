"""Stage 3: a Region Focus Module learns to attend as a deeper decoder layer does.

The loss is that of `uhrqa.training.distillation`, read in the last layer alone.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from uhrqa.rfm import from_layers
from uhrqa.training.batches import VIEWS, Batches, Course, make_batch
from uhrqa.training.decoder import Learner, attention_bias, forward, run_layers
from uhrqa.training.distillation import distillation_loss
from uhrqa.training.language import held_out_views
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.packing import Batch
from uhrqa.training.progress import Stage
from uhrqa.training.shape import Machine, Shape
from uhrqa.training.views import View

log = logging.getLogger(__name__)

LAYERS = (0, 2)  # decoder layers it starts from; the last one is also the teacher
PEAK = 0.5  # of the decoder's learning rates
FIRST_VIEW = 5 * 10**8  # scenes of its own
WHOLE = 0.3  # share of batches that keep every token


def focus_rows(rfm: nn.Module, learner: Learner, batch: Batch) -> Tensor:
    """Attention logits of the asking tokens in the RFM's last layer: `[R, H, 1 + T + X]`."""
    with torch.no_grad():
        states = learner.embed(batch)
    turn = learner.decoder.rotary_emb(states, batch.position)
    layers, last = list(rfm.get_submodule("layers")), len(LAYERS) - 1  # type: ignore[call-overload]
    trace = run_layers(layers, states, turn, attention_bias(batch), batch.asks, (last,))
    return trace.rows[last]


def _visual_rows(batch: Batch, width: int) -> Tensor:
    """Which columns are high-resolution tokens, for each row of `asks`: `[R, width]` bool."""
    visual = batch.visual[batch.asks[:, 0]]
    return nn.functional.pad(visual, (1, width - 1 - visual.shape[1]))


@torch.inference_mode()
def recall(rfm: nn.Module | None, learner: Learner, views: list[View], share: float) -> float:
    """Share of objects asked about with a token among the best-scored `share` of those shown.

    Args:
        rfm: the module, or None for the teacher.
        learner: the model.
        views: held-out views.
        share: of the high-resolution tokens.
    """
    rng = np.random.default_rng(6)
    found: list[float] = []
    for start in range(0, len(views), VIEWS):
        batch = make_batch(views[start : start + VIEWS], rng, learner.assistant, long=1.0)
        batch = batch.to(learner.device)
        if rfm is None:
            rows = forward(learner, batch, LAYERS[-1:]).rows[LAYERS[-1]]
        else:
            rows = focus_rows(rfm, learner, batch)
        hidden = ~_visual_rows(batch, rows.shape[-1])
        scores = rows.masked_fill(hidden[:, None], -1e9).softmax(-1).mean(1)
        for row, out, wanted in zip(scores, hidden, batch.ground, strict=True):
            targets = wanted[1:].nonzero().flatten() + 1
            if len(targets):
                best = row.topk(max(1, int(share * float((~out).sum())))).indices
                found.append(float(torch.isin(targets, best).any()))
    return float(np.mean(found))


def train_rfm(
    folder: Path, shape: Shape, learner: Learner, steps: int, seed: int, on: Machine
) -> nn.Module:
    """Distil a module, or go on where a run in `folder` stopped.

    Args:
        folder: holds `vision.pt`; takes this stage's checkpoint.
        shape: sizes.
        learner: the trained model, which stays as it is.
        steps: of `VIEWS` views each.
        seed: of scenes and arrangements.
        on: what trains and draws.
    """
    rfm = from_layers(learner.decoder, LAYERS)
    rfm.requires_grad_(True)
    optimizer = LayerOptimizer([rfm], peak=PEAK)
    stage = Stage(folder / "rfm.pt", steps, {"rfm": rfm, "optimizer": optimizer})
    stage.resume()
    if stage.share >= 1.0:
        return rfm
    batches = Batches(Course(folder, shape, seed, steps, FIRST_VIEW, WHOLE), stage.step, on)
    try:
        _fit(rfm, learner, optimizer, stage, batches)
    finally:
        batches.close()
    views = held_out_views(folder, shape, seed)
    for share in (0.05, 0.25):
        found = recall(None, learner, views, share), recall(rfm, learner, views, share)
        log.info("recall at top %.0f %%: teacher %.3f, student %.3f", 100 * share, *found)
    return rfm


def _fit(
    rfm: nn.Module,
    learner: Learner,
    optimizer: LayerOptimizer,
    stage: Stage,
    batches: Batches,
) -> None:
    running = 0.0
    while True:
        loss = rfm_step(rfm, learner, optimizer, stage, batches.take())
        running = loss if not running else 0.97 * running + 0.03 * loss
        if stage.step % 50 == 0:
            log.info("rfm %5d  %4.0f s  loss %.3f", stage.step, stage.used, running)
        if not stage.tick():
            break


def rfm_step(
    rfm: nn.Module,
    learner: Learner,
    optimizer: LayerOptimizer,
    stage: Stage,
    batch: Batch,
) -> float:
    """One optimiser step; gives the loss."""
    with torch.autocast(learner.device.type, torch.bfloat16):
        with torch.no_grad():
            teacher = forward(learner, batch, LAYERS[-1:]).rows[LAYERS[-1]]
        student = focus_rows(rfm, learner, batch)
    visual = _visual_rows(batch, student.shape[-1])
    kept = visual.any(-1)
    loss = distillation_loss(student[kept], teacher[kept], visual[kept])
    optimizer.step(loss, stage.pace)
    return float(loss.detach())
