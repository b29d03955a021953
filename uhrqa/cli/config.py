"""`uhrqa config show`: every setting and where it comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.console import dump_json, print_result
from uhrqa.config import DOCS

app = typer.Typer(add_completion=False, no_args_is_help=True)

EPILOG = opt.examples("uhrqa config show --origin", "UHRQA_BUDGET=2k uhrqa config show --json")
SCHEMA = "uhrqa.config/1"


@app.callback(epilog=EPILOG)
def config() -> None:
    """Show settings and where they come from.

    Flag > UHRQA_* variable > ./uhrqa.yaml > $XDG_CONFIG_HOME/uhrqa/config.yaml > default.
    """


@app.command(epilog=EPILOG)
@opt.share(*opt.PRINTING)
def show(
    *,
    origin: Annotated[
        bool, typer.Option("--origin", help="Name the file or variable behind each value.")
    ] = False,
    given: opt.Given,
) -> None:
    """Print every setting that holds here."""
    settings = given.settings
    if settings.format == "json":
        rows = {
            name: {"value": value, "origin": source, "meaning": DOCS[name]}
            for name, value, source in settings.rows()
        }
        print_result(dump_json({"schema": SCHEMA, "settings": rows}))
        return
    lines = []
    for name, value, source in settings.rows():
        line = f"{name}: {'null' if value is None else value}"
        lines.append(f"{line:40}  # {source}" if origin else line)
    print_result("\n".join(lines))
