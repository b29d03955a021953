"""Settings and where they come from: flag > `UHRQA_*` > `./uhrqa.yaml` > the user's file > default.

Knows nothing of what the settings are for: names of models and strategies are checked where they
are used.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uhrqa.budget import parse_budget
from uhrqa.errors import ConfigError
from uhrqa.registry import suggest

ENV_PREFIX = "UHRQA_"
PROJECT_FILE = "uhrqa.yaml"
DTYPES = ("float32", "float16", "bfloat16")
ATTENTION = ("auto", "sdpa", "flash_attention_2")
DEVICE_MAPS = ("auto",)
QUANTISED = ("8bit", "4bit")
FORMATS = ("text", "json")
OFF, AUTO = "off", "auto"  # of caches
SPLITS = ("test", "validation")  # of drawn scenes that may be asked about
MOST_SEED = 2**63 - 1  # as far as every generator takes seeds
MAX_NEW_TOKENS = 32  # of an answer, unless more are asked for


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a text")
    return text


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    span = f"{least} or more" if most is None else f"{least} to {most}"

    def read(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if number < least or (most is not None and number > most):
            raise ValueError(f"expected a whole number, {span}")
        return number

    return read


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text, re.ASCII):
        raise ValueError("expected auto, cpu, cuda or cuda:N")
    return text


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"not one of them{suggest(text, choices)}")
        return text

    return read


def _setting(default: object, read: Callable[[str], Any], doc: str) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"read": read, "doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, resolved. None: the model's card, or the machine, decides.

    Attributes:
        origins: name of a setting to the flag, variable or file that gave it; defaults are absent.
    """

    model: str = _setting("tiny", _text, "model card, directory or hub id")
    strategy: str | None = _setting(None, _text, "how tokens are chosen; none: the card's")
    budget: int | str | None = _setting(
        None, parse_budget, "visual tokens, auto or auto:MOST; none: the card's"
    )
    device: str | None = _setting(None, _device, "auto, cpu, cuda, cuda:N; none: auto")
    dtype: str | None = _setting(None, _one_of(DTYPES), "none: what suits the device")
    attention: str = _setting("auto", _one_of(ATTENTION), "auto, sdpa or flash_attention_2")
    device_map: str | None = _setting(
        None, _one_of(DEVICE_MAPS), "auto: parts over several devices; none: one device"
    )
    quantize: str | None = _setting(
        None, _one_of(QUANTISED), "8bit or 4bit weights of the decoder; none: as dtype says"
    )
    seed: int = _setting(0, _whole(0, MOST_SEED), "seed of everything random")
    max_new_tokens: int = _setting(MAX_NEW_TOKENS, _whole(1), "longest answer, in tokens")
    max_tiles: int | None = _setting(None, _whole(1), "most tiles to encode; none: no cap")
    format: str = _setting("text", _one_of(FORMATS), "text or json")
    cache: str | None = _setting(None, _text, "where the example scene is kept; none: user's cache")
    feature_cache: str | None = _setting(
        None, _text, "directory of encoded tiles, auto: in the user's cache, off; none: off"
    )
    feature_cache_gb: int = _setting(20, _whole(1), "most of it on disk, in GB")
    pyramid_cache: str | None = _setting(
        None,
        _text,
        "directory of made levels, auto: in the user's cache, off; none: auto",
    )
    pyramid_cache_gb: int = _setting(10, _whole(1), "most of it on disk, in GB")
    origins: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[str, object, str]]:
        """Name, value and origin of each setting."""
        for name in READERS:
            yield name, getattr(self, name), self.origins.get(name, "default")


_FIELDS = {item.name: item for item in dataclasses.fields(Settings) if "read" in item.metadata}
READERS: dict[str, Callable[[str], Any]] = {k: v.metadata["read"] for k, v in _FIELDS.items()}
"""Name of a setting to what reads its value from text."""
DOCS: dict[str, str] = {k: v.metadata["doc"] for k, v in _FIELDS.items()}
"""Name of a setting to one line about it."""


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
        ConfigError: an unknown key or a bad value; the message names the flag, file or variable.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    layers = [
        _read_file(user_file(environ)),
        _read_file((directory or Path()) / PROJECT_FILE),
        _read_environ(environ),
        {name: (value, "--" + name.replace("_", "-")) for name, value in given.items()},
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for name, (value, origin) in layer.items():
            values[name], origins[name] = _read_value(name, value, origin), origin
    return Settings(**values, origins=origins)


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's own settings: `$XDG_CONFIG_HOME/uhrqa/config.yaml`."""
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "uhrqa" / "config.yaml"


_Layer = dict[str, tuple[object, str]]  # name of a setting -> its value, where it was given


def _read_environ(environ: Mapping[str, str]) -> _Layer:
    known = {ENV_PREFIX + name.upper(): name for name in READERS}
    given = {k: v for k, v in environ.items() if k.startswith(ENV_PREFIX) and v}
    for variable in given:
        if variable not in known:
            raise ConfigError(f"unknown variable {variable}{suggest(variable, known)}")
    return {known[variable]: (value, variable) for variable, value in given.items()}


def _read_file(path: Path) -> _Layer:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    import yaml

    try:
        table = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML; write `key: value` lines") from error
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: write `key: value` lines; this is a {type(table).__name__}")
    for key in table:
        if key not in READERS:
            raise ConfigError(f"{path}: unknown key '{key}'{suggest(str(key), READERS)}")
    return {key: (value, str(path)) for key, value in table.items() if value is not None}


def _read_value(name: str, value: object, where: str) -> object:
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            kind = type(value).__name__
            raise ValueError(f"expected a text or a whole number, not a {kind}")  # noqa: TRY004
        return READERS[name](str(value))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: bad value {value!r} for '{name}': {error}") from error
