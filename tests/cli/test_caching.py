"""`--feature-cache`: the next process encodes nothing, unless anything that decides has changed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import start
from uhrqa.cli import identity
from uhrqa.raster import levels, serving


@pytest.fixture
def ask(uhrqa, checkpoint, image):
    """What an answer says, from a run that keeps its tiles in `kept`."""

    def call(*args: object) -> dict:
        own = ("-m", checkpoint, "-b", "60", "-q", "--json", "--feature-cache", "kept")
        return json.loads(uhrqa("ask", image, "how many ships?", *own, *args).out)

    return call


def test_the_second_process_encodes_and_reads_nothing(ask, checkpoint, image) -> None:
    first = ask()
    assert first["counts"]["tiles_encoded"] > 0
    own = ("-m", checkpoint, "-b", "60", "-q", "--json", "--feature-cache", "kept")
    process = start("ask", image, "how many ships?", *own, cwd=Path.cwd())
    second = json.loads(process.communicate(timeout=120)[0])
    assert (second["counts"]["tiles_read"], second["bytes_read"]) == (0, 0)
    assert second["tflops"]["vision"] == 0
    assert second["tflops"]["relevance"] == first["tflops"]["relevance"] > 0
    assert second["evidence"] == first["evidence"]
    assert second["answer"] == first["answer"]


def test_whatever_decides_features_makes_them_others(ask, image) -> None:
    ask()
    assert ask()["counts"]["tiles_encoded"] == 0
    assert ask("-s", "downsample")["counts"]["tiles_encoded"] > 0  # other tiles
    for change in (("--dtype", "bfloat16"), ("--roi", "0,0,200,200"), ("--bands", "3,2,1")):
        assert ask(*change)["counts"]["tiles_encoded"] > 0, change
        assert ask(*change)["counts"]["tiles_encoded"] == 0, change
    assert ask("--seed", "3")["counts"]["tiles_encoded"] == 0
    state = Path(image).stat()
    pixels = np.random.default_rng(5).integers(0, 255, (300, 400, 3), np.uint8)
    tifffile.imwrite(image, pixels, tile=(64, 64), photometric="rgb")
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))  # of the same size and time
    assert Path(image).stat().st_size == state.st_size
    assert ask()["counts"]["tiles_encoded"] > 0


@pytest.mark.parametrize("package", ["rasterio", "imagecodecs"])
def test_another_decoder_makes_other_features(ask, monkeypatch, package: str) -> None:
    ask()
    monkeypatch.setattr(identity, "version", lambda name: "0" if name == package else version(name))
    assert ask()["counts"]["tiles_encoded"] > 0


def test_the_cache_is_the_users_own_with_auto_and_nowhere_when_off(
    uhrqa, checkpoint, image, monkeypatch
) -> None:
    args = ("ask", image, "?", "-m", checkpoint, "-b", "60", "-q")
    monkeypatch.setenv("UHRQA_CACHE", "own")
    assert uhrqa(*args, "--feature-cache", "auto").code == 0
    kept = list(Path("own/features").glob("*/*.safetensors"))
    assert kept
    monkeypatch.setenv("UHRQA_FEATURE_CACHE", "elsewhere")
    assert uhrqa(*args, "--feature-cache", "off").code == 0
    assert not Path("elsewhere").exists()


def test_a_cache_that_cannot_be_is_refused_before_anything_is_loaded(
    uhrqa, checkpoint, image
) -> None:
    Path("file").write_text("x")
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "--feature-cache", "file")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (6, "", 1)
    assert "--feature-cache file" in outcome.err


def test_a_damaged_tile_is_told_once_and_costs_a_tile(uhrqa, checkpoint, image) -> None:
    args = ("ask", image, "?", "-m", checkpoint, "-b", "60", "--feature-cache", "kept")
    plain = uhrqa(*args).out
    for path in Path("kept").glob("*/*"):
        path.write_bytes(path.read_bytes()[:-9])
    outcome = uhrqa(*args)
    assert outcome.out == plain
    assert outcome.err.count("is no whole tile") == 1
    assert "no whole tile" not in uhrqa(*args).err


def test_processes_share_a_cache(checkpoint, image, tmp_path) -> None:
    args = ("ask", image, "?", "-m", checkpoint, "-b", "60", "-q", "--feature-cache",
            tmp_path / "kept")  # fmt: skip
    running = [start(*args) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in running]
    assert told[0] == told[1]
    assert told[0][1] == ""
    assert not list((tmp_path / "kept").glob("*/*.tmp"))


def test_a_batch_and_a_chat_use_it_too(uhrqa, checkpoint, image, monkeypatch) -> None:
    monkeypatch.setenv("UHRQA_FEATURE_CACHE", "kept")
    Path("q.jsonl").write_text(json.dumps({"image": image, "question": "?"}))
    args = ("-m", checkpoint, "-b", "60", "-q")
    uhrqa("batch", "q.jsonl", "-o", "one.jsonl", *args)
    uhrqa("batch", "q.jsonl", "-o", "two.jsonl", *args)
    one, two = (json.loads(Path(name).read_text()) for name in ("one.jsonl", "two.jsonl"))
    assert one["counts"]["tiles_encoded"] > 0 == two["counts"]["tiles_encoded"]
    assert one["answer"] == two["answer"]
    process = start("chat", image, *args, "--json", stdin=subprocess.PIPE)
    told = json.loads(process.communicate("?\n", timeout=120)[0])
    assert told["counts"]["tiles_encoded"] == 0


def test_an_image_that_cannot_be_read_is_one_line(uhrqa, checkpoint, image, monkeypatch) -> None:
    opened = Path.open

    def refuse(path: Path, *args: Any, **more: Any) -> object:
        if path.name == "a.tif":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *args, **more)

    monkeypatch.setattr(Path, "open", refuse)
    args = ("-m", checkpoint, "--feature-cache", "kept")
    outcome = uhrqa("ask", image, "how many ships?", *args)
    assert outcome.code == 3
    assert outcome.err == f"uhrqa: error: {image}: cannot be read: Permission denied\n"


@pytest.fixture
def look(uhrqa, checkpoint, image, monkeypatch):
    """What an answer about an image that counts as large says."""
    monkeypatch.setattr(levels, "WINDOW_PIXELS", 10_000)
    monkeypatch.setattr(serving, "WHOLE_PIXELS", 10_000)

    def call(*args: object) -> dict:
        own = ("-m", checkpoint, "-b", "60", "-s", "thumbnail", "-q", "--json")
        outcome = uhrqa("ask", image, "how many ships?", *own, *args)
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)

    return call


def kept_in(directory: str) -> list[Path]:
    return list(Path(directory).glob("*/*.levels"))


def test_coarse_levels_are_kept_in_the_users_cache_and_made_once(look, image, monkeypatch) -> None:
    monkeypatch.setenv("UHRQA_CACHE", "own")
    plain = look("--pyramid-cache", "off")
    assert not Path("own").exists()
    first, second = look(), look()
    assert len(kept_in("own/pyramids")) == 1
    assert first["bytes_read"] == plain["bytes_read"] > Path(image).stat().st_size / 2
    assert second["bytes_read"] < plain["bytes_read"] / 10
    for found in (first, second):
        assert (found["answer"], found["evidence"]) == (plain["answer"], plain["evidence"])


def test_levels_of_another_file_bands_or_damaged_tiles_are_not_taken(look, image) -> None:
    own = ("--pyramid-cache", "kept")
    whole = look(*own)["bytes_read"]
    assert look(*own, "--bands", "3,2,1")["bytes_read"] > whole / 2
    assert look(*own, "--on-bad-tile", "mask")["bytes_read"] > whole / 2
    os.utime(image, (1, 1))
    assert look(*own)["bytes_read"] == whole
    assert look(*own)["bytes_read"] < whole / 10


def test_a_pyramid_cache_that_cannot_be_is_refused(uhrqa, checkpoint, image) -> None:
    Path("file").write_text("x")
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "--pyramid-cache", "file")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (6, "", 1)
    assert "--pyramid-cache file" in outcome.err
