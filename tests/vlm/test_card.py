"""Cards held against the files they are about: what the files say holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.originals import RFM_LAYERS, SIDES, TILE, configure, edit
from uhrqa import ask, load_model
from uhrqa.errors import CardError, CheckpointError, ConfigError
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.vlm.assumed import assumptions
from uhrqa.vlm.card import load_card
from uhrqa.vlm.convert import convert
from uhrqa.vlm.report import inspect_checkpoint

IMAGE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
HUB = {
    "uhr-bat": "RL-MIND/UHR-BAT",
    "longva": "lmms-lab/LongVA-7B",
    "geollava-8k": "initiacms/GeoLLaVA-8K",
    "lrs-vqa-qwen2": "ll-13/llava-largeimg-Qwen2-7B",
    "lrs-vqa-vicuna": "ll-13/llava-largeimg-Vicuna-7B",
}
CARDS = {name: "longva-7b" if name == "longva" else name for name in HUB}


@pytest.fixture
def cached(originals, tmp_path: Path, monkeypatch) -> Callable[[str], Path]:
    """Put a small release where the hub cache would have the large one."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(release: str) -> Path:
        repo = tmp_path / "hub" / f"models--{HUB[release].replace('/', '--')}"
        (repo / "refs").mkdir(parents=True)
        (repo / "refs" / "main").write_text("a" * 40)
        return Path(shutil.copytree(originals[release], repo / "snapshots" / ("a" * 40)))

    return put


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


@pytest.mark.parametrize("release", HUB)
def test_a_named_card_takes_its_numbers_from_the_files(cached, release: str) -> None:
    name, before = CARDS[release], load_card(CARDS[release])
    assert (before.tile, before.overruled) == (336, None)
    cached(release)
    card = load_card(name)
    assert (card.tile, card.dims.decoder.layers, card.context) == (TILE, 4, 4096)
    assert card.rfm_layers == (RFM_LAYERS if "lrs" in release else 0)
    assert (card.pool, card.budget, card.prompt) == (before.pool, before.budget, before.prompt)
    report = inspect_checkpoint(card)
    assert report.fault is None
    assert report.assumed == (card.overruled,)
    model = load_model(name, device="cpu")
    answer = ask(IMAGE, "how many?", model=model, max_new_tokens=1)
    assert answer.counts.kept > 0
    planned = plan(Size(300, 400), card, card.strategy, card.budget)
    assert planned.counts.kept >= answer.counts.kept


def test_the_line_about_a_card_names_one_number_of_both_and_counts_the_rest(cached) -> None:
    path = cached("longva")
    line = load_card("longva-7b").overruled
    assert line
    assert line.startswith(
        "card longva-7b says vision_config.hidden_size 1024, not 64 as config.json, and "
    )
    assert line.count(str(path)) == 1
    assert line.endswith(f"the files' numbers are used (-m {path} does without the card)")
    assert load_card(str(path)).overruled is None


def test_a_card_without_all_of_its_files_still_serves_for_plans(cached) -> None:
    path = cached("uhr-bat")
    for file in path.glob("model*"):
        file.unlink()
    assert load_card("uhr-bat").tile == 336
    with pytest.raises(CheckpointError, match="no model"):
        load_model("uhr-bat", device="cpu")


def test_the_views_are_those_the_checkpoint_has_maps_for(originals, copy_of, tmp_path) -> None:
    assert load_card("uhr-bat").views == (672, 1344, 2688, 4032)
    stock = convert(str(originals["uhr-bat"]), tmp_path / "stock").path
    bare = copy_of("uhr-bat")
    configure(bare, multiscale_target_sizes=None)  # the maps' names say it, too
    for path in (originals["uhr-bat"], stock, bare):
        model = load_model(str(path), device="cpu")
        assert model.card.views == SIDES
        answer = ask(IMAGE, "how many?", model=model, budget=150, max_new_tokens=1)
        sizes = {max(level.size) for level in answer.counts.levels if level.kept}
        assert sizes == set(SIDES)


def test_a_view_without_a_map_is_refused_also_in_a_plan(originals) -> None:
    path = str(originals["uhr-bat"])
    how: dict[str, Any] = {"strategy": "region-merge", "budget": 150}
    match = "scales=112,336: the model has no map for views of 336 px; give some of 112,224,448"
    model = load_model(path, device="cpu")
    with pytest.raises(ConfigError, match=match):
        ask(IMAGE, "?", model=model, options={"scales": "112,336"}, **how)
    with pytest.raises(ConfigError, match=match):
        plan(Size(300, 400), load_card(path), options={"scales": "112,336"}, **how)
    answer = ask(IMAGE, "?", model=model, options={"scales": "448"}, max_new_tokens=1, **how)
    assert {max(level.size) for level in answer.counts.levels if level.kept} == {448}


def test_views_beyond_the_papers_four_have_shares_too(copy_of) -> None:
    path = copy_of("uhr-bat")

    def more(state: dict[str, Any]) -> None:
        for side in (560, 672):
            table = state["model.scale_pos_residuals.448"]
            state[f"model.scale_pos_residuals.{side}"] = table.clone()

    edit(path, more)
    card = load_card(str(path))
    assert card.views == (112, 224, 448, 560, 672)
    assert card.options["region-merge"]["shares"] == [80, 320, 600, 2000, 2000]


def test_a_broken_card_beside_a_directory_is_told(copy: Path) -> None:
    card = copy.with_suffix(".yaml")
    card.write_text("weights: copy\nbudget: [\n")
    with pytest.raises(CardError, match=r"copy\.yaml: not readable as YAML") as caught:
        load_card(str(copy))
    assert "\n" not in str(caught.value)
    card.write_text("budget: 77\n")
    with pytest.raises(CardError, match=r"copy.yaml: .* names no weights; add 'weights: copy'"):
        load_card(str(copy))
    card.write_text("weights: copy\nbudgget: 77\n")
    with pytest.raises(CardError, match="unknown key 'budgget'"):
        load_card(str(copy))


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_cards_file_can_be_named(copy: Path, tmp_path: Path, monkeypatch, suffix: str) -> None:
    (tmp_path / "cards").mkdir()
    file = tmp_path / "cards" / f"mine{suffix}"
    file.write_text("weights: ../copy\nbudget: 77\n")
    monkeypatch.chdir(tmp_path)
    for name in (str(file), f"cards/mine{suffix}"):
        card = load_card(name)
        assert (card.name, card.budget, card.find_weights().resolve()) == (name, 77, copy)
        assert load_model(name, device="cpu").card.budget == 77
    file.write_text("weights: ../nowhere\n")
    with pytest.raises(CheckpointError, match=r"nowhere: no config\.json"):
        load_card(str(file))


def test_a_card_beside_a_directory_keeps_its_rfm(copy: Path) -> None:
    copy.with_suffix(".yaml").write_text("weights: copy\n")
    card = load_card(str(copy))
    assert (card.rfm, card.rfm_layers) == ("rfm.safetensors", 2)
    copy.with_suffix(".yaml").write_text("weights: copy\nrfm_layers: 5\n")
    card = load_card(str(copy))
    assert (card.rfm_layers, inspect_checkpoint(card).fault) == (2, None)
    assert "says rfm_layers 5, not 2 as" in str(card.overruled)
    copy.with_suffix(".yaml").write_text("weights: copy\nrfm: null\n")
    assert load_model(str(copy), device="cpu").rfm_layers == 0


def test_an_rfm_deeper_than_its_decoder_is_told_by_loading_and_inspect(copy_of) -> None:
    path = copy_of("lrs-vqa-qwen2")

    def deepen(state: dict[str, Any]) -> None:
        first = "model.mm_projector.token_pruner.layers.0."
        for name in [name for name in state if name.startswith(first)]:
            for layer in (3, 4):
                state[name.replace("layers.0.", f"layers.{layer}.")] = state[name].clone()

    edit(path, deepen)
    fault = inspect_checkpoint(load_card(str(path))).fault
    assert fault
    assert "a Region Focus Module of 5 layers, and the decoder has 4" in fault
    with pytest.raises(CheckpointError, match="of 5 layers, and the decoder has 4"):
        load_model(str(path), device="cpu")


def test_what_no_file_says_is_one_line(copy: Path) -> None:
    assert assumptions(load_card(str(copy)), copy) == ()
    for name in ("chat_template.jinja", "preprocessor_config.json", "generation_config.json"):
        (copy / name).unlink()
    (line,) = assumptions(load_card(str(copy)), copy)
    assert line == (
        f"{copy}: no chat template, so it is asked with "
        '"USER: <image>\\n... ASSISTANT:"; no preprocessor_config.json, so CLIP\'s means and '
        "deviations are taken; no generation_config.json, so config.json and tokenizer say where "
        "an answer ends"
    )
    assert inspect_checkpoint(load_card(str(copy))).assumed == (line,)
    copy.with_suffix(".yaml").write_text('weights: copy\nprompt: "<image> {question}"\n')
    (line,) = assumptions(load_card(str(copy)), copy)
    assert "chat template" not in line
    table = json.loads((copy / "tokenizer_config.json").read_text())
    copy.with_suffix(".yaml").unlink()
    (copy / "tokenizer_config.json").write_text(json.dumps({**table, "chat_template": "x"}))
    (line,) = assumptions(load_card(str(copy)), copy)
    assert "chat template" not in line


def test_a_release_and_the_embedded_model_leave_nothing_to_say(originals) -> None:
    for name in ("tiny", str(originals["longva"])):
        card = load_card(name)
        assert assumptions(card, card.find_weights()) == ()
