from __future__ import annotations

import numpy as np
import pytest
import torch

from uhrqa.budget import Budget
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.selection import Selection, select, select_within_context
from uhrqa.strategies.rfm_dip import RfmDip, rank_tiles
from uhrqa.tokens import VisualTokens

TARGET = (411.0, 173.0)  # (x, y), source pixels


class Looking(Scene):
    """A scene whose question attends to one point: relevance falls with the distance from it."""

    def relevance(self, tokens, context=None, **_):
        distance = (tokens.centres() - torch.tensor(TARGET)).norm(dim=1)
        scores = (-distance / 20).softmax(0)
        self.asked = [*getattr(self, "asked", []), int(tokens.level[0])]
        return scores


def scene_of(vlm, side: int = 600, **more) -> Looking:
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Looking(open_raster(image), vlm, "how many?", **more)


def run(scene: Scene, budget: int = 200, **options) -> Selection:
    return select(RfmDip(**options), scene, Budget(budget))


def test_it_zooms_to_the_finest_level_around_what_the_question_attends_to(vlm) -> None:
    scene = scene_of(vlm)
    selection = run(scene, zoom_ratio=0.05, max_tiles=4)
    best = selection.tokens.take(selection.relevance.nan_to_num().argmax()[None])
    assert int(best.level) == len(scene.pyramid) - 1
    assert (best.centres() - torch.tensor(TARGET)).norm() < 14
    assert scene.asked == list(range(1, len(scene.pyramid)))


def test_it_encodes_only_the_thumbnail_level_one_and_the_tiles_it_zooms_into(vlm) -> None:
    scene = scene_of(vlm)
    run(scene, zoom_ratio=0.05, max_tiles=3)
    thumbnail, first, *finer = scene.pyramid.levels
    assert scene.ledger.encoded[thumbnail] == 1
    assert scene.ledger.encoded[first] == first.tile_count
    assert finer
    assert all(0 < scene.ledger.encoded[level] <= 3 for level in finer)


def test_overflow_stop_answers_from_the_level_reached_as_algorithm_1_does(vlm) -> None:
    scene = scene_of(vlm)
    selection = run(scene, zoom_ratio=1.0, max_tiles=4, overflow="stop")
    assert int(selection.tokens.level.max()) == 1
    assert "more than 4" in selection.steps[0]


def test_alpha_caps_what_is_kept_when_the_budget_does_not(vlm) -> None:
    scene = scene_of(vlm)
    selection = run(scene, budget=100_000, keep_ratio=0.1, newlines=False)
    last = len(scene.pyramid) - 1
    seen = scene.ledger.seen[scene.pyramid[last]]
    assert int((selection.tokens.level == last).sum()) == int(seen * 0.1)


def test_kept_tokens_are_the_most_relevant_in_raster_order(vlm) -> None:
    selection = run(scene_of(vlm), budget=40, newlines=False)
    tokens = selection.tokens.take(selection.tokens.level > 0)
    order = list(zip(tokens.row.tolist(), tokens.box[:, 0].tolist(), strict=True))
    assert order == sorted(order)
    assert len(selection.tokens) == 40


def test_every_kept_row_ends_with_a_separator_inside_the_budget(vlm) -> None:
    selection = run(scene_of(vlm), budget=60)
    tokens = selection.tokens.take(selection.tokens.level > 0)
    rows = set(zip(tokens.level.tolist(), tokens.row.tolist(), strict=True))
    assert int(tokens.is_separator.sum()) == len(rows)
    assert len(selection.tokens) <= 60


def test_max_tiles_for_the_whole_question_ends_the_zoom_early(vlm) -> None:
    free = scene_of(vlm)
    run(free, zoom_ratio=0.05)
    first = free.pyramid[1].tile_count + 1
    scene = scene_of(vlm, max_tiles=first + 2)
    selection = run(scene, zoom_ratio=0.05)
    assert scene.ledger.encoded.total() == first + 2
    assert "no tiles left" in selection.steps[1]


def test_a_token_points_to_every_tile_its_box_touches_by_area() -> None:
    level = Level(2, Size(100, 100), Size(100, 100), 10)
    boxes = torch.tensor([[8.0, 0.0, 12.0, 4.0], [51.0, 51.0, 55.0, 55.0]])
    ones = torch.ones(2, dtype=torch.int64)
    tokens = VisualTokens(
        torch.zeros(2, 1), boxes, ones, ones, ones, ones[:, None].expand(-1, 2), ones
    )
    ranked = rank_tiles(tokens, torch.tensor([0.4, 0.3]), level)
    assert ranked == [Tile(5, 5), Tile(0, 0), Tile(0, 1)]  # 0.3, then 0.2 each


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({"zoom_ratio": 0.3, "max_tiles": 3}, ("keep_ratio", "max_tiles")),
        ({"zoom_ratio": 0.3, "max_tiles": 3, "keep_ratio": 1.0}, ("max_tiles",)),
        ({"zoom_ratio": 0.01}, ("keep_ratio",)),
        ({"zoom_ratio": 0.01, "keep_ratio": 1.0}, ()),  # it looked where the question points
        ({"zoom_ratio": 1.0, "max_tiles": 1000, "keep_ratio": 1.0}, ()),
        ({"zoom_ratio": 1.0, "max_tiles": 4, "overflow": "stop"}, ("keep_ratio", "max_tiles")),
        ({"mass": 0.3}, ("mass",)),
    ],
)
def test_options_that_keep_fewer_tokens_than_the_budget_are_named(vlm, options, limits) -> None:
    assert run(scene_of(vlm), budget=100_000, **options).limits == limits
    assert run(scene_of(vlm), budget=18, **options).limits == ()  # here the budget decides


def test_a_cap_on_the_whole_questions_tiles_is_no_option_of_the_strategy(vlm) -> None:
    first = scene_of(vlm).pyramid[1].tile_count + 1
    selection = run(scene_of(vlm, max_tiles=first + 2), budget=100_000, zoom_ratio=0.05)
    assert selection.limits == ("keep_ratio",)


def test_a_plan_is_an_upper_bound_however_evenly_attention_is_spread(vlm) -> None:
    class Even(Scene):
        def relevance(self, tokens, context=None, **_):
            return torch.full((len(tokens),), 1 / len(tokens))

    options = {"mass": 0.5, "keep_ratio": 1.0}
    scene = Even(scene_of(vlm, side=168).raster, vlm, "how many?")  # no level to zoom into
    planned = plan(scene.size, vlm.card, "rfm-dip", 3000, options=options)
    assert planned.counts.kept >= len(run(scene, budget=3000, **options).tokens) > 72


def test_who_asks_is_told_what_leaves_much_of_the_budget_unused(vlm) -> None:
    def notes(budget: int) -> tuple[str, ...]:
        dip = RfmDip(zoom_ratio=0.3, max_tiles=3)
        return select_within_context(dip, scene_of(vlm), Budget(budget), 8)[2]

    (note,) = notes(1000)
    kept = int(note.split()[1])
    assert note.startswith(f"kept {kept} of 1000 tokens: keep_ratio=0.25 and max_tiles=3 allow no")
    assert notes(2 * kept) == ()
    assert len(notes(2 * kept + 1)) == 1


@pytest.mark.parametrize(
    "wrong", [{"keep_ratio": 0}, {"zoom_ratio": 1.5}, {"max_tiles": 0}, {"overflow": "never"}]
)
def test_options_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RfmDip(**wrong)
