"""A card's YAML file: what it says, held to the types of a card's fields. Knows no checkpoint."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from uhrqa.budget import Budget
from uhrqa.errors import BudgetError, CardError, ConfigError
from uhrqa.registry import suggest

SUFFIXES = (".yaml", ".yml")
LEAST = {"min_side": 1, "rfm_layers": 0, "pool": 1, "tile_side": 1, "history": 0}


def read_yaml(file: Path) -> Any:  # noqa: ANN401 - whatever a YAML file holds
    """What a YAML file holds.

    Raises:
        CardError: it cannot be read, or is no YAML.
    """
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CardError(f"{file}: not readable as YAML ({reason})") from error


def read_card_file(file: Path, hints: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a card's file gives; directories among them are relative to the file.

    Args:
        file: YAML.
        hints: type of every field that it may give.

    Raises:
        CardError: no YAML, no weights, an unknown key, or a value of another type or out of range.
    """
    raw = read_yaml(file)
    for key in raw if isinstance(raw, dict) else ():
        if key not in hints:
            raise CardError(f"{file}: unknown key '{key}'{suggest(str(key), hints)}")
    if not isinstance(raw, dict) or "weights" not in raw:
        raise CardError(f"{file}: needs at least 'weights'")
    _check_values(file, raw, hints)
    return raw


def card_beside(directory: Path, keys: typing.Container[str]) -> Path | None:
    """The file `<directory>.yaml` beside a directory, where its weights are that directory.

    Args:
        directory: of a checkpoint, resolved.
        keys: what a card may hold.

    Raises:
        CardError: there is such a file and it is broken, or a card that names no weights.
    """
    file = directory.parent / f"{directory.name}.yaml"
    raw = read_yaml(file) if file.is_file() else None
    if not isinstance(raw, dict) or not raw:
        return None
    if "weights" in raw:
        return file if beside(file, raw["weights"]).resolve() == directory else None
    if all(key in keys for key in raw):
        raise CardError(
            f"{file}: a card beside {directory.name} that names no weights; add "
            f"'weights: {directory.name}', or call the file something else"
        )
    return None


def beside(file: Path, place: object) -> Path:
    """A path that a card's file names: relative to the file."""
    return file.parent / Path(str(place)).expanduser()


def _check_values(file: Path, raw: dict[str, Any], hints: Mapping[str, Any]) -> None:
    """Read the budget as people write it, and hold every other value to its field's type.

    Raises:
        CardError: a value of another type, or out of range.
    """
    if "budget" in raw:
        try:
            raw["budget"] = Budget.of(raw["budget"]).tokens
        except (BudgetError, ConfigError, TypeError) as error:
            raise CardError(f"{file}: budget: {error}") from error
    for key, hint in hints.items():
        kind = hint if isinstance(hint, types.UnionType) else typing.get_origin(hint) or hint
        if key in raw and (not isinstance(raw[key], kind) or _is_odd_bool(raw[key], kind)):
            name = str(getattr(kind, "__name__", kind)).lower()
            raise CardError(f"{file}: {key}: {raw[key]!r} is no {name}")
    for key, least in LEAST.items():
        if (raw.get(key) or least) < least:
            raise CardError(f"{file}: {key}: {raw[key]}: give {least} or more")
    for strategy, options in raw.get("options", {}).items():
        if not isinstance(options, Mapping):
            raise CardError(f"{file}: options: {strategy}: write `key: value` pairs")


def _is_odd_bool(value: object, kind: object) -> bool:
    """Whether a value is yes or no where a number is wanted; to Python, yes is 1."""
    return isinstance(value, bool) and kind is not bool
