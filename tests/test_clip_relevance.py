"""Relevance from a paired text tower."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.clip import KINDS, WORDS, make_clip
from tests.tiles import pixels_of
from uhrqa import ask, load_model
from uhrqa.errors import CheckpointError, ConfigError, LongQuestionWarning
from uhrqa.features import FeatureCache
from uhrqa.plan import plan
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.vlm.paired import load_paired, paired_flops

QUESTION = "how many ships are there"
STRATEGIES = ["attention-topk", "cdpruner", "region-merge", "rfm-dip", "thumbnail-quota"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (300, 260, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=list(KINDS))
def clip(request, tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / request.param, request.param)


@pytest.fixture(scope="module")
def model(clip, checkpoint):
    return load_model(str(checkpoint), device="cpu", clip=clip)


def cosines(path, pixels: torch.Tensor, question: str) -> torch.Tensor:
    """`[T, patches]`, by the stock model, one tower after the other."""
    kind: Any = KINDS[path.name][1]
    stock = kind.from_pretrained(path).eval()
    from tests.checkpoints import make_tokenizer

    more = {} if path.name == "clip" else {"padding": "max_length", "max_length": WORDS}
    ids = make_tokenizer()(question, return_tensors="pt", **more).input_ids
    mean, std = torch.tensor([0.5, 0.4, 0.2]), torch.tensor([0.5, 0.6, 0.7])
    tiles = (pixels.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        text = stock.get_text_features(ids).pooler_output[0]
        hidden = stock.vision_model(tiles).last_hidden_state
        if path.name == "clip":
            hidden = stock.vision_model.post_layernorm(hidden)[:, 1:]
            seen = hidden @ stock.visual_projection.weight.T
        else:  # each patch as if it were the only one
            head = stock.vision_model.head
            rows = [torch.stack([head(part[None, None])[0] for part in tile]) for tile in hidden]
            seen = torch.stack(rows)
    return torch.cosine_similarity(seen, text, dim=-1)


def test_scores_are_the_stock_models_cosines(model, clip, image) -> None:
    scene = Scene(open_raster(image), model, QUESTION)
    level = scene.pyramid.finest
    tiles = list(level.tiles())
    tokens = scene.tokens(level)
    scores = scene.relevance(tokens, source="clip")
    pixels = pixels_of(scene, level, tiles)
    whole = cosines(clip, pixels, QUESTION)
    wide = level.grid[1]
    number = tokens.row // 4 * wide + tokens.col // 4
    expected = whole[number, tokens.row % 4 * 4 + tokens.col % 4]
    torch.testing.assert_close(scores, (expected * np.exp(3)).softmax(0), rtol=1e-3, atol=1e-7)
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_with_relevance_takes_it(model, image, name) -> None:
    how = {"model": model, "strategy": name, "budget": 60, "max_new_tokens": 1}
    answer = ask(image, QUESTION, options={"relevance": "clip"}, **how)
    assert {entry.source for entry in answer.relevance} == {"clip"}
    other = ask(image, "what color is the roof", options={"relevance": "clip"}, **how)
    assert answer.evidence != other.evidence
    assert answer.counts.kept <= 60


def test_the_towers_are_paid_once_a_tile(model, clip, image) -> None:
    raster, features = open_raster(image), FeatureCache()
    costs = []
    for question in (QUESTION, "what color is the roof"):
        scene = Scene(raster, model, question, features=features)
        scene.relevance(scene.tokens(scene.pyramid[1]), source="clip")
        (only,) = scene.ledger.passes
        costs.append(only.flops or 0)
    config, length = load_paired(clip, CPU, torch.float32)._model.config, only.sequence
    tiles = scene.pyramid[1].tile_count
    assert costs[1] == paired_flops(config, 0, length)
    assert costs[0] - costs[1] == paired_flops(config, tiles, 0) - paired_flops(config, 0, 0)


def test_the_formula_is_torchs_count_of_the_vision_tower(clip) -> None:
    towers = load_paired(clip, CPU, torch.float32)
    towers._model.set_attn_implementation("eager")  # the counter sees no other on a CPU
    pixels = torch.randint(0, 255, (2, 3, 56, 56), dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        towers.encode(pixels)
    config = towers._model.config
    counted = counter.get_total_flops()
    ours = paired_flops(config, 2, 8) - paired_flops(config, 0, 8)
    assert ours == counted


def test_a_plan_counts_the_towers_too(model, image, clip) -> None:
    options = {"relevance": "clip"}
    answer = ask(
        image, QUESTION, model=model, strategy="attention-topk", options=options, budget=60
    )
    planned = plan(
        answer.size, model.card, "attention-topk", 60, options=options,
        question_tokens=answer.relevance[0].sequence,
    )  # fmt: skip
    assert planned.cost.relevance == answer.cost.relevance > 0


def test_towers_of_another_side_score_the_same_places(checkpoint, image, tmp_path) -> None:
    clip = make_clip(tmp_path / "clip", side=98)  # 7 x 7 patches under 4 x 4 tokens
    model = load_model(str(checkpoint), device="cpu", clip=clip)
    scene = Scene(open_raster(image), model, QUESTION)
    tokens = scene.tokens(scene.pyramid[1])
    scores = scene.relevance(tokens, source="clip")
    assert scores.shape == (len(tokens),)
    assert float(scores.std()) > 0


def test_a_question_too_long_for_the_text_tower_is_told(model, image) -> None:
    scene = Scene(open_raster(image), model, "how many ships are there " * 20)
    tokens = scene.tokens(scene.pyramid[1])
    with pytest.warns(LongQuestionWarning, match=rf"\d+ tokens, the text tower reads {WORDS}"):
        scene.relevance(tokens, source="clip")


def test_without_a_paired_tower_there_is_one_clear_line(vlm, image, tmp_path, checkpoint) -> None:
    with pytest.raises(ConfigError, match="--clip DIR"):
        ask(image, QUESTION, model=vlm, budget=60, options={"relevance": "clip"})
    with pytest.raises(CheckpointError, match="no paired text tower"):
        load_model(str(checkpoint), device="cpu", clip=checkpoint)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(str(checkpoint), device="cpu", clip=tmp_path)


def test_the_same_tokens_are_scored_once(model, image) -> None:
    scene = Scene(open_raster(image), model, QUESTION, preface="One pixel shows 1 m.")
    tokens = scene.tokens(scene.pyramid[1])
    first, again = (scene.relevance(tokens, source="clip") for _ in range(2))
    assert torch.equal(first, again)
    assert len(scene.ledger.passes) == 1


def test_the_text_tower_reads_the_users_words_alone(model, image) -> None:
    scores = []
    for preface in ("", "One pixel shows 1 m."):
        scene = Scene(open_raster(image), model, QUESTION, preface=preface)
        scores.append(scene.relevance(scene.tokens(scene.pyramid[1]), source="clip"))
    assert torch.equal(*scores)
    assert len(scene.prompt) > len(Scene(open_raster(image), model, QUESTION).prompt)
