"""What stands beside a checkpoint's weights: its tokenizer, and how its pixels are normalised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from uhrqa.errors import CheckpointError
from uhrqa.vlm.assumed import PROCESSORS
from uhrqa.vlm.families import FAMILIES, Normalisation
from uhrqa.vlm.headers import TOKENIZERS
from uhrqa.vlm.pointers import refuse_pointer
from uhrqa.vlm.source import Source


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer.

    Raises:
        CheckpointError: its files are missing or damaged.
    """
    if not any((path / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(
            f"{path}: no tokenizer (none of {', '.join(TOKENIZERS)}); copy it from the checkpoint "
            "that this one was made from"
        )
    for name in TOKENIZERS:
        refuse_pointer(path / name)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        if (path / "tokenizer.model").is_file() and not (path / "tokenizer.json").is_file():
            raise CheckpointError(
                f"{path}: its tokenizer is a sentencepiece model, which could not be read; "
                "install what reads one: pip install 'uhrqa[sentencepiece]'"
            ) from error
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{path}: no usable tokenizer: {reason}") from error
    if not tokenizer.chat_template and (path / "chat_template.json").is_file():
        # Checkpoints saved before transformers 5 keep the processor's template here.
        tokenizer.chat_template = _read_json(path / "chat_template.json").get("chat_template")
    return tokenizer


def normalisation_of(path: Path, family: str, source: Source | None) -> Normalisation:
    """Channel means and deviations in [0, 1] of a checkpoint, or of its vision tower.

    Raises:
        CheckpointError: the processor's file is damaged.
    """
    usual = FAMILIES[family].normalisation
    if source is not None:
        usual = source.layout.normalisation
        usual = read_normalisation(source.tower, usual) if source.tower else usual
    return read_normalisation(path, usual)


def read_normalisation(path: Path, usual: Normalisation) -> Normalisation:
    """Channel means and deviations in [0, 1], `usual` when the directory gives none.

    Raises:
        CheckpointError: the processor's file is damaged.
    """
    for name in PROCESSORS:
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
    refuse_pointer(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: not a JSON object")
    return content
