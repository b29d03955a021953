"""Stage 2: projector, placement and decoder learn to answer from selected tokens.

The tower stays as stage 1 left it. Besides the answers, some heads learn where to look: those of
`GROUND` share their attention among the objects asked about, those of `COUNT` give each object
an equal part beside a fixed part for the first token, so that the mass tells the number.
The answer is asked for after the layers that look, too, or what they find would be read late.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from uhrqa.training.batches import VIEWS, Batches, Course, make_batch, view_maker
from uhrqa.training.decoder import Learner, forward
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.packing import Batch
from uhrqa.training.progress import Stage
from uhrqa.training.shape import Machine, Shape, standardise
from uhrqa.training.views import View
from uhrqa.training.vocabulary import tokenizer_in
from uhrqa.training.wanted import readable

log = logging.getLogger(__name__)

PROJECTOR_PACE = 0.15  # of the learning rate
HELD_OUT = 160
GROUND = {1: (0, 1, 2), 2: (0, 1)}  # layer -> heads that look at what is asked about
COUNT = {2: (2, 3)}  # layer -> heads that weigh objects against the first token
WEIGHTS = {"answer": 1.0, "early": 0.3, "ground": 0.5, "count": 0.6}
FIRST_VIEW, HELD_OUT_FROM = 0, 10**9


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(target || softmax(logits)) per row; rows whose target is zero give zero."""
    log_p = logits.log_softmax(-1)[..., : target.shape[-1]]
    entropy = torch.xlogy(target, target).sum(-1)
    return entropy - (target * log_p.clamp_min(-50)).sum(-1)


def losses(learner: Learner, batch: Batch) -> dict[str, Tensor]:
    """Answer, grounding and counting losses."""
    trace = forward(learner, batch)
    b, at = batch.answers.T
    weight = batch.weight[batch.of] / batch.weight[batch.of].sum()
    inner = [learner.decoder.norm(state[b, at]) for state in trace.inner.values()]
    each = [
        functional.cross_entropy(
            learner.model.lm_head(state).float(), batch.labels, reduction="none"
        )
        for state in (trace.states[b, at], *inner)
    ]
    found = {"answer": (each[0] * weight).sum()}
    found["early"] = (torch.stack(each[1:]).mean(0) * weight).sum()
    kept = batch.ground.sum(-1) > 0.5
    parts = [
        divergence(batch.ground[kept], trace.rows[layer][kept][:, head])
        for layer, heads in GROUND.items()
        for head in heads
    ]
    found["ground"] = torch.stack(parts).mean()
    kept = batch.count.sum(-1) > 0.5
    parts = [
        divergence(batch.count[kept], trace.rows[layer][kept][:, head]) * batch.weight[kept]
        for layer, heads in COUNT.items()
        for head in heads
    ]
    found["count"] = torch.stack(parts).sum() / max(1, len(parts) * int(kept.sum()))
    return found


@torch.inference_mode()
def score(learner: Learner, views: list[View], seed: int = 5) -> dict[str, float]:
    """Share of questions answered right, by kind of view and by category; readable ones only."""
    rng = np.random.default_rng(seed)
    tally: dict[str, list[float]] = defaultdict(list)
    for start in range(0, len(views), VIEWS):
        part = views[start : start + VIEWS]
        batch = make_batch(part, rng, learner.assistant, long=0.3).to(learner.device)
        with torch.autocast(learner.device.type, torch.bfloat16):
            trace = forward(learner, batch)
            b, at = batch.answers.T
            said = learner.model.lm_head(trace.states[b, at]).argmax(-1)
        right = torch.ones(len(batch.asks), device=learner.device)
        right.scatter_reduce_(0, batch.of, (said == batch.labels).float(), "amin")
        for (view, index), hit in zip(batch.source, right.tolist(), strict=True):
            question = part[view].asked[index]
            if readable(part[view], question):
                tally[question.category].append(hit)
                tally[f"all {part[view].kind}"].append(hit)
                if question.category == "count":
                    tally[f"count {part[view].kind}"].append(hit)
    return {name: round(float(np.mean(hits)), 3) for name, hits in sorted(tally.items())}


def train_language(folder: Path, shape: Shape, steps: int, seed: int, on: Machine) -> Learner:
    """Train the decoder, or go on where a run in `folder` stopped.

    Args:
        folder: holds `vision.pt`; takes this stage's checkpoint.
        shape: sizes.
        steps: of `VIEWS` views each.
        seed: of weights, scenes and arrangements.
        on: what trains and draws.
    """
    learner = Learner.fresh(shape, seed, tokenizer_in(folder, seed, shape.vocabulary), on.device)
    saved = torch.load(folder / "vision.pt", map_location="cpu", weights_only=True)
    learner.model.model.vision_tower.load_state_dict(saved["tower"])
    optimizer = make_optimizer(learner)
    state: dict[str, Any] = {
        "model": learner.model, "placement": learner.placement, "optimizer": optimizer
    }  # fmt: skip
    stage = Stage(folder / "language.pt", steps, state)
    resumed = stage.resume()
    if stage.share >= 1.0:
        return learner
    held_out = held_out_views(folder, shape, seed)
    if not resumed:
        sample = torch.cat([torch.from_numpy(view.features).float() for view in held_out[:40]])
        standardise(learner.model.model.multi_modal_projector, sample.to(learner.device))
    batches = Batches(Course(folder, shape, seed, steps, FIRST_VIEW), stage.step, on)
    try:
        _fit(learner, optimizer, stage, batches, held_out)
    finally:
        batches.close()
    return learner


def make_optimizer(learner: Learner) -> LayerOptimizer:
    """The projector learns slowly, or its output drowns the placement added to it."""
    slow = list(learner.model.model.multi_modal_projector.parameters())
    inner = {id(p) for p in learner.decoder.layers.parameters()}
    others = [p for p in learner.parameters() if id(p) not in inner]
    return LayerOptimizer([learner.decoder.layers], others, slow, PROJECTOR_PACE)


def held_out_views(folder: Path, shape: Shape, seed: int, count: int = HELD_OUT) -> list[View]:
    """Views of scenes no training run sees."""
    maker = view_maker(folder, shape, seed)
    views = [maker(HELD_OUT_FROM + index) for index in range(count)]
    return [view for view in views if view.asked]


def _fit(
    learner: Learner,
    optimizer: LayerOptimizer,
    stage: Stage,
    batches: Batches,
    held_out: list[View],
) -> None:
    running: dict[str, float] = {}
    while True:
        batch = batches.take()
        found = language_step(learner, optimizer, stage, batch)
        for name, value in found.items():
            running[name] = 0.97 * running.get(name, value) + 0.03 * value
        if stage.step % 50 == 0:
            text = "  ".join(f"{name} {value:.3f}" for name, value in running.items())
            log.info("language %5d  %4.0f s  %s  length %d", stage.step, stage.used, text,
                     batch.position.shape[1])  # fmt: skip
        if stage.step % 300 == 299:
            log.info("language right: %s", score(learner, held_out))
        if not stage.tick():
            break
    log.info("language right: %s", score(learner, held_out))


def language_step(
    learner: Learner, optimizer: LayerOptimizer, stage: Stage, batch: Batch
) -> dict[str, float]:
    """One optimiser step; gives the losses."""
    with torch.autocast(learner.device.type, torch.bfloat16):
        found = losses(learner, batch)
    total = torch.stack([WEIGHTS[name] * value for name, value in found.items()]).sum()
    optimizer.step(total, stage.pace)
    return {name: float(value.detach()) for name, value in found.items()}
