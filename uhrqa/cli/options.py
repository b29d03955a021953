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
from typing import Annotated, Any

import typer

from uhrqa.budget import parse_tokens
from uhrqa.cli import reading
from uhrqa.cli.complete import among, complete_model, complete_option, complete_strategy
from uhrqa.cli.console import prepare_messages
from uhrqa.config import (
    ATTENTION,
    DEVICE_MAPS,
    DTYPES,
    FORMATS,
    MAX_NEW_TOKENS,
    QUANTISED,
    Settings,
    load_settings,
)
from uhrqa.reading import Reading

IMAGE_HELP = "TIFF, Zarr, PNG or JPEG."
DEVICES = ("auto", "cpu", "cuda")

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="Card, directory or hub id (tiny).",
        autocompletion=complete_model,
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        "-s",
        metavar="NAME",
        help="How tokens are chosen (the card's).",
        autocompletion=complete_strategy,
    ),
]
Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "-s",
        metavar="NAMES",
        help="Repeatable, or with commas.",
        autocompletion=complete_strategy,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="TOKENS",
        help="Most visual tokens in the answering pass: 4096, 4k = 4000, 4Ki = 4096 (the card's).",
    ),
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="Option of the strategy; repeatable.",
        autocompletion=complete_option,
    ),
]
Rfm = Annotated[
    str | None,
    typer.Option("--rfm", metavar="FILE", help="Region Focus Module to use (the model's own)."),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE",
        help="auto, cpu, cuda or cuda:N (auto).",
        autocompletion=among(DEVICES),
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="DTYPE",
        help="float32, float16 or bfloat16 (by device).",
        autocompletion=among(DTYPES),
    ),
]
Attention = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="auto (flash where it can run), sdpa, flash_attention_2.",
        autocompletion=among(ATTENTION),
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="auto",
        help="Spread a model over all devices; needs uhrqa\\[map] (one device).",
        autocompletion=among(DEVICE_MAPS),
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        metavar="BITS",
        help="8bit or 4bit weights; needs uhrqa\\[quant] (as --dtype).",
        autocompletion=among(QUANTISED),
    ),
]
AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Read tensors of pytorch_model*.bin where need be."),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed (0).")]
MaxNewTokens = Annotated[
    int | None, typer.Option(metavar="N", help=f"Longest answer in tokens ({MAX_NEW_TOKENS}).")
]
MaxTiles = Annotated[
    int | None,
    typer.Option(metavar="N", help="Most tiles to encode, relevance passes included (no cap)."),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FORMAT", help="text or json (text).", autocompletion=among(FORMATS)
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The result alone; stderr stays empty.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        metavar="",
        help="Steps and log to stderr; -vv for all.",
    ),
]

MESSAGES = ("quiet", "verbose")
PRINTING = ("format", "as_json", *MESSAGES)
LOADING = ("model", "device", "dtype", "attention", "device_map", "quantize", "allow_pickle")
READING = reading.READING
ANSWERING = (
    "model",
    "strategy",
    "budget",
    "option",
    "rfm",
    *LOADING[1:],
    "seed",
    "max_new_tokens",
    "max_tiles",
)
SHARED: Mapping[str, tuple[Any, object]] = {  # annotation and default
    "model": (Model, None),
    "strategy": (Strategy, None),
    "budget": (Budget, None),
    "option": (Option, None),
    "rfm": (Rfm, None),
    "device": (Device, None),
    "dtype": (Dtype, None),
    "attention": (Attention, None),
    "device_map": (DeviceMap, None),
    "quantize": (Quantize, None),
    "allow_pickle": (AllowPickle, False),
    "seed": (Seed, None),
    "max_new_tokens": (MaxNewTokens, None),
    "max_tiles": (MaxTiles, None),
    "format": (Format, None),
    "as_json": (Json, False),
    "quiet": (Quiet, False),
    "verbose": (Verbose, 0),
    **reading.SHARED,
}


@dataclass(frozen=True, slots=True)
class Given:
    """What a command's shared options come to; those it does not have are at their defaults.

    Attributes:
        settings: resolved, flags on top.
        options: the strategy's own, as given.
        rfm: file of a Region Focus Module, instead of the card's.
        allow_pickle: of weights; a flag alone, so that no file can say so for the user.
        reading: how images are read.
    """

    settings: Settings
    options: Mapping[str, str] = field(default_factory=dict)
    rfm: str | None = None
    quiet: bool = False
    verbose: int = 0
    allow_pickle: bool = False
    reading: Reading = field(default_factory=Reading)


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
    rfm = words.pop("rfm", None)
    pickle = words.pop("allow_pickle", False)
    look = reading.take_reading(words)
    settings = resolve(**words)
    quiet, verbose = words.get("quiet", False), words.get("verbose", 0)
    return Given(settings, read_pairs(options), rfm, quiet, verbose, pickle, look)


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
            raise typer.BadParameter(f"'{pair}': write KEY=VALUE, for example alpha=0.25")
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
