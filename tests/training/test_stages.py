"""Each stage learns something in twenty steps, and a killed run goes on where it was saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from tests.training.makers import build_squares
from uhrqa.rfm import from_layers, load_rfm, save_rfm
from uhrqa.synth.labels import HEADS
from uhrqa.tokens import VisualTokens
from uhrqa.training import vision
from uhrqa.training.batches import make_batch
from uhrqa.training.checkpoint import save_checkpoint
from uhrqa.training.decoder import Learner, forward
from uhrqa.training.distillation import distillation_loss
from uhrqa.training.language import language_step, make_optimizer, score
from uhrqa.training.layout import arrange
from uhrqa.training.optimizer import LayerOptimizer
from uhrqa.training.packing import pack
from uhrqa.training.progress import Stage
from uhrqa.training.rfm import LAYERS, rfm_step
from uhrqa.training.shape import Machine, Shape, encode, standardise, vision_tower
from uhrqa.training.supply import Supply
from uhrqa.training.tiles import TileMaker, draw_tiles, turned
from uhrqa.training.views import View, ViewMaker
from uhrqa.training.vision import (
    WEIGHTS,
    PatchHeads,
    patch_loss,
    tower_optimizer,
    train_vision,
    vision_step,
)
from uhrqa.training.vocabulary import learn_tokenizer
from uhrqa.vlm.card import card_of_directory
from uhrqa.vlm.loading import Loading
from uhrqa.vlm.opening import open_checkpoint

SMALL = Shape(width=32, vision_layers=1, vision_heads=2, vision_ffn=48, layers=3, heads=4, ffn=48,
              vocabulary=640)  # fmt: skip


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner.fresh(SMALL, 0, learn_tokenizer(0, SMALL.vocabulary))


@pytest.fixture(scope="module")
def views(learner: Learner) -> list[View]:
    torch.manual_seed(0)
    tower, heads = vision_tower(SMALL).eval(), PatchHeads(SMALL.width)
    maker = ViewMaker(tower, heads, learner.tokenizer, SMALL, 0)
    made = [maker(index) for index in range(5)]
    return [view for view in made if view.asked]


def stage_in(folder: Path) -> Stage:
    return Stage(folder / "x.pt", 100, {}, step=10)


def test_the_tower_learns_to_label_patches(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower, heads = vision_tower(SMALL), PatchHeads(SMALL.width)
    optimizer = tower_optimizer(tower, heads)
    batch = draw_tiles(0, SMALL, 8)
    losses = [vision_step(tower, heads, optimizer, stage_in(tmp_path), batch) for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


def test_tiles_shown_again_are_turned_with_their_labels() -> None:
    tiles = draw_tiles(3, SMALL, 4)
    again = turned(np.random.default_rng(1), tiles)
    assert np.array_equal(np.sort(again[1].ravel()), np.sort(tiles[1].ravel()))
    bright = tiles[0].astype(float).mean(-1).reshape(4, 8, 14, 8, 14).mean((2, 4)).reshape(4, 64)
    moved = again[0].astype(float).mean(-1).reshape(4, 8, 14, 8, 14).mean((2, 4)).reshape(4, 64)
    zone = list(HEADS).index("kind")
    for index in range(4):  # a patch keeps its label and its brightness together
        for label in np.unique(tiles[1][index, zone]):
            before = bright[index][tiles[1][index, zone] == label].mean()
            after = moved[index][again[1][index, zone] == label].mean()
            assert abs(before - after) < 20
    first, same = TileMaker(SMALL, 0), TileMaker(SMALL, 0)
    for step in range(2):
        assert all(np.array_equal(a, b) for a, b in zip(first(step), same(step), strict=True))


def test_two_trainings_with_one_seed_give_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision, "HELD_OUT", 8)
    towers = []
    for run in ("one", "two"):
        train_vision(tmp_path / run, SMALL, 4, seed=3, on=Machine())
        saved = torch.load(tmp_path / run / "vision.pt", weights_only=True)
        towers.append(saved["tower"])
        assert saved["step"] == 4
    assert all(torch.equal(towers[0][name], towers[1][name]) for name in towers[0])
    other = vision_tower(SMALL).state_dict()
    assert not all(torch.equal(towers[0][name], other[name]) for name in other)


def test_a_tile_whose_density_adds_up_costs_less() -> None:
    labels = torch.zeros(1, len(HEADS), 4, dtype=torch.int64)
    density = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    logits = {name: torch.zeros(1, 4, count) for name, count in HEADS.items()}
    spread = {**logits, "density": torch.full((1, 4, 1), 0.25).log()}
    double = {**logits, "density": torch.full((1, 4, 1), 0.5).log()}
    gains = [
        float(patch_loss(case, labels, density) - patch_loss(case, labels, density, summed=False))
        for case in (spread, double)
    ]
    assert gains[0] == pytest.approx(0, abs=1e-6)
    # One too many of one: half of the square of 1 / sqrt(2), weighted.
    assert gains[1] == pytest.approx(WEIGHTS["sum"] * 0.25, rel=1e-5)


def test_the_decoder_learns_to_answer_look_and_count(
    tmp_path: Path, learner: Learner, views: list[View]
) -> None:
    optimizer = make_optimizer(learner)
    batch = make_batch(views[:4], np.random.default_rng(0), learner.assistant, dilute=0.0)
    found = [language_step(learner, optimizer, stage_in(tmp_path), batch) for _ in range(40)]
    assert found[-1]["answer"] < 0.8 * found[0]["answer"]
    assert found[-1]["ground"] < 0.95 * found[0]["ground"]
    assert found[-1]["count"] < 0.9 * found[0]["count"]
    assert all(0 <= share <= 1 for share in score(learner, views).values())


def test_the_module_learns_to_attend_like_its_teacher(
    tmp_path: Path, learner: Learner, views: list[View]
) -> None:
    rfm = from_layers(learner.decoder, LAYERS)
    rfm.requires_grad_(True)
    optimizer = LayerOptimizer([rfm])
    batch = make_batch(views[:4], np.random.default_rng(0), learner.assistant, dilute=0.0)
    losses = [rfm_step(rfm, learner, optimizer, stage_in(tmp_path), batch) for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]


def test_distillation_is_free_only_where_student_and_teacher_agree() -> None:
    teacher = torch.randn(2, 3, 5)
    visual = torch.tensor([[False, True, True, False, True]] * 2)
    assert float(distillation_loss(teacher, teacher, visual)) == pytest.approx(0, abs=1e-6)
    moved = teacher.clone()
    moved[..., 2] += 1
    assert float(distillation_loss(moved, teacher, visual)) > 0.05


def test_packed_questions_do_not_see_each_other(learner: Learner, views: list[View]) -> None:
    view = views[0]
    layout = arrange(view, np.random.default_rng(0), 3)
    batch = pack([view], [layout], learner.assistant)
    with torch.no_grad():
        before = forward(learner, batch).states
        last = batch.segment == batch.segment.max()
        width = 1 + batch.mix.shape[1]
        batch.text[last[:, width:]] = 7  # the last question changes
        after = forward(learner, batch).states
    assert torch.allclose(before[~last], after[~last], atol=1e-5)
    assert not torch.allclose(before[last], after[last], atol=1e-3)


def test_a_projector_starts_with_standard_features() -> None:
    torch.manual_seed(0)
    projector = nn.Module()
    projector.linear_1, projector.linear_2 = nn.Linear(8, 8), nn.Linear(8, 8)
    features = torch.randn(500, 8) * 40 + 100
    standardise(projector, features)
    inside = projector.linear_1(features).detach()
    assert float(inside.mean(0).abs().max()) < 1e-3
    assert 0.4 < float(inside.std()) < 1.6


def test_a_stage_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    stage = Stage(tmp_path / "stage.pt", 300, {"layer": layer})
    stage.step, stage.used = 41, 120.0
    assert stage.tick()
    stage.save()
    fresh = nn.Linear(2, 2)
    again = Stage(tmp_path / "stage.pt", 300, {"layer": fresh})
    assert again.resume()
    assert again.step == 42
    assert again.used == pytest.approx(120, abs=1)
    assert torch.equal(fresh.weight, layer.weight)
    again.step = 299
    assert again.share < 1


def test_a_stage_ends_after_its_steps_and_its_pace_falls(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage.pt", 100, {})
    paces = []
    for step in (0, 3, 50, 99):
        stage.step = step
        paces.append(stage.pace)
    assert paces[0] < paces[1] > paces[2] > paces[3] > 0
    assert not stage.tick()
    assert (tmp_path / "stage.pt").exists()


def test_a_supply_starts_at_the_index_it_is_told() -> None:
    supply = Supply(build_squares, first=3)
    try:
        assert [supply.take() for _ in range(3)] == [9, 16, 25]
    finally:
        supply.close()


def test_a_view_depends_on_its_index_alone(learner: Learner, views: list[View]) -> None:
    torch.manual_seed(0)
    tower, heads = vision_tower(SMALL).eval(), PatchHeads(SMALL.width)
    maker = ViewMaker(tower, heads, learner.tokenizer, SMALL, 0)
    maker(5)
    again = maker(0)
    assert np.array_equal(again.features, views[0].features)
    assert again.asked == views[0].asked


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, learner: Learner) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(learner, from_layers(learner.decoder, LAYERS), folder)
    return folder


def test_a_saved_checkpoint_answers_through_the_stock_classes(
    saved: Path, learner: Learner
) -> None:
    model = open_checkpoint(card_of_directory(saved, "small"), Loading(device="cpu"))
    prompt = model.build_prompt("How many CARS are there, zebra?")
    assert prompt.before == (1,)
    assert prompt.after[-1] == learner.assistant
    tiles = torch.from_numpy(draw_tiles(1, SMALL, 8)[0])
    embed = model.encode_tiles(tiles.permute(0, 3, 1, 2)).flatten(1, 2)[0]
    with torch.inference_mode():
        own = learner.model.model.multi_modal_projector(
            encode(model.model.model.vision_tower, tiles)
        )
    assert torch.allclose(embed, own[0], atol=0.02)
    still = torch.zeros(64, dtype=torch.int64)
    tokens = VisualTokens(
        embed, torch.zeros(64, 4), still, still, still, torch.ones(64, 2).long(), still + 1
    )
    written = model.generate(model.assemble(prompt, tokens), 4)
    assert len(written.ids) <= 4


def test_every_file_of_a_checkpoint_can_be_read_by_all(saved: Path) -> None:
    for file in saved.glob("*.safetensors"):
        assert file.stat().st_mode & 0o044 == 0o044
    config = json.loads((saved / "config.json").read_text())
    assert config["vision_feature_select_strategy"] == "default"
    assert config["vision_feature_layer"] == -1


def test_a_saved_module_says_where_it_came_from_and_loads(saved: Path, learner: Learner) -> None:
    file = saved / "rfm.safetensors"
    with safe_open(file, "pt") as tensors:
        assert tensors.metadata() == {"format": "uhrqa-rfm", "layers": "[0, 2]"}
    rfm = load_rfm(file, learner.decoder)
    theirs = learner.decoder.layers[2].self_attn.q_proj.weight
    mine = rfm.get_parameter("layers.1.self_attn.q_proj.weight")
    assert torch.allclose(mine, theirs, atol=1e-3)
    save_rfm(rfm, file.with_name("again.safetensors"), LAYERS)
