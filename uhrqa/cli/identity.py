"""What decides the answers of a run: two runs with the same identity may share one output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.batch import fingerprint
from uhrqa.batch.entries import Place
from uhrqa.batch.stamp import stamp_image
from uhrqa.cli.choice import Choice
from uhrqa.cli.files import is_file
from uhrqa.cli.placing import Placing
from uhrqa.errors import CheckpointError, RasterError
from uhrqa.reading import Reading

if TYPE_CHECKING:
    from uhrqa.cli.options import Given
    from uhrqa.vlm.card import Card

FIRST_BYTES = 2**16
MOST_HASHED = 64 * 2**20  # bytes; of larger files, size and time of change must do
READ = (
    "model*.safetensors", "pytorch_model*.bin", "multiscale.safetensors", "*.json", "*.jinja",
    "*.model", "merges.txt", "vocab.txt",
)  # fmt: skip
"""Files of a checkpoint's directory that are read: weights, configuration, tokenizer."""
VERSIONS = (
    "uhrqa", "torch", "transformers", "numpy", "tifffile", "imagecodecs", "pillow", "zarr",
    "numcodecs", "rasterio", "pyvips", "pyvips-binary",
)  # fmt: skip
"""Packages that decide the pixels and features that are kept: models, decoders."""
ANSWERING = (
    "tokenizers", "sentencepiece", "jinja2", "pyproj", "scikit-learn", "scikit-image",
    "bitsandbytes", "flash-attn",
)  # fmt: skip
"""Packages that decide answers besides: words, prompts, places, regions, arithmetic."""
SILENT = (
    "name", "weights", "vision_tower", "strategy", "budget", "options", "notice", "licence",
    "paper", "notes", "clip", "history", "views", "overruled",
)  # fmt: skip
"""Fields of a card that decide nothing by themselves."""


def identity(given: Given, choice: Choice, *, evidence: bool) -> dict[str, object]:
    """Everything that decides what a line of the output says, JSON-ready.

    Args:
        given: seed, length of the answer, the precision that device and dtype come to, the Region
            Focus Module, the region, and how images are read.
        choice: model, strategy and budget.
        evidence: whether a line holds the boxes.

    Raises:
        CheckpointError: a hub id that is not in the local cache, or a file that cannot be read.
        ConfigError: a device that this machine does not have.
    """
    from uhrqa.vlm.device import choose_device, precision_text

    settings = given.settings
    return {
        "model": _model(choice.card),
        "rfm": _stamp(Path(given.rfm)) if given.rfm is not None else None,
        "strategy": choice.strategy,
        "options": strategy_identity(choice.made),
        "tokens": choice.budget.tokens,
        "tiles": choice.budget.tiles,
        **({"auto": True} if choice.budget.auto else {}),
        "seed": settings.seed,
        "max_new_tokens": settings.max_new_tokens,
        "dtype": precision_text(settings.dtype, settings.quantize, choose_device(settings.device)),
        "attention": settings.attention,
        "evidence": evidence,
        **({} if given.placing == Placing() else {"placing": _placing(given.placing)}),
        **({"choices": given.choices} if given.choices else {}),
        **({} if given.reading == Reading() else {"reading": asdict(given.reading)}),
        "versions": run_versions(),
    }


def strategy_identity(strategy: Any) -> dict[str, object]:  # noqa: ANN401 - a dataclass of any kind
    """A strategy's options, JSON-ready, and what the files that they name hold.

    Raises:
        CheckpointError: such a file is there and cannot be read.
    """
    from uhrqa.strategies import input_files

    named = input_files(strategy).items()
    files = {name: _stamp(path) if is_file(path) else stamp_image(path) for name, path in named}
    return asdict(strategy) | ({"files": files} if files else {})


def features_identity(given: Given, choice: Choice) -> str:
    """Everything beside an image that decides the features of its tiles, as one text.

    Args:
        given: precision, device, region, and how images are read.
        choice: the model.

    Raises:
        CheckpointError: a hub id that is not in the local cache, or a file that cannot be read.
        ConfigError: a device that this machine does not have.
    """
    from uhrqa.vlm.device import choose_device, precision_text

    settings = given.settings
    place = choose_device(settings.device)
    about = {
        "model": checkpoint_stamp(choice.card),
        "dtype": precision_text(settings.dtype, settings.quantize, place),
        "device": place.type,
        "placing": _placing(replace(given.placing, gsd_in_prompt=False)),
        "reading": asdict(given.reading),
        "versions": versions(),
    }
    return json.dumps(about, sort_keys=True)


def versions() -> dict[str, str | None]:
    """Those of `VERSIONS`; None for what is not installed."""
    return {name: _version(name) for name in VERSIONS}


def run_versions() -> dict[str, str | None]:
    """Of every package that decides an answer; None for what is not installed."""
    return versions() | {name: _version(name) for name in ANSWERING}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def image_identity(image: Place) -> str | None:
    """Place, stamp and first bytes of an image, as one text; None where it has no stamp.

    Raises:
        RasterError: it is there and cannot be read.
    """
    stamp = stamp_image(image)
    if stamp is None:
        return None
    if isinstance(image, str):
        return json.dumps([image, stamp])
    if not image.is_file():
        return json.dumps([str(image.resolve()), stamp])
    try:
        with image.open("rb") as stream:
            first = hashlib.sha256(stream.read(FIRST_BYTES)).hexdigest()
    except OSError as error:
        raise RasterError(f"{image}: cannot be read: {error.strerror}") from error
    return json.dumps([str(image.resolve()), stamp, first])


def _placing(placing: Placing) -> dict[str, object]:
    """These options, and what a file that they name holds."""
    file = Path(placing.roi) if placing.roi is not None else None
    return asdict(placing) | ({"file": _stamp(file)} if file and file.is_file() else {})


def checkpoint_stamp(card: Card) -> str:
    """What a checkpoint and its card decide, in 16 letters; where it lies does not matter.

    Raises:
        CheckpointError: a hub id that is not in the local cache, or a file that cannot be read.
    """
    return fingerprint({key: value for key, value in _model(card).items() if key != "directory"})


def _model(card: Card) -> dict[str, object]:
    return {
        "directory": str(card.find_weights().resolve()),
        "card": card_identity(card),
        "files": {name: _stamp(file) for name, file in checkpoint_files(card).items()},
    }


def card_identity(card: Card) -> dict[str, object]:
    """What a card decides by itself, JSON-ready."""
    return {key: value for key, value in asdict(card).items() if key not in SILENT}


def checkpoint_files(card: Card) -> dict[str, Path]:
    """Every file that is read of a checkpoint, by name; of tower and CLIP the weights.

    Raises:
        CheckpointError: a hub id that is not in the local cache.
    """
    directory = card.find_weights()
    found = {file.name: file for file in _files(card, directory)}
    for part, place in (("tower", card.vision_tower), ("clip", card.clip)):
        weights = sorted(Path(place).glob(READ[0])) if place else []
        found |= {f"{part}/{file.name}": file for file in weights}
    return found


def _files(card: Card, directory: Path) -> Iterator[Path]:
    names = [card.rfm, card.placement]
    found = {directory / name for name in names if name}
    for pattern in READ:
        found.update(directory.glob(pattern))
    return (file for file in sorted(found) if file.is_file())


def _stamp(file: Path) -> str:
    """A file's content in few letters; for a large file its size and time of change."""
    try:
        state = file.stat()
        if state.st_size > MOST_HASHED:
            return f"{state.st_size} bytes at {state.st_mtime_ns}"
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
