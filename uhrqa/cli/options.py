"""Options that several commands share, and the settings they resolve to."""

from __future__ import annotations

from typing import Annotated

import typer

from uhrqa.cli.console import prepare_messages
from uhrqa.config import MOST_SEED, Settings, load_settings

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="Card, directory or hub id (tiny)."),
]
Strategy = Annotated[
    str | None,
    typer.Option("--strategy", "-s", metavar="NAME", help="How tokens are chosen (the card's)."),
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
    typer.Option("--option", "-o", metavar="KEY=VALUE", help="Option of the strategy; repeatable."),
]
Rfm = Annotated[
    str | None,
    typer.Option("--rfm", metavar="FILE", help="Region Focus Module to use (the model's own)."),
]
Device = Annotated[
    str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N (auto).")
]
Dtype = Annotated[
    str | None, typer.Option(metavar="DTYPE", help="float32, float16 or bfloat16 (by device).")
]
Attention = Annotated[
    str | None, typer.Option(metavar="NAME", help="sdpa (default) or flash_attention_2.")
]
Seed = Annotated[int | None, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed (0).")]
MaxNewTokens = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Longest answer in tokens (32).")
]
MaxTiles = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Most tiles to encode, relevance passes included (no cap)."
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="text or json (text).")
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


def resolve(
    *, quiet: bool = False, verbose: int = 0, as_json: bool = False, **flags: object
) -> Settings:
    """Set up messages and give the settings, flags on top.

    Raises:
        ConfigError: a setting is not valid, wherever it was given.
        BudgetError: `--budget` is none.
    """
    prepare_messages(verbose, quiet)
    if as_json:
        flags["format"] = "json"
    return load_settings(flags)


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


def examples(*commands: str) -> str:
    """The last lines of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  {command}" for command in commands)
