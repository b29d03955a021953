"""Stage 1: the vision tower learns to say what each patch shows.

Dense labels come free with drawn scenes; linear heads read them off the features that the language
model will see, and are thrown away afterwards.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModel

from uhrqa.synth.labels import HEADS, OF_THINGS
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.progress import Stage
from uhrqa.training.shape import Machine, Shape, encode, vision_tower
from uhrqa.training.supply import Maker, Supply
from uhrqa.training.tiles import TileMaker, Tiles, draw_tiles

log = logging.getLogger(__name__)

HELD_OUT = 768  # tiles measured at the end
NOTHING_WEIGHT = 0.35  # of "no object here", which most patches say
WEIGHTS = {
    "kind": 1.5, "colour": 0.7, "trait": 2.0, "size": 0.5, "site": 0.6, "surface": 0.4,
    "zone": 0.25, "density": 4.0, "sum": 2.0,
}  # fmt: skip
SUMMED_FROM = 0.5  # share of the stage after which whole tiles must add up, too


class PatchHeads(nn.Module):
    """Linear readers of every label, and of the logarithm of the density."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        sizes = {**HEADS, "density": 1}
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in sizes.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits `[T, n, classes]` by label."""
        normed = self.norm(features)
        return {name: head(normed) for name, head in self.heads.items()}


def _maker(shape: Shape, seed: int) -> Maker:
    return TileMaker(shape, seed)


def patch_loss(
    logits: dict[str, Tensor], labels: Tensor, density: Tensor, summed: bool = True
) -> Tensor:
    """Weighted cross-entropy over all labels, and the losses of the density.

    Colour, trait and size count only where an object is. The density has a Poisson loss for each
    patch and, if `summed`, one for the number of objects in the tile.
    """
    shown = labels[:, 0] > 0
    felt = logits["density"][..., 0].float().clamp(-12, 4)
    device = labels.device
    total = WEIGHTS["density"] * (felt.exp() - density * felt).mean()
    if summed:
        held = density.sum(-1)
        gap = (felt.exp().sum(-1) - held) / (held + 1).sqrt()
        total = total + WEIGHTS["sum"] * functional.huber_loss(gap, torch.zeros_like(gap))
    for index, name in enumerate(HEADS):
        scores, target = logits[name], labels[:, index]
        if name in OF_THINGS:
            kept = shown & (target > 0)
            if not kept.any():
                continue
            loss = functional.cross_entropy(scores[kept].float(), target[kept])
        else:
            weight = torch.ones(scores.shape[-1], device=device)
            if name != "zone":
                weight[0] = NOTHING_WEIGHT
            loss = functional.cross_entropy(scores.flatten(0, 1).float(), target.flatten(), weight)
        total = total + WEIGHTS[name] * loss
    return total


def rounded(shares: dict[str, float]) -> dict[str, float]:
    """For a log."""
    return {name: round(share, 3) for name, share in shares.items()}


@torch.inference_mode()
def measure(
    tower: CLIPVisionModel, heads: PatchHeads, shape: Shape, count: int
) -> dict[str, float]:
    """Share of patches, and of tiles' counts, that are right where there is something to see."""
    drawn = draw_tiles(999_999_999, shape, count)
    tiles, truth, density = (torch.from_numpy(part).to(tower.device) for part in drawn)
    logits = heads(encode(tower, tiles))
    found = {}
    for index, name in enumerate(HEADS):
        target = truth[:, index]
        kept = target > 0 if name != "zone" else target >= 0
        found[name] = float((logits[name].argmax(-1)[kept] == target[kept]).float().mean())
    held = density.sum(-1)
    felt = logits["density"][..., 0].exp().sum(-1)
    some = (held > 0.9) & (held < 8.5)
    found["tiles counted"] = float(((felt - held).abs() < 0.5)[some].float().mean())
    kind = logits["kind"].argmax(-1)
    found["false alarms"] = float((kind[truth[:, 0] == 0] > 0).float().mean())
    return found


def train_vision(folder: Path, shape: Shape, steps: int, seed: int, on: Machine) -> CLIPVisionModel:
    """Train a tower, or go on where a run in `folder` stopped.

    Args:
        folder: for its checkpoint.
        shape: sizes.
        steps: of `TILES` tiles each.
        seed: of weights and scenes.
        on: what trains and draws.
    """
    torch.manual_seed(seed)
    device = torch.device(on.device)
    tower, heads = vision_tower(shape), PatchHeads(shape.width).to(device)
    nn.Module.to(tower, device)  # the class's own wrapper is typed wrongly
    tower.set_attn_implementation("eager")  # 65 tokens: 1.6 times as fast as sdpa on a CPU
    optimizer = tower_optimizer(tower, heads)
    stage = Stage(
        folder / "vision.pt", steps, {"tower": tower, "heads": heads, "optimizer": optimizer}
    )
    stage.resume()
    if stage.share >= 1.0:
        return tower.eval()
    supply = Supply(partial(_maker, shape, seed), stage.step, on.workers)
    running = 0.0
    try:
        while True:
            loss = vision_step(tower, heads, optimizer, stage, supply.take())
            running = loss if not running else 0.98 * running + 0.02 * loss
            if stage.step % 200 == 0:
                log.info("vision %5d  %4.0f s  loss %.3f", stage.step, stage.used, running)
            if stage.step % 2000 == 1999:
                log.info("vision right: %s", rounded(measure(tower, heads, shape, HELD_OUT // 3)))
            if not stage.tick():
                break
    finally:
        supply.close()
    log.info("vision right: %s", rounded(measure(tower, heads, shape, HELD_OUT)))
    return tower.eval()


def tower_optimizer(tower: CLIPVisionModel, heads: PatchHeads) -> LayerOptimizer:
    """Muon inside the tower, AdamW at its ends."""
    encoder = tower.encoder.layers
    inner = {id(p) for p in encoder.parameters()}
    ends = [p for p in (*tower.parameters(), *heads.parameters()) if id(p) not in inner]
    return LayerOptimizer([encoder], ends)


def vision_step(
    tower: CLIPVisionModel,
    heads: PatchHeads,
    optimizer: LayerOptimizer,
    stage: Stage,
    batch: Tiles,
) -> float:
    """One optimiser step; gives the loss."""
    tiles, labels, density = (torch.from_numpy(part).to(tower.device) for part in batch)
    with torch.autocast(tower.device.type, torch.bfloat16):
        logits = heads(encode(tower, tiles))
        loss = patch_loss(logits, labels, density, stage.share >= SUMMED_FROM)
    optimizer.step(loss, stage.pace)
    return float(loss.detach())
