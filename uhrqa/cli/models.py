"""`uhrqa models`: the model cards there are."""

from __future__ import annotations

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.console import dump_json, open_console, print_result

app = typer.Typer(add_completion=False)

EPILOG = opt.examples("uhrqa models", "uhrqa models --json")
SCHEMA = "uhrqa.models/1"


@app.command(epilog=EPILOG)
def models(
    format_: opt.Format = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """List the models there are.

    A directory that holds a checkpoint, or a hub id that is in the local cache, can be named with
    -m as well.
    """
    settings = opt.resolve(quiet=quiet, verbose=verbose, as_json=as_json, format=format_)
    from uhrqa.vlm.card import list_cards, load_card

    cards = [load_card(name) for name in list_cards()]
    if settings.format == "json":
        rows = [
            {
                "name": card.name,
                "family": card.family,
                "weights": card.weights,
                "tile": card.tile,
                "tokens_per_tile": card.tokens_per_tile,
                "strategy": card.strategy,
                "budget": card.budget,
                "licence": card.licence,
                "paper": card.paper,
                "notes": card.notes,
            }
            for card in cards
        ]
        print_result(dump_json({"schema": SCHEMA, "models": rows}))
    elif quiet:
        print_result("\n".join(card.name for card in cards))
    else:
        from uhrqa.cli.report import make_table

        titles = ("name", "family", "licence", "notes", "tile", "tokens", "strategy", "budget")
        table = make_table(
            titles,
            [
                (
                    card.name,
                    card.family,
                    card.licence,
                    card.notes,
                    str(card.tile),
                    str(card.tokens_per_tile),
                    card.strategy,
                    str(card.budget),
                )
                for card in cards
            ],
            words=4,
        )
        open_console(stderr=False).print(table)
