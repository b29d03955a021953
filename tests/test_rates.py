"""What was measured of a machine: kept, found again, and not believed where it is damaged."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from uhrqa import calibrate
from uhrqa.errors import OutputError
from uhrqa.raster import image, speed
from uhrqa.raster.image_bands import has_pyvips
from uhrqa.rates import FILE, Decoder, Rates, load_rates, save_rates

RATES = Rates(
    "a machine",
    {256: 1e10, 1024: 3e10},
    4e10,
    5e9,
    1e-4,
    2e9,
    1e-4,
    6e6,
    2e8,
    {"tiff": Decoder(0.03, 4e-9, 3e-9), "png": Decoder(1e-3, 7e-9, 2e-8)},
    0.05,
    300_000_000,
)


def test_rates_are_found_again_by_device_and_dtype(tmp_path: Path) -> None:
    other = replace(RATES, device="another", pixels=7.0)
    save_rates(tmp_path / "new", RATES, "float32")
    save_rates(tmp_path / "new", other, "float32")
    assert load_rates(tmp_path / "new", "a machine", "float32") == RATES
    assert load_rates(tmp_path / "new", "another", "float32") == other
    assert load_rates(tmp_path / "new", "a machine", "bfloat16") is None
    assert load_rates(tmp_path, "a machine", "float32") is None
    assert [file.name for file in (tmp_path / "new").iterdir()] == [FILE]


def test_what_a_killed_run_left_goes_and_what_is_young_stays(tmp_path: Path) -> None:
    for letter in "ab":
        (tmp_path / f".{FILE}.{letter * 8}.tmp").mkdir()
    os.utime(tmp_path / f".{FILE}.aaaaaaaa.tmp", (0, 0))
    save_rates(tmp_path, RATES, "float32")
    assert {file.name for file in tmp_path.iterdir()} == {FILE, f".{FILE}.bbbbbbbb.tmp"}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a machine, float32": 1}', '{"a machine, float32": {"flops": {}}}'],
)
def test_a_damaged_file_counts_as_not_measured(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert load_rates(tmp_path, "a machine", "float32") is None


@pytest.mark.parametrize("field", ["pixels", "weight_bytes", "layer_seconds", "halved"])
def test_a_rate_of_nothing_is_not_divided_by(tmp_path: Path, field: str) -> None:
    table = json.loads(save_rates(tmp_path, RATES, "float32").read_text())
    table["a machine, float32"][field] = 0.0
    (tmp_path / FILE).write_text(json.dumps(table))
    assert load_rates(tmp_path, "a machine", "float32") is None


@pytest.mark.parametrize(
    "decoders",
    [{}, {"png": {"opening": 1.0, "pixel": 1.0, "byte": 1.0}}, {"tiff": {"opening": 1.0}}, 3]
    + [{"tiff": {"opening": 1.0, "pixel": wrong, "byte": 1.0}} for wrong in (0.0, "1", None)],
)
def test_decoders_that_were_not_measured_whole_are_not_believed(tmp_path: Path, decoders) -> None:
    table = json.loads(save_rates(tmp_path, RATES, "float32").read_text())
    table["a machine, float32"]["decoders"] = decoders
    (tmp_path / FILE).write_text(json.dumps(table))
    assert load_rates(tmp_path, "a machine", "float32") is None


def test_between_widths_the_rate_is_interpolated_and_beyond_them_level() -> None:
    assert RATES.at(512) == pytest.approx(2e10)  # half way, by logarithm
    assert [RATES.at(width) for width in (8, 256, 1024, 8192)] == [1e10, 1e10, 3e10, 3e10]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_rates(tmp_path / "file", RATES, "float32")


def test_measuring_a_cpu_gives_rates_that_can_be_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(calibrate, "CPU_SHAPES", ((64, 8), (128, 4)))
    monkeypatch.setattr(calibrate, "CPU_TOKENS", 16)
    monkeypatch.setattr(speed, "SCENE", 512)
    monkeypatch.setattr(speed, "WHOLE", 512)
    monkeypatch.setattr(image, "WARN_PIXELS", 512**2)
    monkeypatch.setattr(speed, "PIECE", 2**12)
    found = calibrate.measure(torch.device("cpu"), torch.float32, 0.1)
    assert set(found.flops) == {64, 128}
    save_rates(tmp_path, found, "float32")
    assert load_rates(tmp_path, found.device, "float32") == found
    assert found.base_bytes > 1e7
    banded = {"png in bands", "jpeg in bands"} if has_pyvips() else set()
    assert set(found.decoders) == {"tiff", "zarr", "png", "jpeg"} | banded


@pytest.mark.skipif(not has_pyvips(), reason="decodes in bands")
def test_what_is_decoded_in_bands_needs_fresh_pages_of_the_disk(monkeypatch) -> None:
    monkeypatch.setattr(speed, "SCENE", 512)
    monkeypatch.setattr(speed, "WHOLE", 512)
    monkeypatch.setattr(image, "WARN_PIXELS", 512**2)
    monkeypatch.setattr(speed, "_fresh_pages", lambda: 2.0)
    found = {name: each.pixel for name, each in speed.measure_reading().decoders.items()}
    assert {name for name, pixel in found.items() if pixel > 6} == set(speed.IN_BANDS)
    assert max(found["tiff"], found["zarr"], found["png"], found["jpeg"]) < 1


def test_a_file_of_more_bytes_tells_what_a_byte_takes(tmp_path: Path, monkeypatch) -> None:
    took = {"a": 3.0, "b": 5.0}
    monkeypatch.setattr(
        speed, "_decoding", lambda path, _: (100 * ord(path.name) - 9600, took[path.name], 10, "x")
    )
    (found,) = speed._decoders([(Path("a"), Path("b"))], 1, {"x": 0.5}).values()
    assert list(found) == pytest.approx([0.5, 0.1, 0.02])  # 3 = 10 px and 100 bytes


def test_ground_has_more_in_it_than_a_blank_image_and_less_than_noise() -> None:
    import zlib

    ground = speed._ground(256, 300)
    noise = np.random.default_rng(0).integers(0, 255, ground.shape).astype(np.uint8)
    assert ground.shape == (256, 300, 3)
    packed = [
        len(zlib.compress(np.diff(each, axis=1, prepend=each[:, :1]).tobytes())) / each.size
        for each in (ground, noise)
    ]
    assert 0.1 < packed[0] < 0.6 < packed[1]


def test_the_measured_layer_counts_its_own_matrices_as_the_counter_does() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer = calibrate._Layer(128, torch.device("cpu"), torch.float32)
    with FlopCounterMode(display=False) as counter:
        layer.mixed(layer.tokens(16))
    assert counter.get_total_flops() == 2 * 16 * layer.weights


def test_time_that_others_had_the_cpu_for_is_not_counted() -> None:
    assert speed.seconds(lambda: time.sleep(0.01)) < 0.008
    assert speed.seconds(lambda: time.sleep(0.01), elsewhere=True) >= 0.01
