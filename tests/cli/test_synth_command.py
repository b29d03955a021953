"""`uhrqa synth` says what it does, and what is wrong, in one line each."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import start

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
        (("--shards",), "add --format zarr"),
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


def test_the_embedded_model_answers_the_written_questions(uhrqa, tmp_path: Path) -> None:
    assert uhrqa("synth", "set", *SMALL, "-q").code == 0
    done = uhrqa("batch", "set/questions.jsonl", "-o", "answers.jsonl", "-m", "tiny", "-b", "256")
    assert done.code == 0
    asked = [json.loads(line) for line in Path("set/questions.jsonl").read_text().splitlines()]
    answered = [json.loads(line) for line in Path("answers.jsonl").read_text().splitlines()]
    assert {row["id"] for row in answered} == {row["question_id"] for row in asked}
    assert all(isinstance(row["answer"], str) and row["width"] == 600 for row in answered)


def test_quiet_leaves_stderr_empty(uhrqa, tmp_path: Path) -> None:
    done = uhrqa("synth", "set", "--scenes", "1", "--sides", "256", "-q")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("set/questions.jsonl: ")


def test_an_interrupted_run_leaves_no_draft_and_goes_on(uhrqa, monkeypatch) -> None:
    args = ("synth", "set", "--scenes", "2", "--sides", "256", "--format", "zarr")
    from uhrqa.synth.files import draw_tile

    calls = [0]

    def interrupted(*words: object) -> object:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return draw_tile(*words)  # type: ignore[arg-type]

    monkeypatch.setattr("uhrqa.synth.zarr_file.draw_tile", interrupted)
    assert uhrqa(*args).code == 130
    names = {str(path.relative_to("set")) for path in Path("set").rglob("*.*")}
    assert "images/test-0000.zarr" in names
    assert "questions.jsonl" not in names
    assert not any(name.endswith(".tmp") for name in names)
    again = uhrqa(*args)
    assert again.code == 0
    assert "test-0000.zarr was there" in again.err
    assert "test-0001.zarr written" in again.err


@pytest.mark.parametrize("shards", [(), ("--shards",)], ids=["chunks", "shards"])
def test_sigterm_while_zarr_writes_ends_at_once_and_leaves_nothing(tmp_path: Path, shards) -> None:
    folder = tmp_path / "set"
    process = start(
        "synth", folder, "--scenes", "1", "--sides", "2048", "--format", "zarr", *shards
    )
    deadline = time.monotonic() + 60
    while not any(folder.glob("images/.*.tmp/*/0/c/0" if not shards else "images/.*.tmp/*/0")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert err == "uhrqa: 0 of 1 scenes are there; run it again to go on\n"
    assert not any((folder / "images").iterdir())
