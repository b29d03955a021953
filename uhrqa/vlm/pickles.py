"""Pickled weights as safetensors: tensors are taken from them, and nothing else.

torch reads them with `weights_only`, which runs no code; a pickle that holds more is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import save_file
from torch import Tensor

from uhrqa.errors import CheckpointError
from uhrqa.vlm.headers import INDEX, find_pickles

SUFFIXES = (".bin", ".pt", ".pth")


def rewrite_pickles(path: Path, place: Path) -> None:
    """Write a checkpoint's pickles as shards of safetensors, its other files beside them.

    Args:
        path: directory of the checkpoint.
        place: an empty directory.

    Raises:
        CheckpointError: a pickle is damaged, or holds more than tensors.
    """
    files = [file for file in find_pickles(path) if file.name.startswith("pytorch_model")]
    table: dict[str, str] = {}
    for number, file in enumerate(files, start=1):
        shard = f"model-{number:05}-of-{len(files):05}.safetensors"
        tensors = _read(file)
        save_file(tensors, place / shard, {"format": "pt"})
        table |= dict.fromkeys(tensors, shard)
    index = {"metadata": {}, "weight_map": table}
    (place / INDEX).write_text(json.dumps(index), encoding="utf-8")
    for file in path.iterdir():
        if file.is_file() and file.suffix not in SUFFIXES and not file.name.endswith(".index.json"):
            (place / file.name).symlink_to(file.resolve())


def _read(file: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"{file}: the pickle holds more than tensors, which may be code: not read"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{file}: cannot be read: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{file}: not a table of tensors by name")
    return {name: value.detach().clone().contiguous() for name, value in state.items()}
