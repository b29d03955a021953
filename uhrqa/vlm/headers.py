"""What a checkpoint's files hold, from their headers alone. Imports neither torch nor numpy.

A safetensors file begins with 8 bytes, the length of a JSON object that gives each tensor's dtype,
shape and place; `model.safetensors.index.json` says which of several files, the shards, holds which
tensor. No weight is read, so that a checkpoint of any size is looked through in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from uhrqa.errors import CheckpointError
from uhrqa.vlm.pointers import refuse_pointer

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PICKLES = ("pytorch_model*.bin", "*.bin", "*.pt", "*.pth")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
MOST_HEADER = 100_000_000  # bytes, as in safetensors itself
DTYPES = ("F64", "F32", "F16", "BF16")
"""Dtypes of weights that a model can be built from."""
COUNTING = ("I64", "I32", "BOOL")
"""Dtypes of buffers that may stand beside them."""
AGAIN = "download the checkpoint again, or copy what is missing"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file.

    Attributes:
        shape: its sides.
        dtype: as safetensors writes it, `BF16` for example.
        file: name of the file that holds it.
        bytes: it takes there.
    """

    shape: tuple[int, ...]
    dtype: str
    file: str
    bytes: int

    @property
    def count(self) -> int:
        """Numbers it holds."""
        total = 1
        for side in self.shape:
            total *= side
        return total


def read_headers(directory: Path) -> dict[str, Entry]:
    """Every tensor of a checkpoint, by name.

    Args:
        directory: of the checkpoint; where it holds `model.safetensors` that is read, as in
            transformers, and else the shards that the index names.

    Raises:
        CheckpointError: no safetensors, a file that is missing, damaged or cut short, or a tensor
            that is not where the index says.
    """
    single, index = directory / SINGLE, directory / INDEX
    if single.is_file():
        return read_header(single)
    if index.is_file():
        return _read_shards(index)
    if found := sorted(directory.glob("model*.safetensors")):
        raise CheckpointError(
            f"{directory}: {len(found)} shards ({found[0].name} ...) but no {INDEX}; {AGAIN}"
        )
    if pickles := find_pickles(directory):
        raise CheckpointError(
            f"{directory}: weights are pickled ({pickles[0].name}), which can run code when read; "
            f"convert them to safetensors: {convert_command(str(directory), directory)}; "
            "or allow them with --allow-pickle"
        )
    raise CheckpointError(f"{directory}: no model*.safetensors; is the download complete?")


def find_pickles(directory: Path) -> list[Path]:
    """Files of a directory that hold pickled weights, those transformers would take first."""
    found = (sorted(directory.glob(pattern)) for pattern in PICKLES)
    return list(dict.fromkeys(file for files in found for file in files))


def convert_command(name: str, directory: Path) -> str:
    """The command that writes a checkpoint's pickles as safetensors, to be pasted.

    Args:
        name: what the user calls the checkpoint.
        directory: where it lies; what is written gets its name, or that of its repository.
    """
    own = directory.resolve()
    stem = own.name
    if own.parent.name == "snapshots":  # of the hub cache: models--org--name/snapshots/commit
        stem = own.parents[1].name.rpartition("--")[2]
    return f"uhrqa models convert {quote(name)} {quote(f'{stem}-stock')} --allow-pickle"


def has_safetensors(directory: Path) -> bool:
    """Whether there is a file of weights that is no pickle, or an index of such files."""
    return (directory / INDEX).is_file() or any(directory.glob("model*.safetensors"))


def read_index(file: Path) -> dict[str, str]:
    """Name of a tensor to the name of its shard.

    Raises:
        CheckpointError: not an index, or it names files outside its own directory.
    """
    content = _parse(file, file.read_bytes())
    table = content.get("weight_map")
    if not isinstance(table, dict) or not table or not isinstance(content.get("metadata"), dict):
        raise CheckpointError(f"{file}: no index: needs weight_map and metadata; {AGAIN}")
    for name, shard in table.items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise CheckpointError(f"{file}: {name}: {shard!r} is no file beside the index")
    return table


def check_shards(index: Path) -> tuple[dict[str, str], list[str]]:
    """The table of an index, and the names of its shards, all of which are there.

    Raises:
        CheckpointError: no index, or it names files that are not there.
    """
    table = read_index(index)
    shards = sorted(set(table.values()))
    if missing := [name for name in shards if not (index.parent / name).is_file()]:
        raise CheckpointError(
            f"{index.parent}: {len(missing)} of {len(shards)} shards that the index names are "
            f"missing, first {missing[0]}; {AGAIN}"
        )
    return table, shards


def _read_shards(index: Path) -> dict[str, Entry]:
    table, shards = check_shards(index)
    entries: dict[str, Entry] = {}
    for shard in shards:
        entries.update(read_header(index.parent / shard))
    strays = [name for name, shard in table.items() if not _is_in(entries, name, shard)]
    if strays:
        raise CheckpointError(
            f"{index}: names {len(strays)} weights that are not in their shards, first "
            f"{strays[0]} in {table[strays[0]]}; index and shards are of different downloads"
        )
    return entries


def _is_in(entries: Mapping[str, Entry], name: str, shard: str) -> bool:
    return name in entries and entries[name].file == shard


def read_header(file: Path) -> dict[str, Entry]:
    """Every tensor of one safetensors file, by name.

    Raises:
        CheckpointError: no safetensors file, or shorter or longer than its header says.
    """
    refuse_pointer(file)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            raw = stream.read(length) if length <= min(size, MOST_HEADER) else b""
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
    if size < 8 or length > MOST_HEADER:
        raise CheckpointError(f"{file}: no safetensors file ({size:,} bytes); {AGAIN}")
    if size < 8 + length:
        raise CheckpointError(_lengths(file, size, 8 + length, "its header alone"))
    entries = _entries(file, _parse(file, raw))
    needed = 8 + length + sum(entry.bytes for entry in entries.values())
    if size != needed:
        raise CheckpointError(_lengths(file, size, needed, "its header"))
    return entries


def _lengths(file: Path, size: int, needed: int, who: str) -> str:
    what = "cut short" if size < needed else "too long"
    return f"{file}: {what}: {size:,} bytes, {who} asks for {needed:,}; download it again"


def _entries(file: Path, header: Mapping[str, Any]) -> dict[str, Entry]:
    entries = {}
    for name, value in header.items():
        if name == "__metadata__" and isinstance(value, Mapping):
            continue
        try:
            first, last = value["data_offsets"]
            shape = tuple(int(side) for side in list(value["shape"]))
            if min((*shape, first, last - first)) < 0:
                raise ValueError(f"{shape} at {first} to {last}")
            entries[name] = Entry(shape, str(value["dtype"]), file.name, int(last) - int(first))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{file}: header: {name}: no usable shape, dtype and place; {AGAIN}"
            ) from error
    return entries


def _parse(file: Path, raw: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: it is none.
    """
    what = "" if file.suffix == ".json" else "its header is "
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: {what}not JSON; {AGAIN}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: {what}not a JSON object; {AGAIN}")
    return content


def check_dtypes(directory: Path, entries: Mapping[str, Entry], config: Mapping[str, Any]) -> None:
    """Refuse weights in numbers a model cannot be built from.

    Args:
        directory: of the checkpoint.
        entries: its tensors.
        config: its configuration, which says whether they have been quantised.

    Raises:
        CheckpointError: how many, which first, and what it is.
    """
    if isinstance(quantised := config.get("quantization_config"), Mapping):
        raise CheckpointError(
            f"{directory}: its weights are already quantised ({quantised.get('quant_method')}), "
            "which is not supported; take the original checkpoint and --quantize 8bit or 4bit"
        )
    known = (*DTYPES, *COUNTING)
    if odd := [name for name, entry in entries.items() if entry.dtype not in known]:
        raise CheckpointError(
            f"{directory}: dtype {entries[odd[0]].dtype} of {len(odd)} weights, first {odd[0]}, is "
            "not supported; use a checkpoint in bfloat16, float16 or float32"
        )


def total_bytes(entries: Iterable[Entry]) -> int:
    """Of all of them together."""
    return sum(entry.bytes for entry in entries)
