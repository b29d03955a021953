"""`profile` before a weight is read, and `--max-memory` and `--max-seconds`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tifffile
import torch
from PIL import Image

from uhrqa.calibrate import device_name
from uhrqa.cli import forecasting
from uhrqa.cli.choice import choose
from uhrqa.cli.forecasting import Forecast, fit
from uhrqa.cli.limits import Limits, read_bytes, read_seconds
from uhrqa.cli.rows import seconds_text
from uhrqa.config import load_settings
from uhrqa.errors import ConfigError
from uhrqa.forecast import Memory
from uhrqa.geometry import Size
from uhrqa.rates import Decoder, Rates, save_rates

SEVEN_B = "llava-v1.6-vicuna-7b"
PLAN = ("profile", "--size", "4096x4096", "-m", SEVEN_B, "-b", "1k", "-s", "downsample")
CPU = ("--device", "cpu")


@pytest.fixture
def measured(uhrqa, monkeypatch, tmp_path: Path):
    """A cache that says this CPU does 1 TFLOP a second."""
    monkeypatch.setenv("UHRQA_CACHE", str(tmp_path / "cache"))
    name = device_name(torch.device("cpu"))
    quick, slow = Decoder(1e-6, 1e-9, 1e-9), Decoder(1e-6, 1e-3, 1e-9)
    decoders = {"tiff": quick, "png": slow}
    rates = Rates(
        name, {1024: 1e12}, 1e12, 1e11, 1e-5, 1e10, 1e-5, 1e8, 1e9, decoders, 1e-3, 100_000_000
    )
    save_rates(tmp_path / "cache", rates, "float32")
    return uhrqa


def test_without_a_measurement_no_seconds_and_a_note(uhrqa) -> None:
    outcome = uhrqa(*PLAN, *CPU)
    assert "seconds" not in outcome.out
    assert "memory on " in outcome.out
    assert " 0 B" not in outcome.out
    assert "uhrqa profile --calibrate" in outcome.err
    assert uhrqa(*PLAN, *CPU, "-q").err == ""


def test_a_plan_shows_what_memory_consists_of_by_dtype(uhrqa) -> None:
    def weights(*args: str) -> int:
        (row,) = json.loads(uhrqa(*PLAN, *CPU, "--json", *args).out)["rows"]
        assert row["peak_memory"] == sum(row["memory"].values())
        return int(row["memory"]["weights"])

    assert weights() == 2 * weights("--dtype", "bfloat16")
    for word in ("weights", "cache", "activations", "features", "process", "not known"):
        assert word in uhrqa(*PLAN, *CPU).out


def test_a_measured_machine_gives_seconds_by_stage(measured) -> None:
    (row,) = json.loads(measured(*PLAN, *CPU, "--json").out)["rows"]
    assert row["seconds"] == pytest.approx(sum(row["stage_seconds"].values()))
    assert row["stage_seconds"]["prefill"] == pytest.approx(row["tflops"]["prefill"], rel=0.01)


def test_an_image_alone_is_planned_and_its_blocks_counted(uhrqa, checkpoint, image) -> None:
    args = (image, "-m", checkpoint, "-b", "60", "-s", "downsample", "--json")
    (plan,) = json.loads(uhrqa("profile", *args).out)["rows"]
    (run,) = json.loads(uhrqa("profile", image, "how many?", *args[1:]).out)["rows"]
    assert plan["bytes_read"] == run["bytes_read"] > 0
    assert plan["answer"] is None


def test_calibrating_keeps_what_it_measures(uhrqa, monkeypatch, tmp_path: Path) -> None:
    from uhrqa import calibrate
    from uhrqa.raster import speed

    monkeypatch.setattr(calibrate, "CPU_SHAPES", ((64, 8),))
    monkeypatch.setattr(calibrate, "CPU_TOKENS", 16)
    monkeypatch.setattr(speed, "SCENE", 512)
    monkeypatch.setattr(speed, "WHOLE", 512)
    monkeypatch.setenv("UHRQA_CACHE", str(tmp_path / "cache"))
    outcome = uhrqa("profile", "--calibrate", *CPU)
    assert (outcome.code, outcome.out) == (0, "")
    assert str(tmp_path / "cache" / "rates.json") in outcome.err
    assert "--calibrate" not in uhrqa(*PLAN, *CPU).err
    rates = json.loads(uhrqa("profile", "--calibrate", *CPU, "--json", "-q").out)
    assert rates["tile_seconds"] > 0
    assert rates["file"] == str(tmp_path / "cache" / "rates.json")


def test_a_convention_changes_the_figures_and_says_so(uhrqa) -> None:
    def total(*args: str) -> float:
        (row,) = json.loads(uhrqa(*PLAN, *CPU, "--json", *args).out)["rows"]
        return float(row["tflops"]["total"])

    assert total("--convention", "paper-lrs") < total("--convention", "profiler") < total()
    assert "in TMACs as paper-fastv counts them" in uhrqa(*PLAN, "--convention", "paper-fastv").out


def test_ask_takes_the_largest_budget_that_fits(measured, checkpoint, image) -> None:
    args = ("ask", image, "how many?", "-m", checkpoint, *CPU, "-s", "downsample", "--json")

    def entered(*limits: str) -> tuple[int, str]:
        outcome = measured(*args, *limits)
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)["counts"]["budget"], outcome.err

    plan = ("profile", image, "-m", checkpoint, *CPU, "-s", "downsample", "--json", "-b", "500,3k")
    low, high = (row["peak_memory"] for row in json.loads(measured(*plan).out)["rows"])
    assert low < high
    some, told = entered("--max-memory", f"{(low + high) // 2}")
    more, _ = entered("--max-memory", "2GB")
    assert 500 <= some < 3000 < more
    assert f"uhrqa: budget {some}: takes about" in told
    assert "the largest that fits" in told
    asked, told = entered("--max-seconds", "60", "-b", "70")
    assert asked == 70
    assert "all that was asked for" in told


def test_few_plans_find_the_largest_budget(monkeypatch) -> None:
    tried: list[int] = []

    def forecast(tokens: int) -> Forecast:
        tried.append(tokens)
        memory = Memory(1000, tokens, tokens**2 // 5000, 0)
        return Forecast(None, memory, None)  # type: ignore[arg-type]

    monkeypatch.setattr(forecasting, "_least", lambda forecast: (1, forecast(1)))
    for limit in (1100, 3000, 20_000, 60_000):
        tried.clear()
        low, kept = forecasting._largest(forecast, 16_384, Limits(memory=limit), "any")
        assert len(tried) <= 9  # halving takes 10 to 13
        assert kept.memory.total <= limit < forecast(low + max(1, low // 32) + 1).memory.total


def test_a_long_question_leaves_room_for_fewer_tokens() -> None:
    settings = load_settings({"model": SEVEN_B, "strategy": "downsample", "device": "cpu"})
    choice, limits = choose(settings, {}), Limits(memory=32 * 10**9)
    short, long = (
        fit(choice, Size(4096, 4096), settings, limits, question)[0].budget.tokens
        for question in ("how many?", "how many ships? " * 200)
    )
    assert 500 < short - long < 1000  # 800 tokens of text, to a 32nd


def test_what_cannot_fit_names_the_least_that_would(measured, checkpoint, image) -> None:
    args = ("ask", image, "how many?", "-m", checkpoint, *CPU)
    outcome = measured(*args, "--max-memory", "90MB")
    assert outcome.code == 7
    assert "does not fit 90.0 MB: the least budget, " in outcome.err
    least = outcome.err.partition("takes about ")[2].partition(";")[0].replace(" ", "")
    assert measured(*args, "--max-memory", least).code == 0


def test_limits_reckon_with_a_decoder_that_is_slow(
    measured, checkpoint, image, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.png")
    Image.fromarray(tifffile.imread(image)).save(path)

    def asked(place: str, *limits: str):
        return measured(
            "ask", place, "how many?", "-m", checkpoint, *CPU, "-s", "downsample", *limits
        )

    assert asked(image, "--max-seconds", "1").code == 0
    outcome = asked(path, "--max-seconds", "1")  # PNG: 1 ms a pixel
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (7, "", 1)
    assert "downsample does not fit 1 s: the least budget, 16 visual tokens, takes" in outcome.err
    least = outcome.err.partition("takes about ")[2].partition(" s;")[0]
    assert asked(path, "--max-seconds", least).code == 0
    more = str(float(least) + 1)
    assert "all that was asked for" in asked(path, "--max-seconds", more, "-b", "70").err


def test_limits_refuse_what_they_cannot_keep(uhrqa, checkpoint, image) -> None:
    args = ("ask", image, "how many?", "-m", checkpoint, *CPU)
    outcome = uhrqa(*args, "--max-seconds", "5")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "was not measured; uhrqa profile --calibrate" in outcome.err
    outcome = uhrqa(*args, "--max-memory", "5GB", "-b", "auto")
    assert "leave out 'auto'" in outcome.err


def test_batch_fits_each_image(measured, checkpoint, image, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps({"image": image, "question": "how many?"}) + "\n")
    args = ("batch", "q.jsonl", "-m", checkpoint, *CPU, "--max-memory")
    outcome = measured(*args, "2GB", "-o", "a.jsonl")
    assert f"uhrqa: {image}: budget " in outcome.err
    record = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])
    assert f"budget {record['counts']['budget']}:" in outcome.err
    refused = measured(*args, "90MB", "-o", "b.jsonl")
    assert refused.code == 1
    assert "does not fit" in (tmp_path / "b.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "count"),
    [("20GB", 20 * 10**9), ("16GiB", 2**34), ("1.5G", 1_500_000_000), ("800 mb", 8 * 10**8),
     ("512kib", 2**19), ("7", 7)],
)  # fmt: skip
def test_sizes_are_read_as_they_are_written(text: str, count: int) -> None:
    assert read_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "0GB", "-1GB", "20PB", "1e9", "inf", "20 GB x"])
def test_what_is_no_size_or_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--max-memory"):
        read_bytes(text)
    if text != "1e9":
        with pytest.raises(ConfigError, match="--max-seconds"):
            read_seconds(text)


def test_seconds_may_have_their_unit() -> None:
    assert (read_seconds("5"), read_seconds(" 0.5s")) == (5, 0.5)


def test_a_plan_opens_the_image_as_a_question_would(uhrqa, checkpoint, image) -> None:
    outcome = uhrqa("profile", image, "-m", checkpoint, "-b", "60", "--max-pixels", "1000")
    assert outcome.code == 3
    assert "1000" in outcome.err


def test_a_limit_that_does_not_bind_says_so(measured, checkpoint, image) -> None:
    ask = ("ask", image, "?", "-m", checkpoint, *CPU, "--dtype", "float32", "-s", "downsample")
    told = measured(*ask, "--max-memory", "900GB").err
    assert "all that the model's context has room for; the limit is 900.0 GB" in told
    told = measured(*ask, "-b", "60", "--max-memory", "900GB").err
    assert "budget 60: " in told
    assert "all that was asked for; the limit is 900.0 GB" in told


def test_no_strategy_is_advised_that_was_just_refused(measured, checkpoint, image) -> None:
    ask = ("ask", image, "?", "-m", checkpoint, *CPU, "--dtype", "float32", "--max-memory", "1MB")
    assert "such as downsample" in measured(*ask, "-s", "rfm-dip").err
    assert "such as downsample" not in measured(*ask, "-s", "downsample").err


def test_a_refused_plan_has_no_table_of_memory(uhrqa) -> None:
    outcome = uhrqa(*PLAN[:-4], "-b", "1", "-s", "rfm-dip", *CPU)
    assert outcome.code == 7
    assert "memory budget" not in " ".join(outcome.out.split())


def test_many_seconds_have_no_decimals() -> None:
    assert [seconds_text(part) for part in (0.123, 99.5, 13267.02)] == ["0.12", "99.50", "13267"]


def test_a_cache_that_is_a_file_is_told_as_one(uhrqa, checkpoint, image, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "--feature-cache", tmp_path / "file")
    assert outcome.code == 6
    assert "is a file; name a directory" in outcome.err
