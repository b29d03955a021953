"""Reading a checkpoint from disk: strictly, offline, and from safetensors unless told otherwise.

transformers fills missing weights with random numbers and says so in a log line; here that is an
error. Headers are read first, so that a file that is cut short or missing is named as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging

from uhrqa.errors import CheckpointError, ConfigError
from uhrqa.vlm.card import Card
from uhrqa.vlm.config_checks import check_counts, reason_of
from uhrqa.vlm.device import place_of
from uhrqa.vlm.directory import read_layout
from uhrqa.vlm.faults import describe_fault
from uhrqa.vlm.headers import Entry, check_dtypes, convert_command, read_headers
from uhrqa.vlm.layouts import RENAMES, STOCK_TOWER
from uhrqa.vlm.pickles import (
    PICKLE_INDEX,
    SINGLE_PICKLE,
    find_shards,
    is_pickled,
    read_pickle,
)
from uhrqa.vlm.size_check import check_size
from uhrqa.vlm.source import Source


@dataclass(frozen=True, slots=True)
class Loading:
    """How a checkpoint is loaded; see `load_model`."""

    device: str | None = None
    dtype: str | None = None
    attention: str = "auto"
    rfm: str | Path | None = None
    allow_pickle: bool = False
    device_map: str | None = None
    quantize: str | None = None

    def __post_init__(self) -> None:
        if self.device_map and self.device not in (None, "auto"):
            raise ConfigError(
                f"device_map {self.device_map} chooses the devices; leave out device {self.device}"
            )


def weights_of(card: Card, *, allow_pickle: bool = False) -> Path:
    """The directory of a card's weights, whose files have been looked through.

    Raises:
        CheckpointError: a hub id that is not in the cache, no weights there, or files that are
            pickled, missing, cut short or of an unknown dtype.
    """
    path = card.find_weights()
    check_counts(path, card.config)
    if not is_pickled(path, allow_pickle):
        entries = read_headers(path)
        check_dtypes(path, entries, card.config)
        check_size(card, path, entries)
    elif read_layout(path, card.vision_tower) is not None:
        raise CheckpointError(hidden_layout(card.name, path))
    else:
        _check_pickles(path, card)
    return path


def hidden_layout(name: str, path: Path) -> str:
    """Why a pickled checkpoint in an original layout does not load, and what to do."""
    return (
        f"{path}: an original LLaVA layout is told by the names of its tensors, which a pickle "
        f"hides; write it once with: {convert_command(name, path)}"
    )


def _check_pickles(path: Path, card: Card) -> None:
    """Look a checkpoint's pickles through before they are read.

    Raises:
        CheckpointError: one is missing, damaged, or holds more than tensors.
    """
    files = find_shards(path)
    if files[0].name != SINGLE_PICKLE and not (path / PICKLE_INDEX).is_file():
        raise CheckpointError(
            f"{path}: {len(files)} pickles ({files[0].name} ...) but no {PICKLE_INDEX}; write them "
            f"as safetensors: {convert_command(card.name, path)}"
        )
    entries = {
        name: Entry(tuple(value.shape), str(value.dtype), file.name, value.nbytes)
        for file in files
        for name, value in read_pickle(file, values=False).items()
    }
    check_size(card, path, entries)


def load_strictly(
    kind: type[PreTrainedModel],
    path: Path,
    *,
    dtype: torch.dtype | str,
    attention: str,
    source: Source | None = None,
    how: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - an instance of `kind`
    """A model with every weight from the file and no weight left over.

    Args:
        kind: class of the model.
        path: directory of the checkpoint.
        dtype: of the weights, or `auto` for the checkpoint's own.
        attention: backend of all parts.
        source: how a checkpoint in the original LLaVA layout maps to `kind`.
        how: see `choose_placing`; and `use_safetensors`, True unless pickles are allowed, of which
            only tensors are taken.

    Raises:
        CheckpointError: keys missing, unexpected or of another shape, weights that are no numbers,
            or the file is damaged.
    """
    how = how or {}
    if source is None:
        model, report = _read(kind, path, dtype, attention, **how)
        return _checked(model, report, path)
    config: Any = kind.config_class.from_dict(source.layout.config)  # type: ignore[union-attr]
    mapping = dict(RENAMES)
    model, report = _read(kind, path, dtype, attention, config=config, key_mapping=mapping, **how)
    aside = {name for name in report["unexpected_keys"] if source.layout.sets_aside(name)}
    report = {**report, "unexpected_keys": set(report["unexpected_keys"]) - aside}
    if source.tower is not None:
        absent = {name for name in report["missing_keys"] if name.startswith(STOCK_TOWER)}
        report["missing_keys"] = set(report["missing_keys"]) - absent
        tower = _load_tower(model, source.tower, dtype, attention)
        model.model.vision_tower = tower.to(place_of(model.get_input_embeddings()))
    return _checked(model, report, path)


def _load_tower(model: Any, path: Path, dtype: torch.dtype | str, attention: str) -> Any:  # noqa: ANN401
    """A vision tower from its own checkpoint, which may hold a text tower as well."""
    kind = type(model.model.vision_tower)
    config = model.config.vision_config
    tower, report = _read(kind, path, dtype, attention, config=config)
    return _checked(tower, {**report, "unexpected_keys": ()}, path)


def _read(
    kind: type[PreTrainedModel],
    path: Path,
    dtype: torch.dtype | str,
    attention: str,
    **how: Any,  # noqa: ANN401 - passed on
) -> tuple[Any, Mapping[str, Any]]:
    """A model, and transformers' report of what was read.

    Raises:
        CheckpointError: the file is damaged.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        loaded: Any = kind.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation=attention,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are reported: refused below, by name
            **{"use_safetensors": True, **how},
        )
        model, report = loaded
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise CheckpointError(
            f"{path}: cannot be loaded: {reason_of(error)}; compare config.json with the original"
        ) from error
    return model, report


def _checked(model: Any, report: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401
    if fault := describe_fault(report):
        raise CheckpointError(
            f"{path}: {fault}; the files do not match config.json ({type(model).__name__}); "
            f"uhrqa models inspect {quote(str(path))} lists all"
        )
    check_finite(path, model.named_parameters())
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def check_finite(path: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse weights that are no numbers: of a model, or of what a checkpoint brings besides.

    The sum of a tensor shows whether one of them is none, at the speed of memory; where half
    precision cannot hold the sum, that tensor is looked at number by number.

    Raises:
        CheckpointError: how many tensors, and which first.
    """
    weights = {
        name: weight
        for name, weight in tensors
        if weight.is_floating_point() and not weight.is_meta
    }
    sums = {name: weight.sum() for name, weight in weights.items()}  # a GPU adds while we go on
    odd = [name for name, total in sums.items() if not total.isfinite()]
    bad = [name for name in odd if not all(row.isfinite().all() for row in weights[name])]
    if bad:
        raise CheckpointError(
            f"{path}: NaN or infinite weights in {len(bad)} of {len(weights)} tensors, first "
            f"{bad[0]}; the training that made them failed, or the files are damaged"
        )
