"""`profile`, `info`, `models`, `strategies`, `config` and `doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uhrqa.cli import doctor
from uhrqa.strategies import STRATEGIES
from uhrqa.vlm.card import list_cards

SEVEN_B = "llava-v1.6-vicuna-7b"


def test_a_plan_needs_a_size_and_a_card_alone(uhrqa) -> None:
    args = ("profile", "--size", "8192x4096", "-m", SEVEN_B, "--json")
    found = json.loads(uhrqa(*args, "-b", "1k,2k", "-s", "downsample", "-s", "rfm-dip").out)
    assert [(row["strategy"], row["budget"]) for row in found["rows"]] == [
        ("downsample", 1000),
        ("downsample", 2000),
        ("rfm-dip", 1000),
        ("rfm-dip", 2000),
    ]
    for row in found["rows"]:
        assert row["kept"] <= row["budget"]
        assert row["seconds"] is None
        stages = dict(row["tflops"])
        assert stages.pop("total") == pytest.approx(sum(stages.values()))


def test_a_refused_budget_is_a_row_and_code_7_only_when_all_are(uhrqa) -> None:
    args = ("profile", "--size", "8192x8192", "-m", SEVEN_B, "-b", "1k")
    outcome = uhrqa(*args, "-s", "full,downsample")
    assert outcome.code == 0
    assert "refused" in outcome.out
    assert "full: budget of 1000" in outcome.err
    assert uhrqa(*args, "-s", "full").code == 7


def test_a_real_run_adds_seconds_memory_and_bytes(uhrqa, checkpoint, image) -> None:
    args = ("profile", image, "how many?", "-m", checkpoint, "-b", "60,80", "-s", "downsample")
    rows = json.loads(uhrqa(*args, "--json").out)["rows"]
    assert len(rows) == 2
    for row in rows:
        assert row["seconds"] > 0
        assert row["peak_memory"] > 0
        assert row["bytes_read"] > 0  # none profits from what another has read
    table = uhrqa(*args).out
    assert "peak memory" in table
    assert "in TFLOPs" in table


def test_with_nothing_named_an_example_scene_is_drawn_once(
    uhrqa, monkeypatch, checkpoint, tmp_path: Path
) -> None:
    import uhrqa.synth as synth

    def small_scene():
        scene = synth.draw_scene(1, 256)
        return scene, synth.make_questions(scene, 1)

    monkeypatch.setattr(synth, "demo_scene", small_scene)
    monkeypatch.setenv("UHRQA_CACHE", str(tmp_path / "cache"))
    args = ("profile", "-b", "60", "-m", checkpoint)
    assert "drawing the example scene once" in uhrqa(*args).err
    (scene,) = (tmp_path / "cache").iterdir()
    before = scene.stat().st_mtime_ns
    outcome = uhrqa(*args)
    assert "drawing" not in outcome.err
    assert outcome.code == 0
    assert scene.stat().st_mtime_ns == before


def test_info_counts_tiles_and_tokens_of_every_level(uhrqa, image) -> None:
    found = json.loads(uhrqa("info", image, "-m", SEVEN_B, "-b", "576", "--json").out)
    assert (found["width"], found["height"]) == (400, 300)
    assert found["tokens_per_tile"] == 576  # (336 / 14)^2
    # 400 px is nearest to 1008 px unhalved; Eq. 3 grows 400 x 300 to 448 x 336, one tile high.
    level = found["levels"][1]
    assert (level["width"], level["height"], level["tiles"], level["tokens"]) == (448, 336, 2, 768)
    assert found["budgets"] == [{"tokens": 576, "tiles": 1, "share_of_level": [1.0, 0.75]}]


def test_info_as_text_names_size_levels_and_budgets(uhrqa, image) -> None:
    text = uhrqa("info", image, "-m", SEVEN_B).out
    for word in ("400 x 300 px", "stored levels", "448 x 336", "16000", "100.0%"):
        assert word in text


def test_models_and_strategies_list_what_there_is(uhrqa) -> None:
    assert uhrqa("models", "-q").out.split() == list_cards()
    assert uhrqa("strategies", "-q").out.split() == list(STRATEGIES)
    listing = json.loads(uhrqa("strategies", "--json").out)["strategies"]
    for entry in listing:
        assert entry["summary"]
        assert all(option["meaning"] for option in entry["options"]), entry["name"]
    assert {card["name"] for card in json.loads(uhrqa("models", "--json").out)["models"]} == set(
        list_cards()
    )


def test_config_show_names_the_winner_and_its_source(uhrqa, monkeypatch) -> None:
    Path("uhrqa.yaml").write_text("seed: 3\nbudget: 2k\n")
    monkeypatch.setenv("UHRQA_SEED", "4")
    lines = {
        line.split(":")[0]: line for line in uhrqa("config", "show", "--origin").out.split("\n")
    }
    assert lines["seed"].split() == ["seed:", "4", "#", "UHRQA_SEED"]
    assert lines["budget"].split() == ["budget:", "2000", "#", "uhrqa.yaml"]
    assert lines["model"].split() == ["model:", "tiny", "#", "default"]
    found = json.loads(uhrqa("config", "show", "--json").out)["settings"]
    assert found["seed"] == {
        "value": 4,
        "origin": "UHRQA_SEED",
        "meaning": found["seed"]["meaning"],
    }


def test_doctor_is_content_here_and_says_why_when_it_is_not(uhrqa, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "check_models", list)
    monkeypatch.setattr(
        doctor, "LOOKS", [look for look in doctor.LOOKS if look.__name__ != "check_models"]
    )
    outcome = uhrqa("doctor", "--json")
    assert (outcome.code, json.loads(outcome.out)["ok"]) == (0, True)
    monkeypatch.setattr(doctor, "LEAST_TRANSFORMERS", (99, 0))
    outcome = uhrqa("doctor", "-q")
    assert outcome.code == 1
    assert "older than 99.0" in outcome.out
    assert "fix: pip install -U 'transformers>=99.0'" in outcome.out


def test_doctor_finds_a_torchvision_that_does_not_fit(monkeypatch, tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (check,) = doctor.check_torchvision()
    assert check.state == "broken"
    assert "nms does not exist" in check.found
    assert "pip uninstall torchvision" in check.fix
