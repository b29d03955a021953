"""Settings and where they come from: flag > `UHRQA_*` > `./uhrqa.yaml` > the user's file > default.

Knows nothing of what the settings are for: names of models and strategies are checked where they
are used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from uhrqa.budget import parse_tokens
from uhrqa.errors import BudgetError, ConfigError
from uhrqa.registry import suggest

ENV_PREFIX = "UHRQA_"
PROJECT_FILE = "uhrqa.yaml"
DTYPES = ("float32", "float16", "bfloat16")
FORMATS = ("text", "json")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a text")
    return value


def _whole(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"expected a whole number, {least} or more")
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if number < least:
            raise ValueError(f"expected a whole number, {least} or more")
        return number

    return read


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return read


def _tokens(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected a number of tokens such as 4096 or 4k")
    try:
        return parse_tokens(str(value))
    except BudgetError as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, resolved. None: the model's card, or the machine, decides.

    Attributes:
        origins: name of a setting to the flag, variable or file that gave it, or `default`.
    """

    model: str = "tiny"
    strategy: str | None = None
    budget: int | None = None
    device: str | None = None
    dtype: str | None = None
    seed: int = 0
    max_new_tokens: int = 32
    max_tiles: int | None = None
    format: str = "text"
    cache: str | None = None
    origins: Mapping[str, str] | None = None

    def rows(self) -> Iterator[tuple[str, object, str]]:
        """Name, value and origin of each setting."""
        for name in READERS:
            yield name, getattr(self, name), (self.origins or {}).get(name, "default")

    def origin(self, name: str) -> str:
        """A clause for messages: empty when the value is a default or was given as a flag."""
        origin = (self.origins or {}).get(name, "default")
        return "" if origin == "default" or origin.startswith("-") else f" (from {origin})"


READERS: dict[str, Callable[[object], Any]] = {
    "model": _text,
    "strategy": _text,
    "budget": _tokens,
    "device": _text,
    "dtype": _one_of(DTYPES),
    "seed": _whole(0),
    "max_new_tokens": _whole(1),
    "max_tiles": _whole(1),
    "format": _one_of(FORMATS),
    "cache": _text,
}
"""Name of a setting to what reads its value; the same names as the fields of `Settings`."""

DOCS = {
    "model": "model card, directory or hub id",
    "strategy": "how tokens are chosen; none: the card's",
    "budget": "visual tokens that may enter the answering pass; none: the card's",
    "device": "cpu, cuda, cuda:1 …; none: the best there is",
    "dtype": "float32, float16 or bfloat16; none: what suits the device",
    "seed": "of everything random",
    "max_new_tokens": "longest answer, in tokens",
    "max_tiles": "tiles that may be encoded; none: no cap",
    "format": "text or json",
    "cache": "directory for the example scene; none: the user's cache directory",
}


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Resolve every setting.

    Args:
        flags: what was given on the command line; None values count as not given.
        environ: environment variables (the process's own by default).
        directory: where `uhrqa.yaml` is looked for (the working directory by default).

    Raises:
        ConfigError: an unknown key or a bad value; the message names the file or variable.
        BudgetError: a flag that is no budget.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer, shown in (
        _read_file(user_file(environ)),
        _read_file((directory or Path()) / PROJECT_FILE),
        _read_environ(environ),
    ):
        values |= layer
        origins |= {name: shown.get(name, "") for name in layer}
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = parse_tokens(str(value)) if name == "budget" else value
            origins[name] = "--" + name.replace("_", "-")
    known = {field.name for field in fields(Settings)}
    return Settings(**{k: v for k, v in values.items() if k in known}, origins=origins)


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's own settings: `$XDG_CONFIG_HOME/uhrqa/config.yaml`."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "uhrqa" / "config.yaml"


def _read_environ(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    known = {ENV_PREFIX + name.upper(): name for name in READERS}
    values: dict[str, Any] = {}
    shown: dict[str, str] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX) or not environ[variable]:
            continue
        if variable not in known:
            raise ConfigError(f"unknown variable {variable}{suggest(variable, known)}")
        name = known[variable]
        values[name] = _read_value(name, environ[variable], variable)
        shown[name] = variable
    return values, shown


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    import yaml

    try:
        table = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise ConfigError(f"{path}{line}: not valid YAML; write `key: value` lines") from error
    if table is None:
        return {}, {}
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found a {type(table).__name__}")
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in READERS:
            raise ConfigError(f"{path}: unknown key '{key}'{suggest(str(key), READERS)}")
        if value is not None:
            values[key] = _read_value(key, value, str(path))
    return values, dict.fromkeys(values, str(path))


def _read_value(name: str, value: object, where: str) -> object:
    try:
        return READERS[name](value)
    except ValueError as error:
        raise ConfigError(f"{where}: bad value {value!r} for '{name}': {error}") from error
