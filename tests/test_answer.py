from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.raster.test_ground import NORTH_UP, geotiff
from uhrqa import ask
from uhrqa.budget import Budget
from uhrqa.cost import prefill_flops, relevance_flops, vision_flops
from uhrqa.errors import BudgetError, ConfigError, RasterError, UnknownNameError
from uhrqa.features import FeatureCache
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.raster import open_raster
from uhrqa.raster.ground import require_ground
from uhrqa.reading import Reading
from uhrqa.scene import Scene
from uhrqa.selection import select, select_within_context
from uhrqa.strategies import STRATEGIES, make_strategy
from uhrqa.strategies.baselines import Full, Thumbnail


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)


def test_an_answer_says_what_was_asked_what_it_cost_and_where_it_looked(vlm, image) -> None:
    answer = ask(image, "how many?", model=vlm, budget=100, options={"max_tiles": 6}, seed=4)
    record = json.loads(json.dumps(answer.to_dict()))
    assert record["schema"] == "uhrqa.answer/1"
    assert record["strategy"]["name"] == "rfm-dip"
    assert record["strategy"]["options"]["max_tiles"] == 6
    assert (record["seed"], record["image"]["width"], record["image"]["height"]) == (4, 300, 420)
    assert record["versions"]["torch"]
    assert set(record["tflops"]) == {
        "vision", "projector", "relevance", "prefill", "decode", "total",
    }  # fmt: skip
    assert set(record["seconds"]) == {
        "read", "encode", "relevance", "select", "prefill", "decode",
    }  # fmt: skip
    kept = record["counts"]["kept"] - record["counts"]["separators"]
    assert len(record["evidence"]) == kept
    assert any(entry["relevance"] is not None for entry in record["evidence"])
    for entry in record["evidence"]:
        x0, y0, x1, y1 = entry["box"]
        assert 0 <= x0 < x1 <= 300
        assert 0 <= y0 < y1 <= 420


@pytest.mark.parametrize(
    ("options", "ran"),
    [
        ({}, ("rfm", 1)),
        ({"relevance": "llm"}, ("llm", 2)),
        ({"relevance": "llm", "layer": -1}, ("llm", 3)),
    ],
)
def test_an_answer_records_what_was_asked_and_which_attention_was_read(
    vlm, image, options, ran
) -> None:
    answer = ask(image, "how many?", model=vlm, budget=100, options=options, max_new_tokens=1)
    record = json.loads(json.dumps(answer.to_dict()))
    asked = record["strategy"]["options"]
    assert (asked["relevance"], asked["layer"]) == (
        options.get("relevance", "auto"), options.get("layer"),
    )  # fmt: skip
    assert {(entry["source"], entry["layer"]) for entry in record["relevance"]} == {ran}
    assert len(record["relevance"]) == record["counts"]["relevance_passes"]
    plain = ask(image, "how many?", model=vlm, strategy="thumbnail", max_new_tokens=1).to_dict()
    assert (plain["relevance"], plain["limits"]) == ([], [])


def test_an_answer_says_which_options_left_the_budget_unused(vlm, image) -> None:
    answer = ask(image, "how many?", model=vlm, budget=4000, options={"max_tiles": 1})
    assert answer.to_dict()["limits"] == ["keep_ratio", "max_tiles"]
    assert any("keep_ratio=0.25 and max_tiles=1 allow no more" in note for note in answer.notes)


def test_counts_add_up_and_the_cost_follows_from_them(vlm, image) -> None:
    answer = ask(image, "how many?", model=vlm, budget=100)
    counts, dims = answer.counts, vlm.card.dims
    assert sum(level.kept for level in counts.levels) + counts.separators == counts.kept <= 100
    assert counts.tiles_encoded == sum(level.encoded for level in counts.levels)
    assert answer.cost.vision == vision_flops(dims, counts.tiles_encoded)
    assert answer.cost.prefill == prefill_flops(dims.decoder, counts.kept + counts.text)
    scene = Scene(open_raster(image), vlm, "how many?")
    select(make_strategy("rfm-dip"), scene, Budget(100))
    assert answer.cost.relevance == sum(
        relevance_flops(dims.decoder, entry.sequence, 1, 1, entry.columns)
        for entry in scene.ledger.passes
    )
    assert answer.cost.total == sum(
        getattr(answer.cost, part)
        for part in ("vision", "projector", "relevance", "prefill", "decode")
    )


def test_a_second_question_on_the_image_encodes_what_is_new_alone(vlm, image) -> None:
    features, raster = FeatureCache(), open_raster(image)
    first = ask(raster, "how many?", model=vlm, budget=100, features=features)
    again = ask(raster, "how many?", model=vlm, budget=100, features=features)
    assert first.counts.tiles_reused == 0
    assert (again.counts.tiles_encoded, again.cost.vision) == (0, 0)
    assert again.counts.tiles_reused == first.counts.tiles_encoded
    assert again.text == first.text


def test_the_plan_counts_what_really_happens_where_nothing_depends_on_pixels(vlm, image) -> None:
    for name in ("thumbnail", "downsample", "uniform", "random", "attention-topk", "full"):
        real = ask(image, "how many?", model=vlm, strategy=name, budget=1500)
        planned = plan(
            Size(420, 300), vlm.card, name, "1.5k",
            question_tokens=real.counts.text, steps=real.counts.steps,
        )  # fmt: skip
        assert planned.cost == real.cost, name
        assert planned.counts.kept == real.counts.kept


@pytest.mark.parametrize("name", ["rfm-dip", "region-merge"])
def test_the_plan_is_an_upper_bound_where_pixels_decide(vlm, image, name: str) -> None:
    real = ask(image, "how many?", model=vlm, strategy=name, budget=100, max_new_tokens=4)
    planned = plan(Size(420, 300), vlm.card, name, Budget(100))
    assert planned.counts.tiles_encoded >= real.counts.tiles_encoded
    assert planned.cost.total >= real.cost.total


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_plan_needs_no_weights_even_for_a_100k_image(name: str) -> None:
    from uhrqa.vlm.card import load_card

    card = load_card("llava-v1.6-mistral-7b")
    if name == "full":
        with pytest.raises(BudgetError, match="does not fit this model unpruned"):
            plan(Size(20_000, 20_000), card, name, Budget(4000))
        return
    planned = plan(Size(100_000, 90_000), card, name, Budget(4000))
    assert planned.counts.kept <= 4000
    assert planned.cost.total > 0


def test_an_unknown_strategy_is_refused_before_the_image_is_opened(vlm) -> None:
    with pytest.raises(UnknownNameError):
        ask("there is no such file.tif", "how many?", model=vlm, strategy="dip")


def test_the_budget_counts_separators(vlm, image) -> None:
    for tokens in range(20, 60):
        assert ask(image, "how many?", model=vlm, budget=tokens, max_new_tokens=1).counts.kept <= (
            tokens
        )


def test_a_cache_serves_one_image_and_one_model(vlm, image, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    features = FeatureCache()
    ask(image, "how many?", model=vlm, strategy="thumbnail", features=features)
    with pytest.raises(ValueError, match="another image"):
        ask(image[::-1].copy(), "how many?", model=vlm, strategy="thumbnail", features=features)
    Path("array").touch()  # as every array is called
    with pytest.raises(ValueError, match="another image"):
        ask(image[::-1].copy(), "how many?", model=vlm, strategy="thumbnail", features=features)


def test_a_cache_serves_one_way_of_reading_an_image(tmp_path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50, 3), np.uint8), photometric="rgb")
    features, model = FeatureCache(), object()
    with open_raster(tmp_path / "a.tif") as raster, open_raster(tmp_path / "a.tif") as again:
        features.belong_to(raster, model)
        features.belong_to(again, model)
    with (
        open_raster(tmp_path / "a.tif", Reading(bands=(3, 2, 1))) as other,
        pytest.raises(ValueError, match="another image"),
    ):
        features.belong_to(other, model)


def test_caps_given_twice_both_hold(vlm, image) -> None:
    with pytest.raises(BudgetError, match="--max-tiles 1"):
        ask(image, "how many?", model=vlm, budget=Budget(60), max_tiles=1)


def test_a_budget_may_be_written_as_on_the_command_line(vlm, image) -> None:
    answer = ask(image, "how many?", model=vlm, strategy="thumbnail", budget="0.1k")
    assert answer.counts.budget == 100
    with pytest.raises(ConfigError, match="not a number of tokens"):
        ask(image, "how many?", model=vlm, strategy="thumbnail", budget="many")


def refusal(vlm, image, strategy: str, budget: int, new: int) -> str:
    with pytest.raises(BudgetError) as caught:
        ask(image, "how many?", model=vlm, strategy=strategy, budget=budget, max_new_tokens=new)
    return str(caught.value)


def test_full_names_a_budget_only_where_the_model_can_take_it(vlm, image) -> None:
    least = refusal(vlm, image, "full", 30, 8).rsplit("use -b ")[1].split()[0]
    ask(image, "how many?", model=vlm, strategy="full", budget=int(least), max_new_tokens=8)
    large = np.zeros((1500, 1500, 3), np.uint8)
    for budget in (100, 4000, 100_000):
        line = refusal(vlm, large, "full", budget, 8)
        assert "context of 4096" in line
        assert "does not fit this model unpruned: use a strategy that prunes" in line
        assert "-b" not in line


def test_an_answer_too_long_for_the_context_names_the_longest(vlm, image) -> None:
    line = refusal(vlm, image, "thumbnail", 100, 4096)
    assert line.startswith("--max-new-tokens 4096: too many for the model's context of 4096")
    longest = int(line.split("use ")[1].split()[0])
    scene = Scene(open_raster(image), vlm, "how many?")
    for new, lowered in ((longest, 0), (longest + 1, 1)):
        notes = select_within_context(Thumbnail(), scene, Budget(100), new)[2]
        assert len(notes) == lowered


def test_a_strategy_that_would_fit_beside_a_shorter_answer_names_the_longest(vlm, image) -> None:
    scene = Scene(open_raster(image), vlm, "how many?")
    spare = 4096 - len(scene.prompt)
    line = refusal(vlm, image, "full", 100, spare - 5)
    longest = int(line.split("use --max-new-tokens ")[1].split()[0])
    kept = len(select_within_context(Full(), scene, Budget(10**6), longest)[0].tokens)
    assert kept + longest == spare


def test_options_beside_an_instance_are_refused(vlm, image) -> None:
    with pytest.raises(ConfigError, match="options"):
        ask(image, "how many?", model=vlm, strategy=Thumbnail(), options={"level": 1})


def test_a_foreign_strategy_is_recorded_under_its_own_name(vlm, image) -> None:
    class Random:
        def select(self, scene, budget):
            return Thumbnail().select(scene, budget)

    assert ask(image, "how many?", model=vlm, strategy=Random()).strategy.endswith("Random")
    assert ask(image, "how many?", model=vlm, strategy=Random()).strategy != "random"


def test_a_plan_lowers_the_budget_to_the_context_as_a_run_does() -> None:
    from uhrqa.vlm.card import load_card

    card = load_card("llava-v1.6-vicuna-7b")
    planned = plan(Size(8192, 8192), card, "downsample", Budget(20_000))
    assert planned.counts.kept + planned.counts.text + 5 <= card.context
    assert "lowered" in planned.notes[0]


def test_a_plan_of_a_zoom_that_may_stop_costs_what_it_costs_when_it_does_not() -> None:
    from uhrqa.vlm.card import load_card

    card = load_card("llava-v1.6-vicuna-7b")
    plans = [
        plan(Size(16_384, 16_384), card, "rfm-dip", Budget(1000), options={"overflow": overflow})
        for overflow in ("best", "stop")
    ]
    assert plans[0].cost == plans[1].cost
    assert plans[0].bound == "at most"


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_refused(vlm, image, seed: int) -> None:
    with pytest.raises(ConfigError, match="seed"):
        ask(image, "how many?", model=vlm, seed=seed)


def test_evidence_of_a_region_lies_in_it_and_has_a_place_on_the_ground(vlm, tmp_path) -> None:
    path = geotiff(tmp_path / "a.tif", 32633, **NORTH_UP)
    with open_raster(path, roi="40,20,100,80") as raster:
        answer = ask(raster, "how many?", model=vlm, strategy="downsample", budget=40)
    assert answer.size == (80, 100)
    boxes = [entry.box for entry in answer.evidence]
    assert min(box.x0 for box in boxes) == 40
    assert max(box.y1 for box in boxes) == 80
    record = answer.to_dict()
    assert record["image"]["roi"] == "40,20,100,80"
    assert record["image"]["crs"] == "EPSG:32633"
    with open_raster(path) as raster:
        ground = require_ground(raster)
    for entry, box in zip(record["evidence"], boxes, strict=True):
        corners = ground.to_pixels(np.array(entry["lonlat"][:4]))
        assert np.allclose(corners.min(0), box[:2], atol=1e-2)
        assert np.allclose(corners.max(0), box[2:], atol=1e-2)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_region_is_to_every_strategy_an_image_of_its_own(vlm, strategy: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    part = np.ascontiguousarray(picture[40:240, 100:350])
    options = {"model": vlm, "strategy": strategy, "budget": 400, "seed": 3}
    whole = ask(part, "how many?", **options)
    with open_raster(picture, roi="100,40,350,240") as raster:
        clipped = ask(raster, "how many?", **options)
    assert clipped.text == whole.text
    assert [entry.relevance for entry in clipped.evidence] == [
        entry.relevance for entry in whole.evidence
    ]
    for ours, theirs in zip(clipped.evidence, whole.evidence, strict=True):
        assert np.allclose(np.subtract(ours.box, theirs.box), [100, 40, 100, 40])


def test_the_model_is_told_the_ground_sample_distance_where_asked(vlm, tmp_path) -> None:
    with open_raster(geotiff(tmp_path / "a.tif", 32633, **NORTH_UP)) as raster:
        options = {"model": vlm, "strategy": "thumbnail"}
        plain = ask(raster, "how many?", **options)
        told = ask(raster, "how many?", gsd_in_prompt=True, **options)
        sentence = "The image has a ground sample distance of 2 m per pixel. how many?"
        same = ask(raster, sentence, **options)
    assert told.question == "how many?"
    assert told.to_dict()["preface"] == sentence.removesuffix(" how many?")
    assert "preface" not in plain.to_dict()
    assert told.counts.text == same.counts.text > plain.counts.text
    with pytest.raises(RasterError, match="ground sample distance is not known"):
        ask(np.zeros((64, 64, 3), np.uint8), "how many?", gsd_in_prompt=True, **options)


def test_a_plan_of_an_image_with_a_mask_is_no_more_than_a_bound(vlm, tmp_path) -> None:
    pixels = np.full((300, 420, 4), 255, np.uint8)
    pixels[:, 210:, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "half.png")
    with open_raster(tmp_path / "half.png") as raster:
        real = ask(raster, "how many?", model=vlm, strategy="uniform", budget=300)
        planned = plan(raster, vlm.card, "uniform", 300)
    assert planned.counts.kept > real.counts.kept
    assert planned.bound == "at most"
    assert plan(Size(300, 420), vlm.card, "uniform", 300).bound == "exact"


def test_a_plan_of_a_window_takes_labels_of_the_whole_image(vlm, image, tmp_path) -> None:
    Image.fromarray(np.ones((42, 30), np.uint8)).save(tmp_path / "labels.png")
    options = {"labels": str(tmp_path / "labels.png")}
    window = open_raster(image, roi="0,0,100,100")
    real = ask(window, "how many?", model=vlm, strategy="region-merge", budget=100, options=options)
    planned = plan(window, vlm.card, "region-merge", 100, options=options)
    assert planned.counts.tiles_encoded >= real.counts.tiles_encoded


def test_a_plan_of_an_auto_budget_pays_for_every_attempt(vlm, image) -> None:
    planned = plan(Size(420, 300), vlm.card, "downsample", Budget(400, auto=True))
    alone = [plan(Size(420, 300), vlm.card, "downsample", 50 << n) for n in range(4)]
    assert planned.cost.prefill == sum(one.cost.prefill for one in alone)
    assert planned.cost.decode == sum(one.cost.decode for one in alone)
    assert planned.counts.kept == alone[-1].counts.kept
    assert (planned.bound, alone[-1].bound) == ("at most", "exact")
