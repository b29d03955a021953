"""What the language model learns from: part of a scene's tokens, and questions they answer.

A view holds the thumbnail and some tokens of one level or more, as a strategy would leave them:
those of the objects asked about, and others. `full` says how many tokens the level would bring
were nothing dropped, so that training can weigh the others as if all of them were there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPVisionModel, PreTrainedTokenizerFast

from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Level, Pyramid, Tile
from uhrqa.synth.drawing import draw_scene
from uhrqa.synth.labels import Footprints
from uhrqa.synth.questions import Question, make_questions
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.splits import SEEDS, scene_seed
from uhrqa.synth.window import render
from uhrqa.training.marks import mark, site_hits, thin
from uhrqa.training.shape import Shape, encode
from uhrqa.training.tiles import LONGEST, disturb
from uhrqa.training.vision import PatchHeads

LEVEL1_SIDE = 896
VIEW_SIDES = (448, 672, 896, 1344, 2016, 2688)
MOST_VIEWS = 3
MOST_TILES = 16
FILL = 115  # the grey that normalises to zero, which pads tiles
DIP_TOKENS = 2560  # N_max = 40 tiles: what a relevance pass over a finer level sees


@dataclass(slots=True)
class View:
    """Tokens of a scene and what is true of them.

    Attributes:
        features: `[S, D]` float16 vision features.
        tempting: `[S]` in [0, 1]: how much a token looks like an object or a site's ground.
        level: `[S]`; 0 is the thumbnail.
        row: `[S]` in the level's token grid.
        col: `[S]`.
        centre: `[S, 2]` (x, y) in [0, 1].
        depth: `[S]` log2 of tokens along the longer side.
        full: tokens of each level, were nothing dropped.
        scale: pixels per source pixel of each level.
        kind: "fine", "coarse" or "views".
        thing_hits: `[K, 2]` (object, token) pairs.
        centres: `[C, 2]` (object, token of its centre) pairs.
        parts: `[P, 2]` (object, token that shows a part of it) pairs.
        part_share: `[P]` share of the object's area in the token.
        site_hits: `[M, 2]` (site, token) pairs.
        length: `[T]` of objects, source pixels.
        asked: questions the tokens can answer.
        ids: token ids of each question's text and of its answer.
    """

    features: np.ndarray
    tempting: np.ndarray
    level: np.ndarray
    row: np.ndarray
    col: np.ndarray
    centre: np.ndarray
    depth: np.ndarray
    full: dict[int, int]
    scale: dict[int, float]
    kind: str
    thing_hits: np.ndarray
    centres: np.ndarray
    parts: np.ndarray
    part_share: np.ndarray
    site_hits: np.ndarray
    length: np.ndarray
    asked: list[Question] = field(default_factory=list)
    ids: list[tuple[list[int], list[int]]] = field(default_factory=list)


class ViewMaker:
    """Makes the view of an index; each index is another scene."""

    def __init__(self, tower: CLIPVisionModel, heads: PatchHeads,
                 tokenizer: PreTrainedTokenizerFast, shape: Shape, seed: int) -> None:  # fmt: skip
        self.tower = tower
        self.heads = heads
        self.tokenizer = tokenizer
        self.shape = shape
        self.seed = seed

    def __call__(self, index: int) -> View:
        """The view of an index."""
        rng = np.random.default_rng([3, self.seed, index])
        scene = _draw(rng)
        kind = str(rng.choice(["fine", "coarse", "views"], p=[0.55, 0.2, 0.25]))
        sites = rng.permutation(len(scene.sites)).tolist()
        chosen = [
            (level, self._tiles(rng, scene, level, sites)) for level in _levels(rng, scene, kind)
        ]
        view, covered = self._encode(rng, scene, kind, chosen)
        shown = set(view.site_hits[:, 0].tolist())
        for question in make_questions(scene, int(rng.integers(2**31)), suffix=0.12):
            if covered.issuperset((*question.things, *question.among)) and shown.issuperset(
                question.sites
            ):
                view.asked.append(question)
                view.ids.append(self._ids(rng, question))
        return view

    def _ids(self, rng: np.random.Generator, question: Question) -> tuple[list[int], list[int]]:
        lead = str(rng.choice(["", "\n", " "], p=[0.7, 0.2, 0.1]))
        text = self.tokenizer(lead + question.text, add_special_tokens=False)["input_ids"]
        answer = self.tokenizer(question.answer, add_special_tokens=False)["input_ids"]
        return text, [*answer, self.tokenizer.eos_token_id]

    def _tiles(self, rng: np.random.Generator, scene: SceneTruth, level: Level,
               sites: list[int]) -> list[Tile]:  # fmt: skip
        """Tiles that show whole sites' objects, as many sites as fit, and a few others."""
        if level.index == 0 or level.tile_count <= 6:
            return list(level.tiles())
        chosen: set[Tile] = set()
        for index in sites:
            site = scene.sites[index]
            wanted: set[Tile] = set()
            for thing in site.things:
                wanted |= level.tiles_in(scene.things[thing].box)
            if not wanted:
                r = site.radius * 0.3
                wanted = level.tiles_in(Box(site.x - r, site.y - r, site.x + r, site.y + r))
            if len(chosen | wanted) <= MOST_TILES:
                chosen |= wanted
        rows, cols = level.grid
        others = rng.integers(2, 6) if level.is_view else rng.integers(5, 16)
        for _ in range(min(MOST_TILES + 9 - len(chosen), int(others))):
            if sites and rng.random() < 0.75:  # a site's own structure is what a zoom brings along
                site = scene.sites[sites[0 if rng.random() < 0.6 else -1]]
                x, y = (c + 1.4 * rng.uniform(-1, 1) * site.radius for c in (site.x, site.y))
                chosen |= level.tiles_in(Box(x, y, x + 1, y + 1))
            else:
                chosen.add(Tile(int(rng.integers(rows)), int(rng.integers(cols))))
        return sorted(chosen, key=lambda tile: (tile.row, tile.col))

    def _encode(self, rng: np.random.Generator, scene: SceneTruth, kind: str,
                chosen: list[tuple[Level, list[Tile]]]) -> tuple[View, set[int]]:  # fmt: skip
        grid = self.shape.grid
        prints = Footprints.of(scene)
        exposure = np.random.default_rng(int(rng.integers(2**31)))
        fill = int(rng.choice([0, FILL], p=[0.2, 0.8]))
        pixels = [
            _tile_pixels(scene, level, tile, fill) for level, tiles in chosen for tile in tiles
        ]
        batch = torch.from_numpy(disturb(exposure, np.stack(pixels)))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            encoded = encode(self.tower, batch)
            tempting = temptation(self.heads(encoded)).flatten().numpy()
            features = encoded.half().flatten(0, 1).numpy()
        table, hit, middle, parts = mark(scene, prints, chosen, grid)
        kept, hit, middle = thin(rng, tempting, table, hit, middle)
        finest = max(level.index for level, _ in chosen)
        covered = {t for t, token in middle if table[kept[token], 0] == finest}
        new = {int(old): index for index, old in enumerate(kept)}
        shown = {(t, new[token]): share for (t, token), share in parts.items() if token in new}
        table = table[kept]
        view = View(
            features=features[kept],
            tempting=tempting[kept],
            level=table[:, 0].astype(np.int64),
            row=table[:, 1].astype(np.int64),
            col=table[:, 2].astype(np.int64),
            centre=table[:, 3:5].astype(np.float32),
            depth=table[:, 5].astype(np.float32),
            full=_full(chosen, kind, grid),
            scale={level.index: max(level.scale) for level, _ in chosen},
            kind=kind,
            thing_hits=np.array(hit, dtype=np.int64).reshape(-1, 2),
            centres=np.array(middle, dtype=np.int64).reshape(-1, 2),
            parts=np.array(list(shown), dtype=np.int64).reshape(-1, 2),
            part_share=np.array(list(shown.values()), np.float32),
            site_hits=site_hits(scene, table),
            length=prints.length,
        )
        return view, covered


def _draw(rng: np.random.Generator) -> SceneTruth:
    side = round(math.exp(rng.uniform(math.log(1000), math.log(LONGEST))))
    aspect = float(rng.choice([1.0, 0.75, rng.uniform(0.5, 1.0)], p=[0.6, 0.2, 0.2]))
    return draw_scene(scene_seed("train", int(rng.integers(SEEDS))), side, aspect)


def _levels(rng: np.random.Generator, scene: SceneTruth, kind: str) -> list[Level]:
    if kind == "views":
        pyramid = Pyramid.views(scene.size, 112, VIEW_SIDES)
        count = int(rng.integers(1, min(MOST_VIEWS, len(pyramid) - 1) + 1))
        kept = sorted(rng.permutation(np.arange(1, len(pyramid)))[:count].tolist())
        return [pyramid[index] for index in [0, *kept]]
    pyramid = Pyramid.build(scene.size, 112, LEVEL1_SIDE)
    if kind == "coarse":
        return [pyramid[0], pyramid[1]]
    index = len(pyramid) - 1
    if index > 1 and rng.random() < 0.25:
        index -= 1
    return [pyramid[0], pyramid[index]]


def _tile_pixels(scene: SceneTruth, level: Level, tile: Tile, fill: int) -> np.ndarray:
    """A tile's pixels; what lies past the image is filled."""
    side = level.tile
    h = min(side, level.size.h - tile.row * side)
    w = min(side, level.size.w - tile.col * side)
    sy, sx = level.scale
    x0, y0 = tile.col * side / sx, tile.row * side / sy
    pixels = np.full((side, side, 3), fill, np.uint8)
    pixels[:h, :w] = render(scene, Box(x0, y0, x0 + w / sx, y0 + h / sy), Size(h, w))
    return pixels


def temptation(logits: dict[str, Tensor]) -> Tensor:
    """`[T, n]`: chance that a patch is an object, plus a third of that of a site's ground."""
    thing, site = (1 - logits[name].float().softmax(-1)[..., 0] for name in ("kind", "site"))
    return torch.maximum(thing, site / 3)


def _full(chosen: list[tuple[Level, list[Tile]]], kind: str, grid: int) -> dict[int, int]:
    found = {}
    for level, _ in chosen:
        every = round(level.size.area / (level.tile / grid) ** 2)
        found[level.index] = every if kind != "fine" else min(every, DIP_TOKENS)
    return found
