"""`uhrqa strategies`: the ways to choose tokens, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.choice import choose_card
from uhrqa.cli.complete import complete_strategy
from uhrqa.cli.console import dump_json, fold, print_result

app = typer.Typer(add_completion=False)

EPILOG = opt.examples("uhrqa strategies --json", "uhrqa strategies rfm-dip -m tiny")
SCHEMA = "uhrqa.strategies/1"


@app.command(epilog=EPILOG)
@opt.share("model", *opt.PRINTING)
def strategies(
    given: opt.Given,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Some of them (all).", autocompletion=complete_strategy
        ),
    ] = None,
) -> None:
    """List the strategies there are, with options and defaults.

    Options are given as -o KEY=VALUE. With -m, the values that the model's card sets are shown in
    place of the defaults, and marked.
    """
    from uhrqa.strategies import STRATEGIES

    wanted = opt.split_words(names) or list(STRATEGIES)
    named = given.settings.origins.get("model", "").startswith("--")
    said = choose_card(given.settings).options if named else {}
    rows = [_entry(name, said.get(name, {})) for name in wanted]
    refused = {} if names else STRATEGIES.refused
    if given.settings.format == "json":
        print_result(dump_json({"schema": SCHEMA, "strategies": rows, "refused": refused}))
    elif given.quiet:
        print_result("\n".join(wanted))
    else:
        print_result("\n".join(_describe(row) for row in rows))
        for name, reason in refused.items():
            print_result(fold(f"{name}: refused: {reason}", 2))


def _entry(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy with its options, JSON-ready.

    Args:
        name: of the strategy.
        said: options a card sets.
    """
    from uhrqa.strategies import as_text, describe

    summary, entries = describe(name)
    options = [
        {
            "name": key,
            "default": as_text(said[key]) if key in said else default,
            "from_card": key in said,
            "meaning": meaning,
        }
        for key, default, meaning in entries
    ]
    return {"name": name, "summary": summary, "options": options}


def _describe(row: Mapping[str, Any]) -> str:
    words = [
        f"{entry['name']}={entry['default']}{' (card)' if entry['from_card'] else ''}"
        for entry in row["options"]
    ]
    width = max(map(len, words), default=0)
    lines = [
        fold(f"  {word:{width}}  {entry['meaning']}", width + 4)
        for word, entry in zip(words, row["options"], strict=True)
    ]
    return "\n".join([fold(f"{row['name']}: {row['summary']}", 2), *lines, ""])
