"""Strategies by name, and their options as text. Imports no torch: listing them must be quick.

The modules of this package import torch inside their functions for the same reason.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.errors import ConfigError, UnknownNameError
from uhrqa.registry import Registry, suggest

if TYPE_CHECKING:
    from uhrqa.selection import Strategy

REFUSED = {
    "geollava-8k": "what is published does not say how its affinities become clusters, what stands "
    "between its convolutions, or which layer ranks the clusters, and a guess would give its "
    "weights tokens they were not trained on; its checkpoint takes every other strategy, -s "
    "visionzip is nearest (it knows no question either)",
}  # fmt: skip
"""Strategies that are not there, and why."""

STRATEGIES = Registry(
    "strategy",
    {
        "rfm-dip": "uhrqa.strategies.rfm_dip:RfmDip",
        "region-merge": "uhrqa.strategies.region_merge:RegionMerge",
        "zoom-cover": "uhrqa.strategies.zoom_cover:ZoomCover",
        "cdpruner": "uhrqa.strategies.peers:CdPruner",
        "dart": "uhrqa.strategies.peers:Dart",
        "divprune": "uhrqa.strategies.peers:DivPrune",
        "fastv": "uhrqa.strategies.in_decoder:FastV",
        "prumerge+": "uhrqa.strategies.by_tower:PruMergePlus",
        "pyramiddrop": "uhrqa.strategies.in_decoder:PyramidDrop",
        "thumbnail-quota": "uhrqa.strategies.peers:ThumbnailQuota",
        "visionzip": "uhrqa.strategies.by_tower:VisionZip",
        "attention-topk": "uhrqa.strategies.baselines:AttentionTopK",
        "downsample": "uhrqa.strategies.downsample:Downsample",
        "full": "uhrqa.strategies.baselines:Full",
        "random": "uhrqa.strategies.baselines:Random",
        "thumbnail": "uhrqa.strategies.baselines:Thumbnail",
        "uniform": "uhrqa.strategies.baselines:Uniform",
    },
    group="uhrqa.strategies",
    refused=REFUSED,
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
    """A strategy's summary, and its options as (name, default, meaning); defaults as text.

    `make_strategy` reads that text back as the same value.

    Raises:
        UnknownNameError: no such strategy.
    """
    kind = STRATEGIES.load(name)
    summary = (inspect.getdoc(kind) or "").split("\n")[0]
    return summary, [(entry.name, _default(entry), _meaning(entry)) for entry in fields(kind)]


def input_files(strategy: Any) -> dict[str, Path]:  # noqa: ANN401 - a dataclass of any kind
    """The files a strategy reads, by the option that names each: fields with `file` metadata."""
    names = [entry.name for entry in fields(strategy) if entry.metadata.get("file")]
    values = {name: getattr(strategy, name) for name in names}
    return {name: Path(value) for name, value in values.items() if value is not None}


def as_text(value: Any) -> str:  # noqa: ANN401 - of any option
    """An option's value as it is written after `-o KEY=`."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "auto" if value is None else str(value)


def _default(entry: Field[Any]) -> str:
    return "required" if entry.default is MISSING else as_text(entry.default)


def _meaning(entry: Field[Any]) -> str:
    return str(entry.metadata.get("doc", ""))


def _read_value(name: str, key: str, value: Any, hint: Any) -> Any:  # noqa: ANN401 - YAML or text
    """A value as the field's type: a number, true/false, none, a word, or numbers with commas."""
    union = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = sorted(union, key=lambda kind: (kind is str, kind is not type(None)))  # any word last
    for kind in kinds:
        try:
            reader: Callable[[Any], Any] = _READERS.get(kind, _read_numbers)
            return reader(value)
        except (ValueError, TypeError):
            continue
    names = " or ".join(_KINDS.get(kind, "whole numbers with commas") for kind in kinds)
    raise ConfigError(f"{name}: {key}={value}: expected {names}")


def _read_bool(value: Any) -> bool:  # noqa: ANN401
    words = {"true": True, "yes": True, "false": False, "no": False}
    word = str(value).strip().lower()
    return words[word] if word in words else bool(_refuse(value))


def _read_whole(value: Any) -> int:  # noqa: ANN401
    return _refuse(value) if isinstance(value, bool | float) else int(value)


def _read_share(value: Any) -> float:  # noqa: ANN401
    number = _refuse(value) if isinstance(value, bool) else float(value)
    return number if math.isfinite(number) else _refuse(value)


def _read_none(value: Any) -> None:  # noqa: ANN401
    if value is not None and str(value).lower() not in ("none", "auto"):
        _refuse(value)


def _read_numbers(value: Any) -> tuple[int, ...]:  # noqa: ANN401
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(
        _read_whole(part) for part in (parts if isinstance(parts, list | tuple) else [parts])
    )


def _refuse(value: Any) -> Any:  # noqa: ANN401
    raise ValueError(value)


_READERS: Mapping[Any, Callable[[Any], Any]] = {
    bool: _read_bool,
    int: _read_whole,
    float: _read_share,
    str: str,
    type(None): _read_none,
}
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    type(None): "none",
}
