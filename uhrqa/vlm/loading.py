"""Reading a checkpoint from disk: strictly, offline, safetensors only.

transformers fills missing weights with random numbers and says so in a log line; here that is an
error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import Card, cached_snapshot
from uhrqa.vlm.families import FAMILIES, Normalisation


def weights_of(card: Card) -> Path:
    """The directory of a card's weights.

    Raises:
        CheckpointError: a hub id that is not in the cache, or no safetensors there.
    """
    path = card.directory or cached_snapshot(card.weights.removeprefix("hub:"))
    if not any(path.glob("model*.safetensors")):
        pickles = sorted(file.name for file in [*path.glob("*.bin"), *path.glob("*.pt*")])
        if pickles:
            raise CheckpointError(
                f"{path}: weights are pickled ({pickles[0]}), which can run code when read; "
                "convert them to safetensors, for example with transformers' save_pretrained"
            )
        raise CheckpointError(f"{path}: no model*.safetensors; is the download complete?")
    return path


def load_strictly(
    kind: type[PreTrainedModel], path: Path, *, dtype: torch.dtype | str, attention: str
) -> Any:  # noqa: ANN401 - an instance of `kind`
    """A model with every weight from the file and no weight left over.

    Raises:
        CheckpointError: keys missing, unexpected or of another shape, or the file is damaged.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        loaded: Any = kind.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=attention,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are reported: refused below, by name
        )
        model, report = loaded
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(f"{path}: cannot be loaded: {reason}") from error
    if fault := _fault(report):
        raise CheckpointError(
            f"{path}: {fault}; the files do not match config.json ({kind.__name__})"
        )
    return model.eval().requires_grad_(False)


def _fault(report: Mapping[str, Any]) -> str | None:
    """What a loading report of transformers has to complain of first, in words."""
    if mismatched := sorted(report["mismatched_keys"]):
        name, there, wanted = mismatched[0]
        others = f", and {len(mismatched) - 1} more do not fit" if len(mismatched) > 1 else ""
        return f"{name} is {_shape(there)} in the file, {_shape(wanted)} by the config{others}"
    for kind in ("missing", "unexpected"):
        if found := sorted(report[f"{kind}_keys"]):
            return f"{len(found)} {kind} weights, first {found[0]}"
    return str(report["error_msgs"][0]) if report.get("error_msgs") else None


def _shape(sides: Iterable[int]) -> str:
    return f"[{', '.join(map(str, sides))}]"


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer.

    Raises:
        CheckpointError: its files are missing or damaged.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{path}: no usable tokenizer: {reason}") from error
    if not tokenizer.chat_template and (path / "chat_template.json").is_file():
        # Checkpoints saved before transformers 5 keep the processor's template here.
        tokenizer.chat_template = _read_json(path / "chat_template.json").get("chat_template")
    return tokenizer


def read_normalisation(path: Path, family: str) -> Normalisation:
    """Channel means and deviations in [0, 1], the family's when the checkpoint gives none.

    Raises:
        CheckpointError: the processor's file is damaged.
    """
    usual = FAMILIES[family].normalisation
    for name in ("preprocessor_config.json", "processor_config.json"):
        if not (path / name).is_file():
            continue
        config = _read_json(path / name)
        config = config.get("image_processor", config)
        mean, std = config.get("image_mean", usual[0]), config.get("image_std", usual[1])
        try:
            mean, std = tuple(map(float, mean)), tuple(map(float, std))
        except (TypeError, ValueError):
            mean = std = ()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise CheckpointError(
                f"{path / name}: image_mean and image_std need three numbers each"
            )
        return mean, std
    return usual


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: not a JSON object")
    return content
