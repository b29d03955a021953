"""Stage 2: projector, placement and decoder learn to answer from selected tokens.

The tower stays as stage 1 left it. Besides the answers, some heads learn where to look: those of
`GROUND` share their attention among the objects asked about, those of `COUNT` give each object's
centre an equal part beside a fixed part for the first token, so that the mass tells the number.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaNextForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, apply_rotary_pos_emb

from uhrqa.training.packing import Batch, arrange, pack, readable
from uhrqa.training.progress import Stage
from uhrqa.training.shape import Shape, llava, spread_out, standardise, vision_tower
from uhrqa.training.supply import Maker, Supply
from uhrqa.training.views import View, ViewMaker
from uhrqa.training.vocabulary import ASSISTANT, END, IMAGE, USER, token_id, tokenizer_in
from uhrqa.vlm.placement import Placement

log = logging.getLogger(__name__)

PEAK_RATE = 1.5e-3
VIEWS = 16
QUESTIONS = 12
POOL = 6000
HELD_OUT = 160
GROUND = {1: (0, 1, 2), 2: (0, 1)}  # layer -> heads that look at what is asked about
COUNT = {2: (2, 3)}  # layer -> heads that weigh objects against the first token
GROUND_WEIGHT, COUNT_WEIGHT = 0.5, 0.6
DILUTED_FROM = 0.35  # share of the stage after which half of the samples are diluted
HELD_OUT_FROM = 10**9


@dataclass
class Learner:
    """All that stage 2 trains."""

    model: LlavaNextForConditionalGeneration
    placement: Placement
    tokenizer: PreTrainedTokenizerFast
    shape: Shape

    @classmethod
    def fresh(cls, shape: Shape, seed: int, tokenizer: PreTrainedTokenizerFast) -> Learner:
        """Fresh weights."""
        torch.manual_seed(seed + 1)
        image = token_id(tokenizer, IMAGE)
        model = llava(shape, image, token_id(tokenizer, END))
        placement = Placement(shape.width)
        spread_out(placement, seed)
        return cls(model, placement, tokenizer, shape)

    @property
    def decoder(self) -> Any:  # noqa: ANN401 - transformers types its parts loosely
        """The stock decoder."""
        return self.model.model.language_model

    @property
    def assistant(self) -> int:
        """The last prompt token."""
        return token_id(self.tokenizer, ASSISTANT)

    def parameters(self) -> list[nn.Parameter]:
        """Everything but the tower."""
        frozen = {id(p) for p in self.model.model.vision_tower.parameters()}
        own = [p for p in self.model.parameters() if id(p) not in frozen]
        return [*own, *self.placement.parameters()]

    def embed(self, batch: Batch) -> Tensor:
        """Input embeddings `[B, 1 + T + X, D]`."""
        projected = self.model.model.multi_modal_projector(batch.features)
        placed = projected + self.placement(batch.centre, batch.depth)
        tokens = batch.mix @ placed.float()
        newline = self.model.model.image_newline
        tokens = torch.where(batch.newline[..., None], newline, tokens)
        table = self.model.get_input_embeddings()
        user = torch.full((len(tokens), 1), token_id(self.tokenizer, USER))
        return torch.cat([table(user), tokens, table(batch.text)], 1)


def attention_bias(batch: Batch) -> Tensor:
    """`[B, 1, N, N]`: who sees whom, and how many tokens each stands for."""
    segment = batch.segment
    count = segment.shape[1]
    key, query = segment[:, None, :], segment[:, :, None]
    seen = ((key == 0) | (key == query)) & (key >= 0) & torch.ones(count, count).tril().bool()
    seen[:, :, 0] = True
    bias = batch.bias[:, None, :].expand(-1, count, -1)
    bias = torch.where(seen, bias, torch.full((), -1e9))[:, None]
    return bias.bfloat16() if torch.is_autocast_enabled("cpu") else bias


@dataclass
class Trace:
    """What a pass through the decoder gives.

    Attributes:
        states: `[B, N, D]` after the last layer's norm.
        rows: attention logits of the asking tokens by layer: `[R, H, 1 + T + X]`, masked.
        inputs: `[B, N, D]` what the first layer was given.
    """

    states: Tensor
    rows: dict[int, Tensor]


def run_layers(
    layers: list[Qwen2DecoderLayer],
    states: Tensor,
    turn: tuple[Tensor, Tensor],
    bias: Tensor,
    asks: Tensor,
    wanted: tuple[int, ...],
) -> Trace:
    """The stock layers' arithmetic, with attention rows of the asking tokens kept."""
    rows = {}
    b, at = asks.T
    for index, layer in enumerate(layers):
        own = layer.self_attn
        normed = layer.input_layernorm(states)
        split = (*normed.shape[:2], -1, own.head_dim)
        q, k, v = (
            part(normed).view(split).transpose(1, 2)
            for part in (own.q_proj, own.k_proj, own.v_proj)
        )
        q, k = apply_rotary_pos_emb(q, k, *turn)
        # Plain products: for heads this narrow they beat the fused kernel on a CPU threefold.
        score = q.to(v) @ k.to(v).transpose(2, 3) * own.head_dim**-0.5 + bias
        if index in wanted:
            rows[index] = score[b, :, at].float()
        mixed = score.softmax(-1, dtype=score.dtype) @ v
        states = states + own.o_proj(mixed.transpose(1, 2).flatten(2))
        states = states + layer.mlp(layer.post_attention_layernorm(states))
    return Trace(states, rows)


def forward(learner: Learner, batch: Batch, wanted: tuple[int, ...] = (1, 2)) -> Trace:
    """Embed and decode a batch."""
    states = learner.embed(batch)
    turn = learner.decoder.rotary_emb(states, batch.position)
    layers = list(learner.decoder.layers)
    trace = run_layers(layers, states, turn, attention_bias(batch), batch.asks, wanted)
    return Trace(learner.decoder.norm(trace.states), trace.rows)


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(target || softmax(logits)) per row; rows whose target is zero give zero."""
    log_p = logits.log_softmax(-1)[..., : target.shape[-1]]
    entropy = torch.xlogy(target, target).sum(-1)
    return entropy - (target * log_p.clamp_min(-50)).sum(-1)


def losses(learner: Learner, batch: Batch) -> dict[str, Tensor]:
    """Answer, grounding and counting losses."""
    trace = forward(learner, batch)
    b, at = batch.answers.T
    logits = learner.model.lm_head(trace.states[b, at]).float()
    each = functional.cross_entropy(logits, batch.labels, reduction="none")
    weight = batch.weight[batch.of]
    found = {"answer": (each * weight).sum() / weight.sum()}
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


def make_batch(
    learner: Learner,
    views: list[View],
    rng: np.random.Generator,
    long: float = 0.0,
    dilute: float = 0.5,
) -> Batch:
    """A random arrangement of some views."""
    layouts = [arrange(view, rng, QUESTIONS, long, dilute) for view in views]
    return pack(views, layouts, learner.assistant)


@torch.inference_mode()
def score(learner: Learner, views: list[View], seed: int = 5) -> dict[str, float]:
    """Share of questions answered right, by kind of view and by category; readable ones only."""
    rng = np.random.default_rng(seed)
    tally: dict[str, list[float]] = defaultdict(list)
    for start in range(0, len(views), VIEWS):
        part = views[start : start + VIEWS]
        batch = make_batch(learner, part, rng, long=0.3)
        with torch.autocast("cpu", torch.bfloat16):
            trace = forward(learner, batch)
            b, at = batch.answers.T
            said = learner.model.lm_head(trace.states[b, at]).argmax(-1)
        right = torch.ones(len(batch.asks))
        right.scatter_reduce_(0, batch.of, (said == batch.labels).float(), "amin")
        for (view, index), hit in zip(batch.source, right.tolist(), strict=True):
            question = part[view].asked[index]
            if readable(part[view], question):
                tally[question.category].append(hit)
                tally[f"all {part[view].kind}"].append(hit)
                if question.category == "count":
                    tally[f"count {part[view].kind}"].append(hit)
    return {name: round(float(np.mean(hits)), 3) for name, hits in sorted(tally.items())}


def view_maker(folder: Path, shape: Shape, seed: int) -> Maker:
    """What makes views with the tower in `folder`; for a process of its own."""
    torch.set_num_threads(1)
    tower = vision_tower(shape)
    saved = torch.load(folder / "vision.pt", map_location="cpu", weights_only=True)
    tower.load_state_dict(saved["tower"])
    return ViewMaker(tower.eval(), tokenizer_in(folder, seed, shape.vocabulary), shape, seed)


class ViewPool:
    """Views that came so far; each is used soon after it comes, and again later."""

    def __init__(self, supply: Supply, size: int = POOL) -> None:
        self.supply = supply
        self.size = size
        self.views: list[View] = []
        self.came = 0

    def draw(self, rng: np.random.Generator, count: int) -> list[View]:
        """`count` views: what has just come first, then random earlier ones."""
        fresh: list[View] = []
        least = 2 if len(self.views) > 400 else count  # the renderer may lag; training goes on
        while len(fresh) < count and (len(fresh) < least or self.supply.ready() > 0):
            view = self.supply.take()
            self.came += 1
            if view.asked:
                fresh.append(view)
        old = count - len(fresh) if self.views else 0
        again = [self.views[int(rng.integers(len(self.views)))] for _ in range(old)]
        self.views = (self.views + fresh)[-self.size :]
        return fresh + again


def train_language(folder: Path, shape: Shape, minutes: float, seed: int) -> Learner:
    """Train the decoder, or go on where a run in `folder` stopped.

    Args:
        folder: holds `vision.pt`; takes this stage's checkpoint.
        shape: sizes.
        minutes: time limit.
        seed: of weights, scenes and arrangements.
    """
    learner = Learner.fresh(shape, seed, tokenizer_in(folder, seed, shape.vocabulary))
    saved = torch.load(folder / "vision.pt", map_location="cpu", weights_only=True)
    learner.model.model.vision_tower.load_state_dict(saved["tower"])
    optimizer = torch.optim.AdamW(
        learner.parameters(), lr=PEAK_RATE, weight_decay=0.02, betas=(0.9, 0.98)
    )
    state: dict[str, Any] = {
        "model": learner.model, "placement": learner.placement, "optimizer": optimizer
    }  # fmt: skip
    stage = Stage(folder / "language.pt", minutes, state)
    resumed = stage.resume()
    if stage.share >= 1.0:
        return learner
    held_out = held_out_views(folder, shape, seed)
    if not resumed:
        sample = torch.cat([torch.from_numpy(view.features).float() for view in held_out[:40]])
        standardise(learner.model.model.multi_modal_projector, sample)
    build = partial(view_maker, folder, shape, seed)
    supply = Supply(build, first=stage.step * VIEWS, ahead=64)
    try:
        _fit(learner, optimizer, stage, ViewPool(supply), held_out)
    finally:
        supply.close()
    return learner


def held_out_views(folder: Path, shape: Shape, seed: int, count: int = HELD_OUT) -> list[View]:
    """Views of scenes no training run sees."""
    maker = view_maker(folder, shape, seed)
    views = [maker(HELD_OUT_FROM + index) for index in range(count)]
    return [view for view in views if view.asked]


def _fit(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    stage: Stage,
    pool: ViewPool,
    held_out: list[View],
) -> None:
    rng = np.random.default_rng([4, stage.step])
    running: dict[str, float] = {}
    scored = stage.used
    while True:
        long = 0.0 if stage.share < 0.6 else 0.35
        dilute = 0.5 * min(1.0, stage.share / DILUTED_FROM)
        batch = make_batch(learner, pool.draw(rng, VIEWS), rng, long, dilute)
        found = language_step(learner, optimizer, stage, batch)
        for name, value in found.items():
            running[name] = 0.97 * running.get(name, value) + 0.03 * value
        if stage.step % 50 == 0:
            text = "  ".join(f"{name} {value:.3f}" for name, value in running.items())
            log.info("language %5d  %4.0f s  %s  views %d  length %d", stage.step, stage.used, text,
                     pool.came, batch.position.shape[1])  # fmt: skip
        if stage.used - scored > 150:
            log.info("language right: %s", score(learner, held_out))
            scored = stage.used
        if not stage.tick():
            break
    log.info("language right: %s", score(learner, held_out))


def language_step(
    learner: Learner, optimizer: torch.optim.Optimizer, stage: Stage, batch: Batch
) -> dict[str, float]:
    """One optimiser step; gives the losses."""
    for group in optimizer.param_groups:
        group["lr"] = stage.rate(PEAK_RATE)
    with torch.autocast("cpu", torch.bfloat16):
        found = losses(learner, batch)
    total = found["answer"] + GROUND_WEIGHT * found["ground"] + COUNT_WEIGHT * found["count"]
    optimizer.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    optimizer.step()
    return {name: float(value.detach()) for name, value in found.items()}
