"""The option that says how FLOPs are counted. The names are known here, so that help is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from uhrqa.cli.complete import among
from uhrqa.errors import UnknownNameError
from uhrqa.registry import suggest

NAMES = ("exact", "paper-lrs", "paper-fastv", "profiler")
EXACT = NAMES[0]
Convention = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"How FLOPs are counted: {', '.join(NAMES)}.",
        autocompletion=among(NAMES),
        show_default=False,
    ),
]


def check_convention(name: str) -> None:
    """Refuse a name that is none.

    Raises:
        UnknownNameError: names the nearest.
    """
    if name not in NAMES:
        raise UnknownNameError(f"unknown convention '{name}'{suggest(name, NAMES)}")
