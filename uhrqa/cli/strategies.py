"""`uhrqa strategies`: the ways to choose tokens, with their options."""

from __future__ import annotations

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.console import dump_json, fold, print_result

app = typer.Typer(add_completion=False)

EPILOG = opt.examples("uhrqa strategies", "uhrqa strategies --json")
Entry = tuple[str, str, str]  # name of an option, default, meaning
SCHEMA = "uhrqa.strategies/1"


@app.command(epilog=EPILOG)
@opt.share(*opt.PRINTING)
def strategies(given: opt.Given) -> None:
    """List the strategies there are, with options and defaults.

    Options are given as -o KEY=VALUE.
    """
    from uhrqa.strategies import STRATEGIES, describe

    rows = [(name, *describe(name)) for name in STRATEGIES]
    if given.settings.format == "json":
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
        refused = STRATEGIES.refused
        print_result(dump_json({"schema": SCHEMA, "strategies": listing, "refused": refused}))
    elif given.quiet:
        print_result("\n".join(name for name, *_ in rows))
    else:
        print_result("\n".join(_describe(*row) for row in rows))
        for name, reason in STRATEGIES.refused.items():
            print_result(fold(f"{name}: refused: {reason}", 2))


def _describe(name: str, summary: str, entries: list[Entry]) -> str:
    width = max((len(f"{key}={default}") for key, default, _ in entries), default=0)
    lines = [
        fold(f"  {f'{key}={default}':{width}}  {meaning}", width + 4)
        for key, default, meaning in entries
    ]
    return "\n".join([fold(f"{name}: {summary}", 2), *lines, ""])
