"""Encoded tiles on disk: another process pays for nothing twice, and damage costs a tile."""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from uhrqa import ask
from uhrqa.errors import FeatureFileWarning, OutputError
from uhrqa.feature_files import FeatureFiles
from uhrqa.features import EncodedTile, FeatureCache, TileKey
from uhrqa.geometry import Size
from uhrqa.pyramid import Tile
from uhrqa.strategies import STRATEGIES


def key(row: int) -> TileKey:
    return Size(60, 40), Size(90, 60), (0, 0), 20, 2, Tile(row, 0)


def tile(seed: int, dtype: torch.dtype = torch.float32) -> EncodedTile:
    values = torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(seed))
    return EncodedTile(values.to(dtype))


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_tile_comes_back_bit_for_bit(tmp_path, dtype) -> None:
    shown = torch.tensor([[True, False], [True, True]])
    whole = tile(0, dtype)._replace(shown=shown, traits=torch.rand(2, 2, 3))
    blank = EncodedTile(None, torch.zeros(2, 2, dtype=torch.bool))
    writer = FeatureFiles(tmp_path, "owner")
    writer.save(key(0), whole)
    writer.save(key(1), blank)
    reader = FeatureFiles(tmp_path, "owner")
    for place, expected in ((0, whole), (1, blank)):
        found = reader.load(key(place))
        assert found is not None
        for one, other in zip(found, expected, strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.dtype == other.dtype
                assert torch.equal(one, other)
    assert reader.load(key(2)) is None
    assert FeatureFiles(tmp_path, "another owner").load(key(0)) is None


def cut(data: bytes) -> bytes:
    return data[:-5]


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "damage", [cut, flip, lambda _: b"", lambda _: b"nonsense" * 9, lambda data: data[:8]]
)
def test_a_damaged_file_is_told_once_and_written_anew(tmp_path, damage) -> None:
    files = FeatureFiles(tmp_path, "owner")
    for row in range(2):
        files.save(key(row), tile(row))
    for path in files_in(tmp_path):
        path.write_bytes(damage(path.read_bytes()))
    fresh = FeatureFiles(tmp_path, "owner")
    with pytest.warns(FeatureFileWarning, match="is no whole tile") as told:
        found = [fresh.load(key(row)) for row in range(2)]
    assert found == [None, None]
    assert len(told) == 1
    fresh.save(key(0), tile(7))
    again = fresh.load(key(0))
    assert again is not None
    assert str(again) == str(tile(7))


def test_a_file_under_another_tiles_name_is_not_taken(tmp_path) -> None:
    files = FeatureFiles(tmp_path, "owner")
    files.save(key(0), tile(0))
    (first,) = files_in(tmp_path)
    data = first.read_bytes()
    first.unlink()
    files.save(key(1), tile(1))
    files_in(tmp_path)[0].write_bytes(data)
    with pytest.warns(FeatureFileWarning, match="is no whole tile"):
        assert files.load(key(1)) is None


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_what_is_written_has_the_rights_of_the_umask(tmp_path, umask: int) -> None:
    old = os.umask(umask)
    try:
        FeatureFiles(tmp_path, "owner").save(key(0), tile(0))
    finally:
        os.umask(old)
    assert stat.S_IMODE(files_in(tmp_path)[0].stat().st_mode) == 0o666 & ~umask


def test_what_was_used_longest_ago_goes_first(tmp_path) -> None:
    FeatureFiles(tmp_path, "a").save(key(0), tile(0))
    size = files_in(tmp_path)[0].stat().st_size
    limit = 4 * size + size // 2
    one, other = (FeatureFiles(tmp_path, name, limit=limit) for name in "ab")
    kept = [(one, 0), (one, 1), (other, 2), (other, 3)]
    paths: list[Path] = []
    for path in files_in(tmp_path):
        path.unlink()
    for age, (files, row) in enumerate(kept):
        files.save(key(row), tile(row))
        (new,) = set(files_in(tmp_path)) - set(paths)
        os.utime(new, (1000 + age, 1000 + age))
        paths.append(new)
    assert one.load(key(0)) is not None  # the oldest is used again
    one.save(key(9), tile(9))
    left = set(files_in(tmp_path))
    (new,) = left - set(paths)
    assert sum(path.stat().st_size for path in left) <= limit
    assert {paths[0], new} <= left
    assert paths[1] not in left  # of both owners' files


def test_an_abandoned_file_goes_and_a_fresh_one_stays(tmp_path) -> None:
    FeatureFiles(tmp_path, "owner").save(key(1), tile(1))
    files = FeatureFiles(tmp_path, "owner")
    known = files_in(tmp_path)[0]
    old, new = (known.with_suffix(f".{letter * 32}.tmp") for letter in "ab")
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    files.save(key(0), tile(0))
    assert not old.exists()
    assert new.exists()


def test_what_others_keep_there_is_left_alone(tmp_path) -> None:
    theirs = [tmp_path / "llava" / name for name in ("model.safetensors", "notes.tmp")]
    theirs.append(tmp_path / ("c" * 32) / "model.safetensors")
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 10_000)
        os.utime(path, (1, 1))
    FeatureFiles(tmp_path, "a").save(key(9), tile(9))
    (own,) = set(files_in(tmp_path)) - set(theirs)
    files = FeatureFiles(tmp_path, "owner", limit=5 * own.stat().st_size // 2)
    for row in range(4):
        files.save(key(row), tile(row))
    assert all(path.read_bytes() == b"x" * 10_000 for path in theirs)
    assert 1 <= sum(files.load(key(row)) is not None for row in range(4)) <= 2


def test_a_full_disk_is_told_once_and_ends_nothing(vlm, tmp_path, monkeypatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)
    files = FeatureFiles(tmp_path, "owner")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(FeatureFileWarning, match="no more tiles are kept there") as told:
        ask(
            pixels, "?", model=vlm, strategy="full", budget=2000, features=FeatureCache(store=files)
        )
    assert len(told) == 1
    assert files_in(tmp_path) == []


def test_a_directory_that_cannot_be_made_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="name another directory"):
        FeatureFiles(tmp_path / "file", "owner")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_another_process_pays_for_relevance_and_the_answer_alone(vlm, tmp_path, strategy) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)
    how: dict[str, Any] = {"model": vlm, "strategy": strategy, "budget": 1500}

    def stored() -> FeatureCache:
        return FeatureCache(store=FeatureFiles(tmp_path, "image and model"))

    plain = ask(pixels, "how many?", **how)
    first = ask(pixels, "how many?", features=stored(), **how)
    second = ask(pixels, "how many?", features=stored(), **how)
    assert first.counts == plain.counts
    assert (second.counts.tiles_read, second.cost.vision, second.cost.projector) == (0, 0, 0)
    assert second.counts.tiles_reused == first.counts.tiles_encoded > 0
    assert second.bytes_read == 0
    for part in ("relevance", "prefill", "decode"):
        assert getattr(second.cost, part) == getattr(first.cost, part)
    for other in (first, second):  # the same tokens, and the same answer
        assert other.evidence == plain.evidence or str(other.evidence) == str(plain.evidence)
        assert other.text == plain.text


def test_an_image_with_holes_is_not_read_again(vlm, tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (420, 300, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:200, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = [
            ask(tmp_path / "a.png", "?", model=vlm, strategy="full", budget=2000,
                features=FeatureCache(store=FeatureFiles(tmp_path / "kept", "it")))
            for _ in range(2)
        ]  # fmt: skip
    first, second = answers
    assert first.counts.tiles_read > first.counts.tiles_encoded > 0
    assert second.counts.tiles_read == 0
    assert str(second.evidence) == str(first.evidence)
