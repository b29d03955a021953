"""Tensors of a checkpoint's safetensors files: names and shapes from headers, values by prefix.

Imports no torch until values are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from uhrqa.errors import CheckpointError
from uhrqa.vlm.headers import INDEX, SINGLE, check_shards, read_header

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
PATTERN = "model*.safetensors"


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a checkpoint's tensors by name; no value is read.

    Args:
        path: directory of one file or of several.

    Raises:
        CheckpointError: a file is damaged, or one that the index names is missing.
    """
    if (path / INDEX).is_file() and not (path / SINGLE).is_file():
        check_shards(path / INDEX)  # what is missing must not read as another kind of checkpoint
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(path.glob(PATTERN)):
        shapes.update({name: entry.shape for name, entry in read_header(file).items()})
    return shapes


def read_under(path: Path, prefixes: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a checkpoint whose names begin with one of some prefixes.

    Args:
        path: directory of one file or of several.
        prefixes: where a tensor lies under several of them, the first one counts.

    Returns:
        Tensors on the CPU by their names without the prefix.

    Raises:
        CheckpointError: a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, Tensor] = {}
    for prefix in reversed(list(prefixes)):
        for file in sorted(path.glob(PATTERN)):
            names = [name for name in read_header(file) if name.startswith(prefix)]
            if not names:
                continue
            try:
                with safe_open(str(file), framework="pt") as tensors:
                    for name in names:
                        found[name.removeprefix(prefix)] = tensors.get_tensor(name)
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{file}: not readable as safetensors ({error})") from error
    return found
