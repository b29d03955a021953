"""`compat=released` against the published UHR-BAT procedure, written out here on plain tensors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tests.originals import SIDES, make_original, own_tensors, stock_model
from tests.tiles import pixels_of
from uhrqa import load_model
from uhrqa.budget import Budget
from uhrqa.errors import BudgetError
from uhrqa.geometry import Size
from uhrqa.pyramid import Pyramid, Tile
from uhrqa.raster import open_raster
from uhrqa.relevance_pass import RelevanceReader
from uhrqa.scene import Scene
from uhrqa.strategies.partitions import Partition
from uhrqa.strategies.region_merge import RegionMerge

QUESTION = "How many ships are there?"
BUDGETS = (10, 40, 150)
SHAPES = [(448, 448), (300, 401), (90, 40)]
TILE, CELLS = 56, 4  # px, tokens along a tile's side


@pytest.fixture(scope="module")
def uhr_bat(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("uhr-bat") / "small"
    make_original(path, "uhr-bat")
    return load_model(str(path), device="cpu")


@pytest.fixture(scope="module")
def maps() -> dict[int, Tensor]:
    """`[4, 4, D]` of each view, on the grid of a tile."""
    tables = own_tensors("uhr-bat", stock_model("uhr-bat"))
    found = {}
    for side in SIDES:
        table = tables[f"model.scale_pos_residuals.{side}"][0]
        own = math.isqrt(len(table))
        found[side] = bilinear(table.reshape(own, own, -1), CELLS)
    return found


def bilinear(table: Tensor, side: int) -> Tensor:
    """`[side, side, ...]` of `[m, m, ...]`, corners not aligned, one cell at a time."""
    m = len(table)
    out = table.new_zeros(side, side, *table.shape[2:])
    for i in range(side):
        for j in range(side):
            y, x = (min(max((k + 0.5) * m / side - 0.5, 0), m - 1) for k in (i, j))
            top, left = int(y), int(x)
            low, right = min(top + 1, m - 1), min(left + 1, m - 1)
            a, b = y - top, x - left
            upper = table[top, left] * (1 - b) + table[top, right] * b
            lower = table[low, left] * (1 - b) + table[low, right] * b
            out[i, j] = upper * (1 - a) + lower * a
    return out


def cut(grid: Tensor) -> Tensor:
    """`[T, 4, 4, ...]` tiles of `[side, side, ...]`."""
    starts = range(0, len(grid), CELLS)
    return torch.stack([grid[i : i + CELLS, j : j + CELLS] for i in starts for j in starts])


def importance_of(model: Any, prompt: Any, tokens: Tensor) -> Tensor:
    """`[N]` what the last text token attends to in the last layer, over the whole sequence."""
    embed = model.model.get_input_embeddings().weight
    states = torch.cat([embed[list(prompt.before)], tokens, embed[list(prompt.after)]])
    decoder = model.model.get_decoder()
    config, count = decoder.config, len(states)
    width = config.hidden_size // config.num_attention_heads
    theta = config.rope_parameters["rope_theta"]
    angle = torch.arange(count)[:, None] / theta ** (torch.arange(0, width, 2) / width)
    cos, sin = (torch.cat([part, part], 1) for part in (angle.cos(), angle.sin()))
    shared = config.num_attention_heads // config.num_key_value_heads
    mask = torch.full((count, count), -math.inf).triu(1)

    def norm(x: Tensor, layer: Any) -> Tensor:
        scale = (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).rsqrt()
        return x * scale * layer.weight

    def heads(x: Tensor, layer: Any) -> Tensor:
        return layer(x).reshape(count, -1, width).transpose(0, 1)

    def turned(x: Tensor) -> Tensor:
        first, second = x[..., : width // 2], x[..., width // 2 :]
        return x * cos + torch.cat([-second, first], -1) * sin

    attention = torch.empty(0)
    for layer in decoder.layers:
        own, normed = layer.self_attn, norm(states, layer.input_layernorm)
        q = turned(heads(normed, own.q_proj))
        k = turned(heads(normed, own.k_proj)).repeat_interleave(shared, 0)
        v = heads(normed, own.v_proj).repeat_interleave(shared, 0)
        attention = (q @ k.transpose(1, 2) / math.sqrt(width) + mask).softmax(-1)
        states = states + own.o_proj((attention @ v).transpose(0, 1).reshape(count, -1))
        mlp, normed = layer.mlp, norm(states, layer.post_attention_layernorm)
        gated = torch.nn.functional.silu(mlp.gate_proj(normed)) * mlp.up_proj(normed)
        states = states + mlp.down_proj(gated)
    start = len(prompt.before)
    return attention.mean(0)[-1, start : start + len(tokens)]


def compressed(tokens: Tensor, scores: Tensor, labels: Tensor, budget: int):
    """Kept and merged tokens of a view, and the indices each stands for."""
    clusters = []
    for label in sorted(set(labels.tolist())):
        members = [i for i, own in enumerate(labels.tolist()) if own == label]
        mean = sum(float(scores[i]) for i in members) / len(members)
        clusters.append((mean, members))
    clusters.sort(key=lambda cluster: -cluster[0])  # stable
    out: list[Tensor] = []
    stands_for: list[list[int]] = []
    for mean, members in clusters:
        if len(members) == 1:
            above, rest = [], members
        else:
            above = [i for i in members if float(scores[i]) > mean * (1 + 1e-9)]
            rest = [i for i in members if i not in above]
        above.sort(key=lambda i: -float(scores[i]))
        for group in [[i] for i in above] + ([rest] if rest else []):
            if len(out) < budget:
                out.append(tokens[group].mean(0))
                stands_for.append(group)
    return torch.stack(out), stands_for


def told_order(side: int) -> Tensor:
    """Which of a view's tokens in raster order stands where, tile after tile."""
    cells = side // (TILE // CELLS)
    return cut(torch.arange(cells * cells).reshape(cells, cells)).flatten()


class Spy(Scene):
    """Keeps the raw tokens of each view, and the anchor's scores."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._read, self.reader.read_whole = self.reader.read_whole, self._note  # type: ignore[method-assign]

    def _note(self, tokens: Any, layer: int) -> Tensor:
        self.scores = self._read(tokens, layer)
        return self.scores

    def tokens(
        self, level: Any, tiles: Any = None, *, masked: bool = False, placed: int = 1
    ) -> Any:
        self.raw = {**getattr(self, "raw", {}), level.size.h: super().tokens(level, placed=0)}
        return super().tokens(level, tiles, masked=masked, placed=placed)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_kept_tokens_are_those_of_the_published_procedure(
    uhr_bat, maps, shape, residual, monkeypatch
) -> None:
    seen: list[Tensor] = []
    of = Partition.of

    def spied(*args: Any) -> Tensor:
        seen.append(of(*args))
        return seen[-1]

    monkeypatch.setattr(Partition, "of", spied)
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3), dtype=np.uint8)
    scene = Spy(open_raster(image), uhr_bat, QUESTION)
    told = RegionMerge(
        compat="released", scales=SIDES, shares=BUDGETS, regions=12, scale_residual=residual
    )
    found = told.select(scene, Budget(sum(BUDGETS)))

    def view(side: int, times: int) -> Tensor:
        cells = side // (TILE // CELLS)
        raw = scene.raw[side].embed.reshape(cells, cells, -1)
        return (cut(raw) + times * maps[side]).flatten(0, 2)

    with torch.no_grad():
        published = importance_of(uhr_bat, scene.prompt, view(SIDES[0], 1))
    anchor = scene.scores[told_order(SIDES[0])]  # to the last bit, on which the order hangs
    torch.testing.assert_close(anchor, published, atol=1e-6, rtol=1e-4)
    base = SIDES[0] // (TILE // CELLS)
    tiles = base // CELLS  # back to the grid from one tile after the other
    grid = anchor.reshape(tiles, tiles, CELLS, CELLS).transpose(1, 2).reshape(base, base)
    embeds, weights, boxes = [], [], []
    longer = max(shape)
    for side, budget, labels in zip(SIDES, BUDGETS, seen, strict=True):
        cells = side // (TILE // CELLS)
        scores = functional.interpolate(grid[None, None], (cells, cells), mode="bilinear")[0, 0]
        torch.testing.assert_close(scores, bilinear(grid, cells), atol=1e-7, rtol=1e-5)
        scores = cut(scores).flatten()
        tokens, groups = compressed(view(side, 2 * residual), scores, labels, budget)
        embeds.append(tokens)
        weights += [len(group) for group in groups]
        place = cut(torch.cartesian_prod(torch.arange(cells), torch.arange(cells))
                    .reshape(cells, cells, 2)).flatten(0, 2)  # fmt: skip
        corner = torch.tensor([(longer - shape[0]) // 2, (longer - shape[1]) // 2])
        first = [place[group].amin(0) * longer / cells - corner for group in groups]
        boxes.append(torch.stack(first).flip(1))
    assert len(found.tokens) == len(weights) <= sum(BUDGETS)
    assert found.tokens.weight.tolist() == weights
    torch.testing.assert_close(found.tokens.embed, torch.cat(embeds), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.tokens.box[:, :2], torch.cat(boxes), atol=1e-3, rtol=0)


def test_the_image_lies_in_the_middle_of_a_square_of_the_towers_mean_colour(uhr_bat) -> None:
    image = np.random.default_rng(1).integers(0, 255, (112, 61, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(image).resize((610, 1120)))  # smooth
    canvas = Image.new("RGB", (1120, 1120), uhr_bat.fill)
    canvas.paste(Image.fromarray(image), ((1120 - 610) // 2, 0))
    for side in SIDES:
        level = Pyramid.squares(Size(1120, 610), TILE, SIDES)[1 + SIDES.index(side)]
        wanted = np.asarray(canvas.resize((side, side), Image.Resampling.BICUBIC), np.int64)
        scene = Scene(open_raster(image), uhr_bat, QUESTION)
        tiles = [Tile(row, col) for row in range(side // TILE) for col in range(side // TILE)]
        pixels = pixels_of(scene, level, tiles).permute(0, 2, 3, 1).numpy()
        off = np.stack(
            [abs(wanted[t.row * TILE : (t.row + 1) * TILE, t.col * TILE : (t.col + 1) * TILE] - own)
             for t, own in zip(tiles, pixels, strict=True)]
        ).max(-1)  # fmt: skip
        assert (off > 8).mean() < 0.06  # where image and padding meet
        assert np.median(off) <= 1


def test_small_images_are_stretched_to_every_scale(uhr_bat) -> None:
    scene = Scene(open_raster(np.zeros((40, 30, 3), np.uint8)), uhr_bat, QUESTION)
    told = RegionMerge(compat="released", scales=SIDES, shares=BUDGETS)
    told.select(scene, Budget(200))
    assert sorted(scene.ledger.encoded.values()) == [4, 16, 64]
    (only,) = scene.ledger.passes
    assert (only.source, only.full_layers, only.rows) == ("llm", 3, 1)
    assert sorted(scene.ledger.seen.values()) == [64, 256, 1024]
    assert only.columns == only.sequence  # the softmax runs over text, too


def test_tokens_a_segmenter_left_out_are_candidates_of_their_own(uhr_bat, tmp_path: Path) -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[:, 50:] = 7
    Image.fromarray(labels).save(tmp_path / "labels.png")
    image = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    scene = Scene(open_raster(image), uhr_bat, QUESTION)
    told = RegionMerge(
        compat="released", scales=SIDES, shares=BUDGETS, labels=str(tmp_path / "labels.png")
    )
    tokens = told.select(scene, Budget(10_000)).tokens
    left = tokens.take(tokens.centres()[:, 0] < 100)
    assert (left.weight[left.box[:, 2] <= 100] == 1).all()
    assert (tokens.weight > 1).sum() == len(SIDES)  # what the one region merges


def test_one_token_a_view_is_the_least(uhr_bat) -> None:
    scene = Scene(open_raster(np.zeros((90, 90, 3), np.uint8)), uhr_bat, QUESTION)
    told = RegionMerge(compat="released", scales=SIDES, shares=BUDGETS)
    with pytest.raises(BudgetError, match="3 views"):
        told.select(scene, Budget(2))
    assert len(told.select(scene, Budget(3)).tokens) == 3


def test_a_region_of_equal_scores_keeps_nothing_and_is_merged(uhr_bat, monkeypatch) -> None:
    flat = lambda _, tokens, layer: torch.ones(len(tokens))  # noqa: E731
    monkeypatch.setattr(RelevanceReader, "read_whole", flat)
    image = np.random.default_rng(1).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    scene = Scene(open_raster(image), uhr_bat, QUESTION)
    told = RegionMerge(compat="released", scales=SIDES, shares=BUDGETS, partition="grid", regions=4)
    tokens = told.select(scene, Budget(sum(BUDGETS))).tokens
    assert tokens.weight.tolist() == [16] * 4 + [64] * 4 + [256] * 4
