"""The SHA-256 of a checkpoint's files in a run's manifest."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from uhrqa.cli import weights
from uhrqa.errors import CheckpointError


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("a.safetensors", "b.json")}
    for name, path in found.items():
        path.write_bytes(name.encode() * 100)
    return found


def wanted(files: dict[str, Path]) -> dict[str, str]:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_digests_of_large_files_are_kept_and_small_ones_are_read(
    files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MOST_HASHED", 1000)
    kept = tmp_path / "kept"
    assert weights.digests_of(files, kept, quiet=True) == wanted(files)
    (place,) = kept.iterdir()
    assert place.read_text() == wanted(files)["a.safetensors"]
    place.write_text("0" * 64)  # would be told only if the file is not read again
    assert weights.digests_of(files, kept, quiet=True)["a.safetensors"] == "0" * 64
    place.write_text("torn")
    assert weights.digests_of(files, kept, quiet=True) == wanted(files)


@pytest.mark.parametrize("change", ["time", "size"])
def test_a_file_that_was_changed_is_read_again(files, tmp_path, monkeypatch, change) -> None:
    monkeypatch.setattr(weights, "MOST_HASHED", 0)
    before = weights.digests_of(files, tmp_path / "kept", quiet=True)
    path, state = files["a.safetensors"], files["a.safetensors"].stat()
    path.write_bytes(b"x" * (state.st_size + (change == "size")))
    later = state.st_mtime_ns + (10**9 if change == "time" else 0)
    os.utime(path, ns=(later, later))
    after = weights.digests_of(files, tmp_path / "kept", quiet=True)
    assert after == wanted(files)
    assert after["a.safetensors"] != before["a.safetensors"]


def test_long_reading_is_told_and_a_cache_that_cannot_be_written_is_no_fault(
    files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "MOST_HASHED", 0)
    monkeypatch.setattr(weights, "LONG", 1000)
    kept = files["b.json"] / "kept"  # below a file
    assert weights.digests_of(files, kept, quiet=False) == wanted(files)
    assert capsys.readouterr().err == (
        "uhrqa: reading 1.9 kB for the SHA-256 of the weights, once\n"
    )
    with pytest.raises(CheckpointError, match="none: cannot be read: No such file"):
        weights.digests_of({"n": tmp_path / "none"}, kept, quiet=True)


def test_manifests_hold_the_digest_of_every_file(uhrqa, checkpoint, tmp_path: Path) -> None:
    row = {"question_id": "1", "image_name": "a.png", "question": "?", "ground_truth": "x"}
    Path("q.jsonl").write_text(json.dumps(row | {"type": "global"}))
    rfm = tmp_path / "own.safetensors"
    rfm.write_bytes(Path(checkpoint, "rfm.safetensors").read_bytes())
    uhrqa("eval", "lrs-gro", "q.jsonl", "-m", checkpoint, "-o", "r.jsonl", "--rfm", rfm)
    manifest = json.loads(Path("r.jsonl").read_text().splitlines()[0])["manifest"]
    found = manifest["model"]["sha256"]
    assert {"model.safetensors", "config.json", "rfm/own.safetensors"} <= set(found)
    for name, digest in found.items():
        path = rfm if name.startswith("rfm/") else Path(checkpoint, name)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
