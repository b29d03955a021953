"""What stands beside a checkpoint's weights: its tokenizer, and how its pixels are normalised."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from uhrqa.errors import CheckpointError
from uhrqa.vlm.assumed import PROCESSORS
from uhrqa.vlm.config_checks import reason_of
from uhrqa.vlm.families import FAMILIES, Normalisation
from uhrqa.vlm.headers import TOKENIZERS
from uhrqa.vlm.pointers import refuse_pointer
from uhrqa.vlm.source import Source

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
)  # fmt: skip
"""Files that transformers makes a tokenizer of, each a JSON object."""
COPY = "copy it from the checkpoint that this one was made from"


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer.

    Raises:
        CheckpointError: its files are missing or damaged.
    """
    if not any((path / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(f"{path}: no tokenizer (none of {', '.join(TOKENIZERS)}); {COPY}")
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
        for name in TOKENIZER_FILES:
            if (path / name).is_file():
                _read_json(path / name)  # which of them it is, and why
        raise CheckpointError(f"{path}: no usable tokenizer: {reason_of(error)}; {COPY}") from error
    if not tokenizer("how many?", add_special_tokens=False).input_ids:
        raise CheckpointError(f"{path}: its tokenizer has no words for a question; {COPY}")
    _check_ends(path / "generation_config.json")
    if not tokenizer.chat_template and (path / "chat_template.json").is_file():
        # Checkpoints saved before transformers 5 keep the processor's template here.
        tokenizer.chat_template = _read_json(path / "chat_template.json").get("chat_template")
    return tokenizer


def _check_ends(file: Path) -> None:
    """Refuse a file of generation that is damaged: without its end tokens an answer never ends.

    Raises:
        CheckpointError: it is no JSON object, or its end tokens are no numbers.
    """
    if not file.is_file():
        return
    ends = _read_json(file).get("eos_token_id")
    numbers = ends if isinstance(ends, list) else [ends]
    if ends is not None and not all(type(end) is int for end in numbers):
        raise CheckpointError(f"{file}: eos_token_id is {ends!r}; give a token's number; {COPY}")


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
        config = config if isinstance(config, dict) else {"image_mean": None}
        mean, std = config.get("image_mean", usual[0]), config.get("image_std", usual[1])
        try:
            mean, std = tuple(map(float, mean)), tuple(map(float, std))
        except (TypeError, ValueError):
            mean = std = ()
        if len(mean) != 3 or len(std) != 3 or not all(map(isfinite, mean + std)) or min(std) <= 0:
            raise CheckpointError(
                f"{path / name}: image_mean and image_std need three numbers each"
            )
        return mean, std
    return usual


def _read_json(file: Path) -> dict[str, Any]:
    refuse_pointer(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not readable as JSON ({error}); {COPY}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: not a JSON object; {COPY}")
    return content
