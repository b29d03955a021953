"""Stage 1: the vision tower learns to say what each patch shows.

Dense labels come free with drawn scenes; linear heads read them off the features that the language
model will see, and are thrown away afterwards.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModel

from uhrqa.geometry import Box, Size
from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.labels import HEADS, Footprints, label_tile
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.window import render
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.progress import Stage
from uhrqa.training.shape import Shape, encode, vision_tower
from uhrqa.training.supply import Maker, Supply

log = logging.getLogger(__name__)

TILES = 32
TILES_A_SCENE = 4
SHAPELESS_SKIPPED = 0.6  # scenes without pools and houses: outlines are the hardest label
NOTHING_WEIGHT = 0.35  # of "no object here", which most patches say
WEIGHTS = {
    "kind": 1.5, "colour": 0.7, "trait": 2.0, "centres": 2.0, "site": 0.6, "surface": 0.4,
    "zone": 0.25,
}  # fmt: skip


class PatchHeads(nn.Module):
    """Linear readers of every label."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in HEADS.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits `[T, n, classes]` by label."""
        normed = self.norm(features)
        return {name: head(normed) for name, head in self.heads.items()}


def draw_tiles(seed: int, shape: Shape, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random tiles at the scales a pyramid has, most of them near something.

    Returns:
        `[count, H, W, 3]` uint8 and `[count, len(HEADS), n]` labels.
    """
    rng = np.random.default_rng([1, seed])
    tiles: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    while len(tiles) < count:
        side = round(math.exp(rng.uniform(math.log(1000), math.log(16384))))
        scene = draw_scene(int(rng.integers(2**31)), side, float(rng.choice([1.0, 1.0, 0.75])))
        if not any(thing.shape for thing in scene.things) and rng.random() < SHAPELESS_SKIPPED:
            continue
        prints = Footprints.of(scene)
        for _ in range(TILES_A_SCENE):
            box = _draw_box(rng, scene, shape.tile)
            pixels = render(scene, box, Size(shape.tile, shape.tile))
            tiles.append(disturb(rng, pixels))
            labels.append(label_tile(scene, prints, box, shape.grid))
    return np.stack(tiles[:count]), np.stack(labels[:count])


def _draw_box(rng: np.random.Generator, scene: SceneTruth, tile: int) -> Box:
    side = max(scene.size)
    coarse = min(1.0, 1000 / side)
    pick = rng.random()
    if pick < 0.62:
        scale = rng.uniform(0.7, 1.15)
    elif pick < 0.82:
        scale = coarse * rng.uniform(0.75, 1.45)
    elif pick < 0.96:
        scale = math.exp(rng.uniform(math.log(coarse * 0.7), 0.1))
    else:
        scale = rng.uniform(112, 700) / side
    span = tile / scale
    if rng.random() < 0.85:
        site = scene.sites[int(rng.integers(len(scene.sites)))]
        shaped = [s for s in scene.sites if s.things and scene.things[s.things[0]].shape]
        if shaped and rng.random() < 0.4:
            site = shaped[int(rng.integers(len(shaped)))]
        if site.things and rng.random() < 0.85:
            thing = scene.things[site.things[int(rng.integers(len(site.things)))]]
            x, y = thing.x, thing.y
        else:
            x, y = (c + rng.uniform(-1, 1) * site.radius for c in (site.x, site.y))
        x, y = (c + rng.uniform(-0.45, 0.45) * span for c in (x, y))
    else:
        x, y = rng.uniform(0, scene.size.w), rng.uniform(0, scene.size.h)
    return Box(x - span / 2, y - span / 2, x + span / 2, y + span / 2)


def disturb(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """A little sensor noise and exposure, so that files and resampling do not matter."""
    gain, shift = rng.uniform(0.95, 1.05), rng.uniform(-5, 5)
    noise = rng.integers(-3, 4, pixels.shape, dtype=np.int8)
    changed = pixels.astype(np.float32) * np.float32(gain) + np.float32(shift) + noise
    return np.asarray(np.clip(changed, 0, 255), dtype=np.uint8)


def _maker(shape: Shape, seed: int) -> Maker:
    return lambda index: draw_tiles(seed * 10**6 + index, shape, TILES)


def patch_loss(logits: dict[str, Tensor], labels: Tensor) -> Tensor:
    """Weighted cross-entropy over all labels; colour and trait only where an object is."""
    total = torch.zeros(())
    shown = labels[:, 0] > 0
    for index, (name, scores) in enumerate(logits.items()):
        target = labels[:, index]
        if name in ("colour", "trait"):
            kept = shown & (target > 0)
            if not kept.any():
                continue
            loss = functional.cross_entropy(scores[kept].float(), target[kept])
        else:
            weight = torch.ones(scores.shape[-1])
            if name in ("kind", "site", "surface"):  # centres are added up: they must not lean
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
    tiles, labels = draw_tiles(999_999_999, shape, count)
    logits = heads(encode(tower, torch.from_numpy(tiles)))
    truth = torch.from_numpy(labels)
    found = {}
    for index, (name, scores) in enumerate(logits.items()):
        target = truth[:, index]
        kept = target > 0 if name != "zone" else target >= 0
        found[name] = float((scores.argmax(-1)[kept] == target[kept]).float().mean())
    held, some = truth[:, 3].sum(-1), truth[:, 3].sum(-1) > 0
    felt = (logits["centres"].softmax(-1) * torch.arange(HEADS["centres"])).sum((-1, -2))
    found["tiles counted"] = float((felt.round() == held)[some].float().mean())
    kind = logits["kind"].argmax(-1)
    found["false alarms"] = float((kind[truth[:, 0] == 0] > 0).float().mean())
    return found


def train_vision(folder: Path, shape: Shape, steps: int, seed: int) -> CLIPVisionModel:
    """Train a tower, or go on where a run in `folder` stopped.

    Args:
        folder: for its checkpoint.
        shape: sizes.
        steps: of `TILES` tiles each.
        seed: of weights and scenes.
    """
    torch.manual_seed(seed)
    tower, heads = vision_tower(shape), PatchHeads(shape.width)
    tower.set_attn_implementation("eager")  # 65 tokens: 1.6 times as fast as sdpa on a CPU
    optimizer = tower_optimizer(tower, heads)
    stage = Stage(
        folder / "vision.pt", steps, {"tower": tower, "heads": heads, "optimizer": optimizer}
    )
    stage.resume()
    if stage.share >= 1.0:
        return tower.eval()
    supply = Supply(partial(_maker, shape, seed), first=stage.step)
    running = 0.0
    try:
        while True:
            loss = vision_step(tower, heads, optimizer, stage, supply.take())
            running = loss if not running else 0.98 * running + 0.02 * loss
            if stage.step % 200 == 0:
                log.info("vision %5d  %4.0f s  loss %.3f", stage.step, stage.used, running)
            if stage.step % 2000 == 1999:
                log.info("vision right: %s", rounded(measure(tower, heads, shape, 256)))
            if not stage.tick():
                break
    finally:
        supply.close()
    log.info("vision right: %s", rounded(measure(tower, heads, shape, 768)))
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
    batch: tuple[np.ndarray, np.ndarray],
) -> float:
    """One optimiser step; gives the loss."""
    tiles, labels = (torch.from_numpy(part) for part in batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss = patch_loss(heads(encode(tower, tiles)), labels)
    optimizer.step(loss, stage.pace)
    return float(loss.detach())
