"""Strategies by name, and their options as text. Imports no torch: listing them must be quick.

The modules of this package import torch inside their functions for the same reason.
"""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from uhrqa.errors import ConfigError, UnknownNameError
from uhrqa.registry import Registry, suggest

if TYPE_CHECKING:
    from uhrqa.selection import Strategy

STRATEGIES = Registry(
    "strategy",
    {
        "rfm-dip": "uhrqa.strategies.rfm_dip:RfmDip",
        "region-merge": "uhrqa.strategies.region_merge:RegionMerge",
        "attention-topk": "uhrqa.strategies.baselines:AttentionTopK",
        "downsample": "uhrqa.strategies.baselines:Downsample",
        "full": "uhrqa.strategies.baselines:Full",
        "random": "uhrqa.strategies.baselines:Random",
        "thumbnail": "uhrqa.strategies.baselines:Thumbnail",
        "uniform": "uhrqa.strategies.baselines:Uniform",
    },
    group="uhrqa.strategies",
)


def make_strategy(name: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """A strategy with its options set.

    Args:
        name: as `uhrqa strategies` lists it.
        options: field names to values; text is read as the field's type.

    Raises:
        UnknownNameError: no such strategy or option.
        ConfigError: a value of the wrong type or out of range.
    """
    kind = STRATEGIES.load(name)
    known = {entry.name: entry for entry in fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in (options or {}).items():
        if key not in known:
            raise UnknownNameError(f"{name} has no option '{key}'{suggest(key, known)}")
        values[key] = _read_value(name, key, value, hints[key])
    try:
        strategy: Strategy = kind(**values)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    return strategy


def describe(name: str) -> tuple[str, list[tuple[str, str, str]]]:
    """A strategy's summary, and its options as (name, default, meaning).

    Raises:
        UnknownNameError: no such strategy.
    """
    kind = STRATEGIES.load(name)
    summary = (inspect.getdoc(kind) or "").split("\n")[0]
    return summary, [(entry.name, _default(entry), _meaning(entry)) for entry in fields(kind)]


def _default(entry: Field[Any]) -> str:
    if entry.default is MISSING:
        return "required"
    if isinstance(entry.default, tuple):
        return ",".join(map(str, entry.default))
    return "automatic" if entry.default is None else str(entry.default)


def _meaning(entry: Field[Any]) -> str:
    return str(entry.metadata.get("doc", ""))


def _read_value(name: str, key: str, value: Any, hint: Any) -> Any:  # noqa: ANN401 - YAML or text
    """A value as the field's type: numbers, true/false, none, words, or numbers with commas."""
    union = isinstance(hint, types.UnionType)
    kinds = list(typing.get_args(hint)) if union else [hint]
    wants_tuple = any(typing.get_origin(kind) is tuple for kind in kinds)
    try:
        parsed = ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError):
        word = str(value).strip().lower()
        words = {"true": True, "false": False, "none": None, "yes": True, "no": False}
        parsed = words.get(word, value) if str not in kinds else value
    if wants_tuple and parsed is not None:
        parsed = tuple(parsed) if isinstance(parsed, list | tuple) else (parsed,)
        kinds = [tuple if typing.get_origin(kind) is tuple else kind for kind in kinds]
    if float in kinds and isinstance(parsed, int) and not isinstance(parsed, bool):
        parsed = float(parsed)
    if not any(type(parsed) is kind for kind in kinds):
        names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
        raise ConfigError(f"{name}: {key}={value}: expected {names.replace('NoneType', 'none')}")
    return parsed
