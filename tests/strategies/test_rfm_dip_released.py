"""`compat=released` against the published LRS-VQA procedure, written out here on plain tensors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.checkpoints import add_rfm, make_checkpoint
from tests.tiles import pixels_of
from uhrqa import load_model
from uhrqa.budget import Budget
from uhrqa.errors import BudgetError, ConfigError
from uhrqa.geometry import Size
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.strategies.rfm_dip import RfmDip
from uhrqa.strategies.rfm_dip_released import released_grid, released_levels

QUESTION = "How many ships are there?"
RATIO = 0.25


@pytest.fixture(scope="module")
def lrs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small model with all that the published one has: five layers, pooling, ":", row ends."""
    folder = tmp_path_factory.mktemp("lrs")
    add_rfm(make_checkpoint(folder / "small", layers=6), (0, 1, 2, 3, 5))
    (folder / "small.yaml").write_text(
        "weights: small\npool: 2\nbetween: ':'\nstretch_thumbnail: false\nmin_side: 168\n"
        "rfm: rfm.safetensors\nrfm_layers: 5\n"
    )
    return load_model(str(folder / "small"), device="cpu")


class Spy(Scene):
    """Keeps what the strategy was told."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._read, self.reader.read_grid = self.reader.read_grid, self._note  # type: ignore[method-assign]

    def _note(self, tokens: Any, context: Any, blank: Tensor) -> Tensor:
        scores = self._read(tokens, context, blank)
        self.told = [*getattr(self, "told", []), (tokens, context, blank, scores)]
        return scores


def published_scores(model: Any, prompt: Any, thumbnail: Tensor, grid: Tensor, blank: Tensor):
    """Scores of all cells of a grid: four layers in full, then one row of the fifth."""
    embed = model.model.get_input_embeddings().weight
    colon = model.tokenizer(":").input_ids
    before, after = embed[list(prompt.before)], embed[list(prompt.after)]
    states = torch.cat([before, thumbnail, embed[colon], grid, after])
    start = len(before) + len(thumbnail) + len(colon)
    count, config = len(states), model.rfm.config
    hidden = torch.zeros(count, dtype=torch.bool)
    hidden[start : start + len(grid)] = blank
    mask = torch.full((count, count), -math.inf).triu(1)
    mask[:, hidden] = -math.inf
    width = config.hidden_size // config.num_attention_heads
    theta = config.rope_parameters["rope_theta"]
    angle = torch.arange(count)[:, None] / theta ** (torch.arange(0, width, 2) / width)
    cos, sin = (torch.cat([part, part], 1) for part in (angle.cos(), angle.sin()))
    shared = config.num_attention_heads // config.num_key_value_heads

    def norm(x: Tensor, layer: Any) -> Tensor:
        scaled = x * (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).rsqrt()
        return scaled * layer.weight

    def heads(x: Tensor, layer: Any) -> Tensor:
        return layer(x).reshape(count, -1, width).transpose(0, 1)

    def turned(x: Tensor) -> Tensor:
        first, second = x[..., : width // 2], x[..., width // 2 :]
        return x * cos + torch.cat([-second, first], -1) * sin

    for index, layer in enumerate(model.rfm.layers):
        own, normed = layer.self_attn, norm(states, layer.input_layernorm)
        q = turned(heads(normed, own.q_proj))
        k = turned(heads(normed, own.k_proj)).repeat_interleave(shared, 0)
        logits = q @ k.transpose(1, 2) / math.sqrt(width)
        if index == 4:
            break
        v = heads(normed, own.v_proj).repeat_interleave(shared, 0)
        mixed = (logits + mask).nan_to_num(-math.inf).softmax(-1).nan_to_num() @ v
        states = states + own.o_proj(mixed.transpose(0, 1).reshape(count, -1))
        mlp, normed = layer.mlp, norm(states, layer.post_attention_layernorm)
        gated = torch.nn.functional.silu(mlp.gate_proj(normed)) * mlp.up_proj(normed)
        states = states + mlp.down_proj(gated)
    row = logits[:, -1, start : start + len(grid)]
    row = row + (mask[-1, start : start + len(grid)] != 0)  # as bool: 1 instead of -inf
    return row.softmax(-1).mean(0)


SHAPES = [(400, 400), (300, 500), (120, 160), (900, 333)]


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_are_those_of_the_published_procedure(lrs, shape) -> None:
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3), dtype=np.uint8)
    scene = Spy(open_raster(image), lrs, QUESTION)
    selection = RfmDip(compat="released", keep_ratio=RATIO).select(scene, Budget(10**6))
    with torch.no_grad():
        for tokens, context, blank, scores in scene.told:
            expected = published_scores(lrs, scene.prompt, context.embed, tokens.embed, blank)
            torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    (coarse, _, _, first), (fine, thumbnail, blank, second) = scene.told
    # Which tiles: the best quarter of the cells and every row end, mapped by plain proportion.
    rows, cols = int(coarse.grid[0, 0]), int(coarse.grid[0, 1]) + 1
    assert len(coarse) == rows * cols
    best = set(first.topk(int(RATIO * len(coarse))).indices.tolist())
    best |= {row * cols + cols - 1 for row in range(rows)}
    level = released_levels(scene.size, 56, 168)[1]
    down, right = level.grid
    wanted = {(int(i // cols * down / rows), int(i % cols * right / cols)) for i in best}
    seen = {(int(r) // 2, int(c) // 2) for r, c in zip(fine.row, fine.col, strict=True)}
    held = {(int(r) // 2, int(c) // 2) for r, c in zip(
        fine.row[~blank & ~fine.is_separator], fine.col[~blank & ~fine.is_separator], strict=True
    )}  # fmt: skip
    assert held == wanted & seen
    assert {column for _, column in held} >= {right - 1} or int(fine.grid[0, 1]) <= 2 * (right - 1)
    # What is kept: the best quarter of the cells with a tile, and every row end.
    valid = ~blank
    order = second.masked_fill(blank, -1).topk(int(RATIO * int(valid.sum()))).indices
    kept = fine.is_separator.clone()
    kept[order] = True
    found = selection.tokens.take(torch.arange(len(thumbnail), len(selection.tokens)))
    assert torch.equal(found.box, fine.take(kept).box)
    assert torch.equal(found.embed, fine.take(kept).embed)


def test_pooled_cells_are_the_mean_of_four(lrs) -> None:
    image = np.random.default_rng(1).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    scene = Spy(open_raster(image), lrs, QUESTION)
    RfmDip(compat="released").select(scene, Budget(10**6))
    coarse, thumbnail, _, _ = scene.told[0]
    assert len(thumbnail) == 16  # not pooled
    level = released_levels(scene.size, 56, 168)[0]
    tile = next(iter(level.tiles()))
    whole = lrs.encode_tiles(pixels_of(scene, level, [tile]))[0]  # 4 x 4
    first = coarse.embed[(coarse.row == 0) & (coarse.col == 1)][0]
    torch.testing.assert_close(first, whole[:2, 2:].mean((0, 1)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        (Size(4000, 4000), [(1008, 1008), (2016, 2016)]),
        (Size(900, 700), [(1008, 784), (1008, 784)]),  # one level: looked at twice
        (Size(1009, 1007), [(1008, 1006), (1010, 1008)]),
    ],
)
def test_the_two_levels_are_those_of_the_code(size, levels) -> None:
    found = released_levels(size, 336, 1008)
    assert [level.size for level in found] == [Size(*level) for level in levels]


def test_cropping_truncates_as_the_code_does() -> None:
    first, _ = released_levels(Size(2000, 1500), 336, 1008)
    assert released_grid(first, Size(2000, 1500), 12) == (36, 26)  # not 27
    first, _ = released_levels(Size(6000, 8000), 336, 1008)
    assert released_grid(first, Size(6000, 8000), 12) == (26, 36)


def test_the_budget_holds_and_cuts_by_relevance(lrs) -> None:
    image = np.random.default_rng(1).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    scene = Spy(open_raster(image), lrs, QUESTION)
    with pytest.raises(BudgetError) as caught:
        RfmDip(compat="released").select(scene, Budget(20))
    least = caught.value.least
    assert least is not None
    selection = RfmDip(compat="released").select(scene, Budget(least + 3))
    assert len(selection.tokens) == least + 3
    best = scene.told[-1][3].masked_fill(scene.told[-1][2], -1).topk(3).values
    assert float(best[0]) in selection.relevance.tolist()


def test_a_model_without_a_module_or_row_ends_is_refused(tmp_path: Path) -> None:
    plain: Any = load_model(str(make_checkpoint(tmp_path / "plain")), device="cpu")
    scene = Scene(open_raster(np.zeros((200, 200, 3), np.uint8)), plain, QUESTION)
    with pytest.raises(ConfigError, match="no Region Focus Module; use --option compat=paper"):
        RfmDip(compat="released").select(scene, Budget(1000))
