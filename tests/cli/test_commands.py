"""`profile`, `info`, `models`, `strategies`, `config` and `doctor`."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from uhrqa.cli import doctor, report, rows
from uhrqa.strategies import STRATEGIES, make_strategy
from uhrqa.vlm import card
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
    assert "uhrqa: note: full: " in outcome.err
    outcome = uhrqa(*args, "-s", "full")
    assert outcome.code == 7
    assert outcome.err.count("\n") == 1  # the reason is not told twice


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
    assert "FLOPs" in table
    assert "assumed" not in table


def test_quiet_leaves_stderr_empty_even_where_a_budget_is_refused(uhrqa) -> None:
    args = ("profile", "--size", "8192x8192", "-m", SEVEN_B, "-b", "1k,100k", "-s", "full,uniform")
    for extra in ((), ("--json",)):
        outcome = uhrqa(*args, *extra, "-q")
        assert outcome.err == ""
        assert "refused" in outcome.out
        assert "uhrqa: note: full: " in uhrqa(*args, *extra).err


def test_a_budget_above_the_context_is_said_to_be_lowered(uhrqa, checkpoint, image) -> None:
    args = ("-b", "100k", "-s", "downsample")
    outcome = uhrqa("profile", "--size", "8192x8192", "-m", SEVEN_B, *args)
    assert "uhrqa: note: downsample: budget lowered from 100000 to " in outcome.err
    outcome = uhrqa("profile", image, "how many?", "-m", checkpoint, *args)
    assert "uhrqa: note: downsample: budget lowered from 100000 to " in outcome.err


def test_the_title_says_at_most_only_of_strategies_that_have_a_bound(uhrqa) -> None:
    args = ("profile", "--size", "8192x4096", "-m", SEVEN_B, "-b", "1k", "-s")
    assert uhrqa(*args, "rfm-dip,downsample").out.startswith(
        "planned for 8192 x 4096 px; rfm-dip: at most this\n"
    )
    assert uhrqa(*args, "downsample").out.startswith("planned for 8192 x 4096 px\n")
    rows = json.loads(uhrqa(*args, "rfm-dip,downsample", "--json").out)["rows"]
    assert [row["bound"] for row in rows] == ["at most", "exact"]


def test_a_plan_knows_how_long_the_answer_may_be(uhrqa) -> None:
    args = ("profile", "--size", "800x800", "-m", SEVEN_B, "-b", "1k", "-s", "downsample", "--json")

    def decode(*more: object) -> float:
        return json.loads(uhrqa(*args, *more).out)["rows"][0]["tflops"]["decode"]

    assert decode("--max-new-tokens", "5") == decode()  # four steps behind the first token
    assert decode("--max-new-tokens", "9") == pytest.approx(2 * decode(), rel=0.01)


def test_memory_of_a_row_is_the_devices_where_there_is_one() -> None:
    counts = SimpleNamespace(tiles_encoded=1, kept=1, relevance_tokens=0)
    cost = SimpleNamespace(to_dict=dict)
    card = SimpleNamespace(dims=None)
    choice = SimpleNamespace(strategy="uniform", budget=SimpleNamespace(tokens=9), card=card)

    def peak(device_memory: int | None) -> int | None:
        answer = SimpleNamespace(
            counts=counts, cost=cost, seconds={}, bytes_read=1, text="", notes=(), relevance=()
        )
        answer.peak_memory, answer.device_memory = 7, device_memory
        return rows.measured_row(choice, answer, "exact").peak_memory  # type: ignore[arg-type]

    assert (peak(None), peak(0), peak(3)) == (7, 0, 3)


def test_a_plan_says_what_it_takes_for_granted(uhrqa) -> None:
    args = ("profile", "--size", "800x800", "-m", SEVEN_B, "-b", "1k", "-s", "downsample")
    assert "\nassumed: 32 text tokens in the prompt, 4 decoding steps\n" in uhrqa(*args).out
    assert "8 decoding steps" in uhrqa(*args, "--max-new-tokens", "9").out
    found = json.loads(uhrqa(*args, "--json").out)
    assert found["assumed"] == {"question_tokens": 32, "decode_steps": 4}


def test_the_unit_of_a_table_fits_its_largest_number(uhrqa) -> None:
    args = ("profile", "--size", "800x800", "-b", "1k", "-s", "downsample")
    assert "total in TFLOPs" in uhrqa(*args, "-m", SEVEN_B).out
    assert "total in GFLOPs" in uhrqa(*args, "-m", "tiny").out


def test_numbers_of_a_column_have_the_same_decimals() -> None:
    tera = report.unit_for([1.23e15, 9e13])
    assert tera.name == "TFLOPs"
    assert report.flops_texts([1.23e15, 9.13e13, None, 0], tera) == ["1230.0", "91.3", "", "0.0"]
    assert report.flops_texts([65.4e9, 59e9], tera) == ["0.065", "0.059"]
    assert report.flops_texts([8.07e6, 1.17e9], tera) == ["<0.001", "0.001"]
    assert report.flops_texts([4.567e14, 1.23e15], tera) == ["457", "1230"]
    assert [report.unit_for([most]).name for most in (4e10, 2e6, 0)] == [
        "GFLOPs",
        "MFLOPs",
        "TFLOPs",
    ]


def test_another_rfm_changes_the_plan_and_a_bad_one_ends_with_code_4(
    uhrqa, checkpoint, tmp_path
) -> None:
    args = ("profile", "--size", "800x800", "-m", SEVEN_B, "-b", "1k", "-s", "rfm-dip", "--json")
    own = json.loads(uhrqa(*args).out)["rows"][0]["tflops"]["relevance"]
    shallow = uhrqa(*args, "--rfm", checkpoint / "rfm.safetensors")
    assert json.loads(shallow.out)["rows"][0]["tflops"]["relevance"] < own
    (tmp_path / "text").write_text("text")
    for name in ("nowhere", "text", checkpoint / "model.safetensors", tmp_path):
        outcome = uhrqa(*args, "--rfm", name)
        assert (outcome.code, outcome.err.count("\n"), outcome.out) == (4, 1, "")


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
    left = tmp_path / "cache" / f".{scene.name}.abcdefgh.tmp"  # of a killed run
    left.mkdir()
    os.utime(left, (0, 0))
    scene.unlink()
    uhrqa(*args)
    assert list((tmp_path / "cache").iterdir()) == [scene]


def test_another_example_scene_gets_another_file(
    uhrqa, monkeypatch, checkpoint, tmp_path: Path
) -> None:
    import uhrqa.synth as synth

    scene = synth.draw_scene(1, 256)
    questions = synth.make_questions(scene, 1)
    monkeypatch.setenv("UHRQA_CACHE", str(tmp_path / "cache"))
    fields = scene.fields.copy()
    fields.flat[fields.size // 2] += 0.5  # in the middle, which the text of an array leaves out
    for drawn in (scene, replace(scene, unit=scene.unit + 1), replace(scene, fields=fields)):
        monkeypatch.setattr(synth, "demo_scene", lambda drawn=drawn: (drawn, questions))
        assert "drawing" in uhrqa("profile", "-b", "60", "-m", checkpoint, "-s", "uniform").err
    monkeypatch.setattr("uhrqa.cli.example.__version__", "99")
    assert "drawing" in uhrqa("profile", "-b", "60", "-m", checkpoint, "-s", "uniform").err
    assert len(list((tmp_path / "cache").iterdir())) == 4


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
    for word in ("400 x 300 px", "stored levels", "448 x 336", "4000", "100.0%"):
        assert word in text
    assert "8000" not in text  # above the model's context
    assert "8000" in uhrqa("info", image, "-m", SEVEN_B, "-b", "1k,8k").out


def test_info_warns_where_overviews_are_missing(uhrqa, monkeypatch, image) -> None:
    from uhrqa.raster import levels

    assert uhrqa("info", image).err == ""
    monkeypatch.setattr(levels, "WINDOW_PIXELS", 1000)
    err = uhrqa("info", image).err
    assert err.startswith(f"uhrqa: warning: {image}: no overview is stored")
    assert f"uhrqa prepare {image} fast.tif" in err
    assert uhrqa("info", image, "-q").err == ""


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


def test_a_strategy_that_is_refused_says_why_and_is_listed_so(uhrqa, image) -> None:
    listing = json.loads(uhrqa("strategies", "--json").out)
    assert list(listing["refused"]) == ["geollava-8k"]
    assert "geollava-8k: refused: what is published" in uhrqa("strategies").out
    outcome = uhrqa("ask", image, "what?", "-s", "geollava-8k")
    assert outcome.code == 2
    assert "strategy 'geollava-8k' is refused: what is published does not say" in outcome.err


def test_a_models_card_changes_the_defaults_shown_and_is_named(uhrqa) -> None:
    lines = uhrqa("strategies", "rfm-dip", "-m", "tiny").out.splitlines()
    assert lines[0].startswith("rfm-dip: ")
    assert not any(line.startswith(("region-merge", "geollava-8k")) for line in lines)
    assert any(line.startswith("  zoom_ratio=0.02 (card)") for line in lines)
    assert sum("(card)" in line for line in lines) == 2
    assert "(card)" not in uhrqa("strategies", "rfm-dip").out
    (row,) = json.loads(uhrqa("strategies", "region-merge", "-m", "tiny", "--json").out)[
        "strategies"
    ]
    found = {option["name"]: (option["default"], option["from_card"]) for option in row["options"]}
    assert found["scales"] == ("672,1344,2688", True)
    assert found["encode"] == ("all", False)
    assert uhrqa("strategies", "rfm-dib").code == 2


@pytest.mark.parametrize(
    ("option", "fault", "cards"),
    [
        ("encode=needed", "encode=needed: coverage=all needs every region", "coverage=all"),
        ("shares=1,2", "3 views but 2 shares; give a share for each", "scales=672,1344,2688"),
    ],
)
def test_an_option_that_does_not_go_with_the_cards_is_the_users(
    uhrqa, image, option, fault, cards
) -> None:
    outcome = uhrqa("ask", image, "what?", "-s", "region-merge", "-o", option, "-m", "tiny")
    assert outcome.code == 2
    assert fault in outcome.err
    assert f"(you gave {option}; {cards} is of the model card 'tiny')" in outcome.err


def test_every_default_shown_is_accepted(uhrqa) -> None:
    listing = json.loads(uhrqa("strategies", "--json").out)["strategies"]
    for entry in listing:
        defaults = {option["name"]: option["default"] for option in entry["options"]}
        assert make_strategy(entry["name"], defaults) == make_strategy(entry["name"])


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
    looks = [look for look in doctor.LOOKS if look is not doctor.check_models]
    assert len(looks) == len(doctor.LOOKS) - 1
    monkeypatch.setattr(doctor, "LOOKS", looks)  # the embedded model has tests of its own
    outcome = uhrqa("doctor", "--json")
    assert (outcome.code, json.loads(outcome.out)["ok"]) == (0, True)
    monkeypatch.setattr(doctor, "LEAST_TRANSFORMERS", (99, 0))
    outcome = uhrqa("doctor", "-q")
    assert outcome.code == 1
    assert "older than 99.0" in outcome.out
    assert "fix: pip install -U 'transformers>=99.0'" in outcome.out


def test_doctor_says_what_is_wrong_with_the_settings_and_goes_on(uhrqa, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "LOOKS", [doctor.check_versions])
    Path("uhrqa.yaml").write_text("bugdet: 4k\n")
    outcome = uhrqa("doctor")
    assert outcome.code == 1
    assert "broken  settings: uhrqa.yaml: unknown key 'bugdet'" in outcome.out
    assert "torch" in outcome.out
    found = json.loads(uhrqa("doctor", "--json").out)
    broken = [check["name"] for check in found["checks"] if check["state"] == "broken"]
    assert broken == ["settings"]
    assert uhrqa("doctor", "--format", "jsn").code == 2


@pytest.fixture
def bad_cards(monkeypatch, tmp_path: Path) -> list[str]:
    """Cards that cannot be used, each for a reason of its own, beside the good ones."""
    cards = {
        "colon": "weights: [",
        "empty": "",
        "hub": "weights: hub:org/name\nconfig: 5\n",
        "key": "wieghts: nowhere\n",
        "nowhere": "weights: nowhere\n",
    }
    for name, text in cards.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setattr(card, "PLACES", (*card.PLACES, tmp_path))
    return list(cards)


def test_a_bad_card_is_told_and_does_not_hide_the_others(uhrqa, bad_cards) -> None:
    outcome = uhrqa("models")
    assert outcome.code == 0
    assert SEVEN_B in outcome.out
    assert outcome.err.count("\n") == len(bad_cards) == outcome.err.count("uhrqa: warning: ")
    for name in bad_cards:
        assert name in outcome.err
    assert uhrqa("models", "-q").err == ""
    found = json.loads(uhrqa("models", "--json", "-q").out)
    assert sorted(found["faults"]) == bad_cards
    assert SEVEN_B in {card["name"] for card in found["models"]}


def test_doctor_tells_what_partitions_need(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    learn, image = doctor.check_regions()
    assert (learn.state, learn.found) == ("note", "not installed")
    assert learn.fix == (
        "optional, for region-merge -o partition=birch: pip install 'uhrqa[regions]'"
    )
    assert "partition=slic" in image.fix
    monkeypatch.setattr(doctor, "_version", lambda name: "1.5")
    assert {check.state for check in doctor.check_regions()} == {"ok"}


def test_doctor_finds_bad_cards(uhrqa, bad_cards) -> None:
    outcome = uhrqa("doctor", "-q")
    assert outcome.code == 1
    for name in bad_cards:
        assert f"broken  model card {name}: " in outcome.out
    assert SEVEN_B not in outcome.out


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


def test_no_table_of_a_narrow_terminal_loses_a_digit(uhrqa, monkeypatch, checkpoint, image) -> None:
    from rich.console import Console

    from uhrqa.cli import rows

    def narrow(stderr: bool = True, *, wide: bool = False) -> Console:
        return Console(width=240 if wide else 80, force_terminal=False)

    monkeypatch.setattr(rows, "open_console", narrow)
    args = ("profile", image, "how many?", "-m", checkpoint, "-b", "60", "-s", "downsample")
    table = uhrqa(*args).out
    assert "peak memory" in table
    assert "left out on this narrow terminal: read, answer, decode, " in table
    assert "decode" not in table.partition("--json has all")[2]
    assert "…" not in table
    assert max(map(len, table.splitlines()[3:])) <= 80


def test_a_cache_that_is_a_file_is_one_line(uhrqa, monkeypatch, checkpoint) -> None:
    monkeypatch.setenv("UHRQA_CACHE", "/etc/passwd")
    outcome = uhrqa("profile", "-b", "300", "-m", checkpoint, "-q")
    assert outcome.code == 6
    assert outcome.err.count("\n") == 1


def test_info_counts_tokens_that_are_pooled(uhrqa, image) -> None:
    levels = json.loads(uhrqa("info", image, "-m", "lrs-vqa-qwen2", "--json").out)["levels"]
    assert levels[0]["tokens"] == 24 * 18  # of 336 x 252 px: its thumbnail is not pooled
    finest = levels[-1]
    assert finest["tokens"] == (finest["height"] // 28) * (finest["width"] // 28)


def test_info_tells_that_there_are_places_without_image(uhrqa, image, tmp_path) -> None:
    assert "take no tokens" not in uhrqa("info", image).out
    pixels = np.full((300, 400, 4), 255, np.uint8)
    pixels[:, :100, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "half.png")
    assert "places without image" in uhrqa("info", "half.png").out
    assert json.loads(uhrqa("info", "half.png", "--json").out)["has_mask"]


@pytest.mark.parametrize(("shards", "count"), [(None, 6), ((20, 20), 2)])
def test_info_counts_chunks_of_a_zarr_that_are_not_there(uhrqa, tmp_path, shards, count) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(20, 30), chunks=(10, 10), shards=shards, dtype="u1"
    )
    array[:10, :10] = 1
    line = f"{count - 1} of {count} chunks are not there"
    assert line in uhrqa("info", "a.zarr").out
    assert json.loads(uhrqa("info", "a.zarr", "--json").out)["absent_files"] == [count - 1, count]
    array[:] = 1
    assert "not there" not in uhrqa("info", "a.zarr").out


def test_info_counts_tiles_that_a_tiff_leaves_out(uhrqa) -> None:
    tifffile.imwrite("a.tif", np.full((128, 128), 7, np.uint8), tile=(64, 64), metadata=None)
    assert "are not there" not in uhrqa("info", "a.tif").out
    with tifffile.TiffFile("a.tif", mode="r+") as tif:
        page: Any = tif.pages.first
        page.tags["TileOffsets"].overwrite([0, 0, 0, page.dataoffsets[3]])
        page.tags["TileByteCounts"].overwrite([0, 0, 0, page.databytecounts[3]])
    assert "3 of 4 chunks are not there" in uhrqa("info", "a.tif").out
    assert json.loads(uhrqa("info", "a.tif", "--json").out)["absent_files"] == [3, 4]
