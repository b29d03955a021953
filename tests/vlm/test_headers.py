"""Headers alone: what is read of checkpoints of any size, and what is wrong with them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from uhrqa.errors import CheckpointError
from uhrqa.vlm.headers import INDEX, SINGLE, read_header, read_headers, total_bytes

GIGABYTE = 2**30


def write_sparse(file: Path, tensors: dict[str, tuple[str, list[int], int]]) -> None:
    """A safetensors file whose weights take no place on the disk."""
    header, at = {}, 0
    for name, (dtype, shape, length) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + length]}
        at += length
    raw = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        stream.truncate(8 + len(raw) + at)


def write_shards(directory: Path, count: int, each: int, size: int) -> Path:
    """`count` shards of `each` tensors of `size` bytes, and their index."""
    table: dict[str, str] = {}
    for shard in range(count):
        file = f"model-{shard + 1:05}-of-{count:05}.safetensors"
        names = [f"layers.{shard}.{index}.weight" for index in range(each)]
        write_sparse(directory / file, {name: ("BF16", [size // 2], size) for name in names})
        table |= dict.fromkeys(names, file)
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return directory


def refused(directory: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        read_headers(directory)
    assert "\n" not in str(caught.value)


def test_sixteen_gigabytes_are_looked_through_in_a_moment(tmp_path: Path) -> None:
    write_shards(tmp_path, 4, 100, 4 * GIGABYTE // 100)
    start = time.perf_counter()
    entries = read_headers(tmp_path)
    assert time.perf_counter() - start < 0.5
    assert total_bytes(entries.values()) == 4 * 100 * (4 * GIGABYTE // 100)
    entry = entries["layers.2.7.weight"]
    assert (entry.dtype, entry.file) == ("BF16", "model-00003-of-00004.safetensors")
    assert (entry.shape, entry.count) == ((entry.bytes // 2,), entry.bytes // 2)


def test_neither_torch_nor_numpy_is_imported() -> None:
    code = "import sys, uhrqa.vlm.headers; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_file_is_preferred_to_an_index(tmp_path: Path) -> None:
    write_shards(tmp_path, 2, 1, 64)
    write_sparse(tmp_path / SINGLE, {"only": ("F32", [2, 2], 16)})
    assert set(read_headers(tmp_path)) == {"only"}


def test_a_shard_cut_short_is_named_with_both_lengths(tmp_path: Path) -> None:
    write_shards(tmp_path, 2, 3, 1000)
    file = tmp_path / "model-00002-of-00002.safetensors"
    whole = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(whole - 600)
    refused(tmp_path, f"00002.safetensors: cut short: {whole - 600:,} bytes, .* asks for {whole:,}")
    with file.open("r+b") as stream:
        stream.truncate(whole + 1)
    refused(tmp_path, "too long")
    with file.open("r+b") as stream:
        stream.truncate(100)
    refused(tmp_path, "cut short: 100 bytes, its header alone asks for")


def test_missing_shards_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, 4, 1, 64)
    for number in (2, 3):
        (tmp_path / f"model-0000{number}-of-00004.safetensors").unlink()
    refused(tmp_path, "2 of 4 shards .* missing, first model-00002-of-00004.* again")


def test_an_index_that_names_a_tensor_its_shard_lacks_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, 2, 2, 64)
    table = json.loads((tmp_path / INDEX).read_text())["weight_map"]
    shard = table["layers.0.0.weight"]
    for wrong in ({"stray": shard}, {"layers.1.0.weight": shard}):
        (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table | wrong}))
        first = next(iter(wrong))
        refused(tmp_path, f"names 1 weights that are not in their shards, first {first}")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text)
    refused(tmp_path, INDEX)


def test_an_index_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(
        '{"metadata": {}, "weight_map": {"a": "../other/model.safetensors"}}'
    )
    refused(tmp_path, "no file beside the index")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\1\0\0",
        b"\xff" * 64,
        struct.pack("<Q", 3) + b"{a}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 8) + b'{"a": 1}',
        struct.pack("<Q", 27) + b'{"a": {"dtype": 3, "f": 3}}',
        b"<!DOCTYPE html><html>Access to this model is restricted</html>",
    ],
)
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / SINGLE).write_bytes(raw)
    with pytest.raises(CheckpointError, match=SINGLE):
        read_header(tmp_path / SINGLE)


def test_shards_without_their_index_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, 2, 1, 64)
    (tmp_path / INDEX).unlink()
    refused(tmp_path, f"2 shards .* no {INDEX}")


def test_without_weights_it_says_whether_there_are_pickles(tmp_path: Path) -> None:
    refused(tmp_path, r"no model\*.safetensors")
    (tmp_path / "training_args.bin").write_bytes(b"")
    (tmp_path / "pytorch_model-00001-of-00002.bin").write_bytes(b"")
    refused(tmp_path, r"pickled \(pytorch_model-00001-of-00002.bin\).* --allow-pickle")
