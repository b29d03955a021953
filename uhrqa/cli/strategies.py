"""`uhrqa strategies`: the ways to choose tokens, with their options."""

from __future__ import annotations

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.console import dump_json, print_result

app = typer.Typer(add_completion=False)

EPILOG = opt.examples("uhrqa strategies", "uhrqa strategies --json")
SCHEMA = "uhrqa.strategies/1"


@app.command(epilog=EPILOG)
def strategies(
    format_: opt.Format = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """List the strategies there are, with options and defaults.

    Options are given as -o KEY=VALUE.
    """
    settings = opt.resolve(quiet=quiet, verbose=verbose, as_json=as_json, format=format_)
    from uhrqa.strategies import STRATEGIES, describe

    rows = [(name, *describe(name)) for name in STRATEGIES]
    if settings.format == "json":
        listing = [
            {
                "name": name,
                "summary": summary,
                "options": [
                    {"name": key, "default": default, "meaning": meaning}
                    for key, default, meaning in entries
                ],
            }
            for name, summary, entries in rows
        ]
        print_result(dump_json({"schema": SCHEMA, "strategies": listing}))
    elif quiet:
        print_result("\n".join(name for name, *_ in rows))
    else:
        print_result("\n".join(_describe(*row) for row in rows))


def _describe(name: str, summary: str, entries: list[tuple[str, str, str]]) -> str:
    width = max((len(f"{key}={default}") for key, default, _ in entries), default=0)
    lines = [f"  {f'{key}={default}':{width}}  {meaning}" for key, default, meaning in entries]
    return "\n".join([f"{name}: {summary}", *lines, ""])
