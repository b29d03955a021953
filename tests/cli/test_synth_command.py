"""`uhrqa synth` says what it does, and what is wrong, in one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

SMALL = ("--scenes", "1", "--sides", "600", "--per-category", "1")


def test_scenes_are_written_once(uhrqa, tmp_path: Path) -> None:
    first = uhrqa("synth", str(tmp_path / "set"), *SMALL, "--format", "zarr")
    assert first.code == 0
    assert "questions.jsonl" in first.out
    assert "test-0000.zarr written" in first.err
    again = uhrqa("synth", str(tmp_path / "set"), *SMALL, "--format", "zarr")
    assert "test-0000.zarr was there" in again.err
    assert again.out == first.out


def test_a_dry_run_writes_nothing(uhrqa, tmp_path: Path) -> None:
    done = uhrqa("synth", str(tmp_path / "set"), *SMALL, "--dry-run")
    assert done.code == 0
    assert "test-0000: 600 x 600" in done.out
    assert "in all" in done.out
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sides", "12"), "256 to 100000"),
        (("--sides", "4k"), "whole numbers"),
        (("--format", "png"), "tif or zarr"),
        (("--split", "dev"), "test or validation or train"),
        (("--compression", "lzw"), "jpeg or deflate"),
        (("--noise", "3"), "noise"),
    ],
)
def test_a_bad_option_is_a_usage_error(
    uhrqa, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = uhrqa("synth", str(tmp_path / "set"), *words)
    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / "set").exists()


def test_a_directory_that_cannot_be_made_is_named(uhrqa, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = uhrqa("synth", str(tmp_path / "file"), *SMALL)
    assert done.code == 6
    assert "cannot be written" in done.err
