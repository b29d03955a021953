from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.checkpoints import make_checkpoint
from tests.tiles import pixels_of
from uhrqa import load_model
from uhrqa.errors import BudgetError, ConfigError
from uhrqa.features import FeatureCache
from uhrqa.geometry import Size
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import open_raster
from uhrqa.scene import Scene


class Echo:
    """A model whose features are the mean colour under each token, so a token tells its place."""

    def __init__(self, model) -> None:
        self.model = model
        self.tiles = 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def encode_tiles(self, pixels):
        self.tiles += len(pixels)
        cell = int(self.model.card.pixels_per_token)
        return (
            pixels.float()
            .unfold(2, cell, cell)
            .unfold(3, cell, cell)
            .mean((-1, -2))
            .permute(0, 2, 3, 1)
        )


def coordinates(h: int, w: int) -> np.ndarray:
    """Red grows with x, green with y: a pixel tells where it came from."""
    y, x = np.mgrid[:h, :w]
    return np.stack([x * 255 // max(w - 1, 1), y * 255 // max(h - 1, 1), x * 0], -1).astype(
        np.uint8
    )


@pytest.mark.parametrize("shape", [(224, 224), (500, 300), (90, 400)])
def test_a_tokens_box_shows_the_pixels_it_was_made_of(vlm, shape) -> None:
    scene = Scene(open_raster(coordinates(*shape)), Echo(vlm), "how many?")
    for level in scene.pyramid:
        tokens = scene.tokens(level)
        centre = tokens.centres()
        inside = (centre[:, 0] < shape[1] - 20) & (centre[:, 1] < shape[0] - 20)
        expected = centre / torch.tensor([shape[1] - 1, shape[0] - 1]) * 255
        error = (tokens.embed[:, :2] - expected)[inside].abs()
        cell = max(level.cell_box(0, 0, int(scene.cell(level)))[2:]) / min(shape) * 255
        assert len(error) == 0 or float(error.max()) < 3 + cell / 4


def test_tokens_come_in_the_raster_order_of_the_whole_level(vlm) -> None:
    scene = Scene(open_raster(coordinates(224, 224)), Echo(vlm), "how many?")
    level = scene.pyramid.finest
    tokens = scene.tokens(level)
    order = list(zip(tokens.row.tolist(), tokens.box[:, 0].tolist(), strict=True))
    assert order == sorted(order)
    some = scene.tokens(level, [Tile(1, 1), Tile(0, 1)])
    assert len(some) == 2 * 16
    assert some.row.tolist() == sorted(some.row.tolist())


def test_a_token_is_seen_once_however_often_a_question_asks(vlm) -> None:
    scene = Scene(open_raster(coordinates(300, 200)), vlm, "how many?")
    level = scene.pyramid.finest
    some = scene.tokens(level, [Tile(0, 0), Tile(level.grid[0] - 1, 0)])
    assert scene.ledger.seen[level] == len(some)
    for _ in range(2):
        assert len(scene.tokens(level)) == scene.ledger.seen[level] > len(some)


def test_padding_gives_no_tokens(vlm) -> None:
    scene = Scene(open_raster(coordinates(300, 200)), vlm, "how many?")
    for level in scene.pyramid.levels[1:]:
        rows, cols = scene.token_grid(level)
        tokens = scene.tokens(level)
        assert len(tokens) == rows * cols <= level.tile_count * 16
        assert float(tokens.box[:, 0].max()) < 200
        assert float(tokens.box[:, 1].max()) < 300
    assert scene.token_grid(Level(1, scene.size, Size(60, 40), 56)) == (5, 3)  # of 8 x 4


def test_padding_is_filled_with_the_models_neutral_colour(vlm) -> None:
    scene = Scene(open_raster(np.zeros((28, 56, 3), np.uint8)), vlm, "how many?")
    level = Level(1, Size(28, 56), Size(28, 56), 56)
    pixels = pixels_of(scene, level, [Tile(0, 0)])[0]
    assert pixels[:, :28].unique().tolist() == [0]
    assert pixels[:, 30, 5].tolist() == list(vlm.fill)


def test_a_tile_is_encoded_once_for_all_questions_that_share_a_cache(vlm) -> None:
    model, features = Echo(vlm), FeatureCache()
    raster = open_raster(coordinates(224, 224))
    for question in ("how many?", "which color?"):
        scene = Scene(raster, model, question, features=features)
        scene.tokens(scene.pyramid.finest)
    assert model.tiles == scene.pyramid.finest.tile_count
    assert scene.ledger.encoded.total() == 0
    assert scene.ledger.reused.total() == model.tiles


def test_cached_and_fresh_tokens_are_equal(vlm) -> None:
    raster, features = open_raster(coordinates(224, 224)), FeatureCache()
    first, second = (Scene(raster, vlm, "how many?", features=features) for _ in range(2))
    finest = first.pyramid.finest
    assert torch.equal(first.tokens(finest).embed, second.tokens(finest).embed)


def test_the_cache_stays_under_its_limit(vlm) -> None:
    one = 4 * 4 * 48 * 4  # bytes of a tile's features
    features = FeatureCache(limit=3 * one)
    scene = Scene(open_raster(coordinates(400, 400)), vlm, "how many?", features=features)
    tokens = scene.tokens(scene.pyramid.finest)
    assert features.held == 3 * one
    fresh = Scene(open_raster(coordinates(400, 400)), vlm, "how many?")
    assert torch.equal(tokens.embed, fresh.tokens(scene.pyramid.finest).embed)


def test_the_cap_on_tiles_is_checked_before_anything_is_read(vlm) -> None:
    scene = Scene(open_raster(coordinates(400, 400)), vlm, "how many?", max_tiles=5)
    scene.tokens(scene.pyramid.thumbnail)
    with pytest.raises(BudgetError) as caught:
        scene.tokens(scene.pyramid.finest)
    assert caught.value.least == 1 + scene.pyramid.finest.tile_count
    assert scene.ledger.encoded.total() == 1


def test_the_ledger_counts_passes_tokens_and_time(vlm) -> None:
    scene = Scene(open_raster(coordinates(300, 300)), vlm, "how many?")
    thumbnail = scene.tokens(scene.pyramid.thumbnail)
    tokens = scene.tokens(scene.pyramid[1])
    rows, cols = scene.token_grid(scene.pyramid[1])
    scores = scene.relevance(tokens, thumbnail)
    assert scores.shape == (rows * cols,)
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)
    (only,) = scene.ledger.passes
    assert only.seen == len(thumbnail) + rows * (cols + 1)
    assert only.sequence == only.seen + len(scene.prompt)
    assert (only.source, only.full_layers) == ("rfm", 1)
    assert scene.ledger.seconds["relevance"] > 0


def test_relevance_differs_by_question_source_and_rows(vlm) -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)

    def read(question: str = "how many?", **how) -> torch.Tensor:
        scene = Scene(open_raster(image), vlm, question)
        return scene.relevance(scene.tokens(scene.pyramid[1]), **how)

    reference = read()
    for other in (read("which color?"), read(source="llm"), read(rows="text")):
        assert not torch.allclose(reference, other)
    assert torch.equal(read(source="llm"), read(source="llm", layer=2))  # 4 layers: the middle
    assert torch.equal(read(source="llm", layer=-1), read(source="llm", layer=3))


@pytest.mark.parametrize(
    "how", [{"source": "clip"}, {"source": "llm", "layer": 4}, {"rows": "first"}]
)
def test_readings_there_are_not_are_refused(vlm, how) -> None:
    scene = Scene(open_raster(coordinates(60, 60)), vlm, "how many?")
    with pytest.raises(ConfigError):
        scene.relevance(scene.tokens(scene.pyramid.thumbnail), **how)


def test_a_pass_that_would_not_fit_the_context_pools_neighbours(tmp_path) -> None:
    small = load_model(str(make_checkpoint(tmp_path / "small", context=128)), device="cpu")
    scene = Scene(open_raster(coordinates(400, 400)), small, "how many?")
    thumbnail, tokens = scene.tokens(scene.pyramid[0]), scene.tokens(scene.pyramid[2])
    scores = scene.relevance(tokens, thumbnail)
    assert scene.ledger.passes[0].sequence <= 128 < len(tokens)
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)
    assert len(scores) == len(tokens)


def test_scattered_tiles_fit_the_context_too(tmp_path) -> None:
    """Groups at the edge of a tile are ragged: a guess from the count alone would be too small."""
    small = load_model(str(make_checkpoint(tmp_path / "small", context=100)), device="cpu")
    scene = Scene(open_raster(coordinates(800, 800)), small, "how many?")
    level = scene.pyramid.finest
    thumbnail = scene.tokens(scene.pyramid[0])
    tokens = scene.tokens(level, [Tile(i, j) for i in range(0, 14, 3) for j in range(0, 14, 3)])
    scene.relevance(tokens, thumbnail)
    assert scene.ledger.passes[0].sequence <= 100


def test_a_context_too_small_for_the_thumbnail_is_refused(tmp_path) -> None:
    small = load_model(str(make_checkpoint(tmp_path / "small", context=38)), device="cpu")
    scene = Scene(open_raster(coordinates(200, 200)), small, "how many?")
    with pytest.raises(BudgetError, match="context of 38"):
        scene.relevance(scene.tokens(scene.pyramid[1]), scene.tokens(scene.pyramid[0]))
