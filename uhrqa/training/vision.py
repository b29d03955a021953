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
from uhrqa.synth.labels import HEADS, OF_THINGS, Footprints, label_tile
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.splits import SEEDS, scene_seed
from uhrqa.synth.window import render
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.progress import Stage
from uhrqa.training.shape import Machine, Shape, encode, vision_tower
from uhrqa.training.supply import Maker, Supply

log = logging.getLogger(__name__)

TILES = 32
FRESH = 16  # of them new; the others were shown before, turned otherwise
POOL = 4000  # tiles that may be shown again
TILES_A_SCENE = 4
HELD_OUT = 768  # tiles measured at the end
LONGEST = 28_000  # px: longer side of the largest scenes
SHAPELESS_SKIPPED = 0.6  # scenes without anything that has a shape: outlines are the hardest label
NOTHING_WEIGHT = 0.35  # of "no object here", which most patches say
WEIGHTS = {
    "kind": 1.5, "colour": 0.7, "trait": 2.0, "size": 0.5, "site": 0.6, "surface": 0.4,
    "zone": 0.25, "density": 4.0, "sum": 2.0,
}  # fmt: skip
SUMMED_FROM = 0.5  # share of the stage after which whole tiles must add up, too
Tiles = tuple[np.ndarray, np.ndarray, np.ndarray]
"""`[T, H, W, 3]` uint8 pixels, `[T, len(HEADS), n]` classes and `[T, n]` objects to the patch."""


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


def draw_tiles(seed: int, shape: Shape, count: int) -> Tiles:
    """Random tiles at the scales a pyramid has, most of them near something."""
    rng = np.random.default_rng([1, seed])
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while len(found) < count:
        side = round(math.exp(rng.uniform(math.log(1000), math.log(LONGEST))))
        seed = scene_seed("train", int(rng.integers(SEEDS)))
        scene = draw_scene(seed, side, float(rng.choice([1.0, 1.0, 0.75])))
        if not scene.sites:
            continue
        if not any(thing.shape for thing in scene.things) and rng.random() < SHAPELESS_SKIPPED:
            continue
        prints = Footprints.of(scene)
        for _ in range(TILES_A_SCENE):
            box = _draw_box(rng, scene, shape.tile)
            pixels = render(scene, box, Size(shape.tile, shape.tile))
            found.append((disturb(rng, pixels), *label_tile(scene, prints, box, shape.grid)))
    pixels, labels, density = (np.stack(parts) for parts in zip(*found[:count], strict=True))
    return pixels, labels, density


def turned(rng: np.random.Generator, tiles: Tiles) -> Tiles:
    """The same tiles in one of eight orientations, in other light."""
    turn, mirror = int(rng.integers(4)), bool(rng.integers(2))
    grid = round(tiles[1].shape[-1] ** 0.5)

    def move(part: np.ndarray, axis: int) -> np.ndarray:
        part = np.rot90(part, turn, (axis, axis + 1))
        return np.flip(part, axis) if mirror else part

    pixels, labels, density = tiles
    labels = move(labels.reshape(*labels.shape[:-1], grid, grid), 2).reshape(labels.shape)
    density = move(density.reshape(-1, grid, grid), 1).reshape(density.shape)
    return disturb(rng, np.ascontiguousarray(move(pixels, 1))), labels, density


class TileMaker:
    """Makes the batch of a step out of new tiles and earlier ones."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape = shape
        self.seed = seed
        self.pool: list[Tiles] = []

    def __call__(self, step: int) -> Tiles:
        """The tiles of a step."""
        seed = self.seed * 10**6 + step
        rng = np.random.default_rng([5, seed])
        fresh = draw_tiles(seed, self.shape, FRESH)
        shown = self.pool or [fresh]
        again = [shown[int(rng.integers(len(shown)))] for _ in range(2)]
        parts = [fresh, *[turned(rng, _some(tiles, rng)) for tiles in again]]
        self.pool = [*self.pool, fresh][-(POOL // FRESH) :]
        pixels, labels, density = (np.concatenate(part) for part in zip(*parts, strict=True))
        return pixels, labels, density


def _some(tiles: Tiles, rng: np.random.Generator) -> Tiles:
    """Half as many tiles as a batch wants again."""
    kept = rng.permutation(len(tiles[0]))[: (TILES - FRESH) // 2]
    return tiles[0][kept], tiles[1][kept], tiles[2][kept]


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
    """A little sensor noise, blur and exposure, so that files and resampling do not matter.

    Args:
        rng: of every choice.
        pixels: `[..., h, w, 3]` uint8.
    """
    gain, shift = rng.uniform(0.95, 1.05), rng.uniform(-5, 5)
    noise = rng.integers(-4, 5, pixels.shape, dtype=np.int8)
    changed = pixels.astype(np.float32)
    if rng.random() < 0.3:  # as a lossy codec or an overview leaves it
        changed = 0.7 * changed + 0.15 * (np.roll(changed, 1, -2) + np.roll(changed, 1, -3))
    changed = changed * np.float32(gain) + np.float32(shift) + noise
    return np.asarray(np.clip(changed, 0, 255), dtype=np.uint8)


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
