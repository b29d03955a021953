"""Pickled weights: what they hold, and the same as safetensors. Imports torch when one is read.

torch reads them with `weights_only`, which runs no code; a pickle that holds more is refused.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from uhrqa.errors import CardError, CheckpointError
from uhrqa.vlm.card import Card, card_of_directory, load_card
from uhrqa.vlm.headers import AGAIN, INDEX, find_pickles, has_safetensors, read_index

if TYPE_CHECKING:
    from torch import Tensor

SINGLE_PICKLE = "pytorch_model.bin"
PICKLE_INDEX = "pytorch_model.bin.index.json"
SUFFIXES = (".bin", ".pt", ".pth")
MARKS = (b"PK\x03\x04", b"\x80\x02")
"""What a file of `torch.save` begins with: a zip archive, or before torch 1.6 a pickle."""
NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""Dtypes of torch to their names in a safetensors header; others keep torch's."""
BESIDE = ("rfm", "rfm_layers", "placement", "vision_tower")
"""Fields of a card for what lies beside the weights."""
FOLLOWS = ("name", "weights", "config", "family", "views", "overruled", *BESIDE)
"""Fields of a card that follow from a checkpoint's files."""


def is_pickled(path: Path, allow_pickle: bool) -> bool:
    """Whether weights are to be read from a pickle: allowed, and there is nothing better."""
    return allow_pickle and not has_safetensors(path) and bool(find_pickles(path))


def find_shards(path: Path) -> list[Path]:
    """The pickles that hold a checkpoint's weights.

    Args:
        path: its directory; where it holds `pytorch_model.bin` that is read, as in transformers,
            and else the files that the index names, or without an index all there are.

    Raises:
        CheckpointError: there are none, or one that the index names is missing.
    """
    single, index = path / SINGLE_PICKLE, path / PICKLE_INDEX
    if single.is_file():
        return [single]
    if not index.is_file():
        if found := sorted(path.glob("pytorch_model*.bin")):
            return found
        raise CheckpointError(f"{path}: no model*.safetensors and no pytorch_model*.bin; {AGAIN}")
    shards = [path / name for name in sorted(set(read_index(index).values()))]
    if missing := [file.name for file in shards if not file.is_file()]:
        raise CheckpointError(
            f"{path}: {len(missing)} of {len(shards)} pickles that {PICKLE_INDEX} names are "
            f"missing, first {missing[0]}; {AGAIN}"
        )
    return shards


def read_pickle(file: Path, *, values: bool = True) -> dict[str, Tensor]:
    """The tensors of one pickle, by name.

    Args:
        file: of `torch.save`.
        values: read them; else tensors are on the meta device, and memory holds none of them.

    Raises:
        CheckpointError: it is damaged, no file of torch, or holds more than tensors.
    """
    import torch

    is_zip = _is_archive(file)
    place = "cpu" if values else "meta"
    try:
        state: Any = torch.load(file, map_location=place, weights_only=True, mmap=is_zip)
    except UnpicklingError as error:
        if "truncated" in str(error):
            raise _damaged(file, "cut short or damaged") from error
        raise CheckpointError(
            f"{file}: the pickle holds more than tensors, which may be code: not read"
        ) from error
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise _damaged(file, f"cut short or damaged ({reason})") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise CheckpointError(
            f"{file}: not a table of tensors by name, as a checkpoint's weights are; {AGAIN}"
        )
    return state


def _is_archive(file: Path) -> bool:
    """Whether a pickle is a zip archive, which torch can read piece by piece.

    Raises:
        CheckpointError: it cannot be read, is neither that nor an old pickle, or is cut short.
    """
    try:
        with file.open("rb") as stream:
            begins = stream.read(16)
        whole = zipfile.is_zipfile(file)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
    if not begins.startswith(MARKS):
        if begins.startswith(b"version https://"):
            raise _damaged(file, "a Git LFS pointer, not the weights", "fetch them: git lfs pull")
        raise _damaged(file, f"no file of torch.save: it begins with {begins[:8]!r}")
    if begins.startswith(b"PK") and not whole:
        raise _damaged(file, "cut short: the archive has no end")
    return whole


def _damaged(file: Path, what: str, mend: str = AGAIN) -> CheckpointError:
    return CheckpointError(f"{file}: {what} ({file.stat().st_size:,} bytes); {mend}")


@contextmanager
def as_safetensors(path: Path, near: Path | None = None, *, values: bool = True) -> Iterator[Path]:
    """A directory like another one, with safetensors for its pickles, until the block ends.

    Messages of errors within the block name the directory that it stands for.

    Args:
        path: directory of a checkpoint; given back as it is where its weights are no pickles.
        near: where to write; the system's place for temporary files when None.
        values: write weights; else files that have a header and are empty behind it, which take
            no room on the disk, for what reads no weight.

    Raises:
        CheckpointError: a pickle is damaged, or holds more than tensors.
    """
    if not is_pickled(path, allow_pickle=True):
        yield path
        return
    place = Path(tempfile.mkdtemp(prefix=".uhrqa-", dir=near))
    try:
        _rewrite(path, place, values)
        yield place
    except (CheckpointError, CardError) as error:
        raise type(error)(str(error).replace(str(place), str(path))) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _rewrite(path: Path, place: Path, values: bool) -> None:
    """Write a checkpoint's pickles as shards of safetensors, its other files beside them."""
    files = find_shards(path)
    table: dict[str, str] = {}
    for number, file in enumerate(files, start=1):
        shard = f"model-{number:05}-of-{len(files):05}.safetensors"
        tensors = read_pickle(file, values=values)
        (_write_values if values else _write_header)(place / shard, tensors)
        table |= dict.fromkeys(tensors, shard)
    if not table:
        raise CheckpointError(f"{files[0]}: holds no tensor; {AGAIN}")
    index = {"metadata": {}, "weight_map": table}
    (place / INDEX).write_text(json.dumps(index), encoding="utf-8")
    for file in path.iterdir():
        if file.is_file() and file.suffix not in SUFFIXES and not file.name.endswith(".index.json"):
            (place / file.name).symlink_to(file.resolve())


def _write_values(file: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    apart = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(apart, file, {"format": "pt"})


def _write_header(file: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file of the right length, a hole where the weights would be."""
    header: dict[str, Any] = {}
    end = 0
    for name, value in tensors.items():
        begin, end = end, end + value.numel() * value.element_size()
        kind = str(value.dtype).removeprefix("torch.")
        header[name] = {
            "dtype": NAMES.get(kind, kind), "shape": list(value.shape), "data_offsets": [begin, end]
        }  # fmt: skip
    raw = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        stream.truncate(8 + len(raw) + end)


def card_of_pickles(name: str, path: Path, place: Path, tower: str | None = None) -> Card:
    """The card of a checkpoint whose tensors lie elsewhere, with all its own card says.

    Args:
        name: of the checkpoint, as the user gave it.
        path: its directory, with pickles.
        place: that of `as_safetensors`.
        tower: directory of the vision tower, instead of the card's.

    Raises:
        CardError: the checkpoint's card is not valid.
        CheckpointError: neither stock nor a known layout.
    """
    try:
        given = load_card(name, vision_tower=tower)
        tower = given.vision_tower
        bare = card_of_directory(path, name, tower)
    except CheckpointError:  # what a pickle hides cannot be told from the configuration alone
        return replace(card_of_directory(place, name, tower), vision_tower=tower)
    fresh = card_of_directory(place, name, tower)
    said = {
        **card_differences(given, bare),
        **{key: getattr(given, key) or getattr(fresh, key) for key in BESIDE},
    }
    return replace(fresh, **said)


def card_differences(card: Card, other: Card) -> dict[str, Any]:
    """What a card says that another one does not, beyond what follows from a checkpoint's files."""
    return {
        entry.name: getattr(card, entry.name)
        for entry in fields(Card)
        if entry.name not in FOLLOWS and getattr(card, entry.name) != getattr(other, entry.name)
    }
