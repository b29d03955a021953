"""Options that several commands share, and the settings they resolve to.

    @app.command(epilog=EPILOG)
    @opt.share("model", *opt.PRINTING)
    def info(image: Image, given: opt.Given) -> None: ...

Typer sees the command's own parameters and behind them the shared ones, each declared once here;
the command gets them resolved, as `given`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import typer

from uhrqa.budget import parse_tokens
from uhrqa.choices import parse_choices
from uhrqa.cli import flags, limits, placing, reading
from uhrqa.cli.console import prepare_messages
from uhrqa.cli.flags import (
    ANSWERING,
    CACHES,
    IMAGE_HELP,
    LOADING,
    MESSAGES,
    PRINTING,
    Format,
    Json,
    Quiet,
    Strategies,
    Verbose,
)
from uhrqa.config import Settings, load_settings
from uhrqa.reading import Reading

__all__ = [
    "ANSWERING",
    "CACHES",
    "IMAGE_HELP",
    "LIMITS",
    "LOADING",
    "MESSAGES",
    "PLACING",
    "PRINTING",
    "READING",
    "Format",
    "Given",
    "Json",
    "Quiet",
    "Strategies",
    "Verbose",
    "examples",
    "read_budgets",
    "read_pairs",
    "resolve",
    "share",
    "split_words",
]

PLACING = placing.PLACING
LIMITS = limits.LIMITS
READING = reading.READING
SHARED = {**flags.SHARED, **limits.SHARED, **placing.SHARED, **reading.SHARED}


@dataclass(frozen=True, slots=True)
class Given:
    """What a command's shared options come to; those it does not have are at their defaults.

    Attributes:
        settings: resolved, flags on top.
        options: the strategy's own, as given.
        rfm: file of a Region Focus Module, instead of the card's.
        clip: directory of a whole CLIP or SigLIP, instead of the card's.
        allow_pickle: of weights; a flag alone, so that no file can say so for the user.
        placing: which part of an image, and what is told of its place.
        reading: how images are read.
        limits: on memory and seconds.
        choices: the answers there are; none: they are written freely.
    """

    settings: Settings
    options: Mapping[str, str] = field(default_factory=dict)
    rfm: str | None = None
    clip: str | None = None
    quiet: bool = False
    verbose: int = 0
    allow_pickle: bool = False
    placing: placing.Placing = field(default_factory=placing.Placing)
    reading: Reading = field(default_factory=Reading)
    limits: limits.Limits = field(default_factory=limits.Limits)
    choices: tuple[str, ...] = ()


def share(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command shared options, after its own; what they come to is its `given`.

    Args:
        names: in `SHARED`; an option that the command declares itself is left to it.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = dict(inspect.signature(command, eval_str=True).parameters)
        del own["given"]
        shared = [name for name in names if name not in own]

        def run(**words: Any) -> None:  # noqa: ANN401 - whatever the options hold
            given = _read_given({name: words.pop(name) for name in shared})
            command(**words, given=given)

        keyword = inspect.Parameter.KEYWORD_ONLY
        added = [
            inspect.Parameter(name, keyword, annotation=SHARED[name][0], default=SHARED[name][1])
            for name in shared
        ]
        mine = [parameter.replace(kind=keyword) for parameter in own.values()]
        run.__name__, run.__doc__, run.__annotations__ = command.__name__, command.__doc__, {}
        run.__signature__ = inspect.Signature([*mine, *added])  # type: ignore[attr-defined]
        return run

    return decorate


def _read_given(words: dict[str, Any]) -> Given:
    options = words.pop("option", None)
    files = {"rfm": words.pop("rfm", None), "clip": words.pop("clip", None)}
    pickle = words.pop("allow_pickle", False)
    place, bounds = placing.take_placing(words), limits.take_limits(words)
    look = reading.take_reading(words)
    choices = words.pop("choices", None)
    settings = resolve(**words)
    quiet, verbose = words.get("quiet", False), words.get("verbose", 0)
    return Given(
        settings,
        read_pairs(options),
        quiet=quiet,
        verbose=verbose,
        allow_pickle=pickle,
        placing=place,
        reading=look,
        limits=bounds,
        choices=() if choices is None else parse_choices(choices),
        **files,
    )


def resolve(
    *, quiet: bool = False, verbose: int = 0, as_json: bool = False, **flags: object
) -> Settings:
    """Set up messages and give the settings, flags on top.

    Raises:
        ConfigError: a setting is not valid, wherever it was given.
    """
    prepare_messages(verbose, quiet)
    if as_json:
        flags["format"] = "json"
    return load_settings(flags)


def read_budgets(words: list[str]) -> list[int]:
    """Numbers of tokens, from what was given with `--budget`.

    Raises:
        ConfigError: one of them is none.
    """
    return [parse_tokens(word) for word in words]


def read_pairs(pairs: list[str] | None) -> dict[str, str]:
    """Options of a strategy, from `key=value` words.

    Raises:
        typer.BadParameter: no `=`, no key, or a key given twice.
    """
    options: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            raise typer.BadParameter(f"'{pair}': write {key or 'KEY'}=VALUE")
        if key in options:
            raise typer.BadParameter(f"'{key}' is given twice")
        options[key] = value
    return options


def split_words(words: Iterable[str] | None) -> list[str]:
    """Words given again and again, or with commas; each once."""
    parts = [part.strip() for word in words or () for part in word.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def examples(*commands: str) -> str:
    """The last lines of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  {command}" for command in commands)
