"""`uhrqa models`: the model cards there are, and commands about checkpoints.

Each of these commands is a function in a module of its own, put into the group at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from uhrqa.cli import convert, inspect
from uhrqa.cli import options as opt
from uhrqa.cli.console import dump_json, fold, print_note, print_result
from uhrqa.errors import UhrqaError

if TYPE_CHECKING:
    from uhrqa.vlm.card import Card

app = typer.Typer(add_completion=False, invoke_without_command=True)

EPILOG = opt.examples("uhrqa models", "uhrqa models --json")
SCHEMA = "uhrqa.models/1"


@app.callback(epilog=EPILOG)
@opt.share(*opt.PRINTING)
def models(ctx: typer.Context, given: opt.Given) -> None:
    """List the models there are.

    A directory that holds a checkpoint, a card's file (*.yaml), or a hub id that is in the local
    cache, can be named with -m as well.
    """
    if ctx.invoked_subcommand is None:
        list_models(given)


def list_models(given: opt.Given) -> None:
    """Print every card, and a warning for each that cannot be used."""
    from uhrqa.vlm.card import list_cards

    cards, faults = read_cards(list_cards())
    if given.settings.format == "json":
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
        print_result(dump_json({"schema": SCHEMA, "models": rows, "faults": faults}))
    elif given.quiet:
        print_result("\n".join(card.name for card in cards))
    else:
        print_result("\n".join(_describe(card) for card in cards))
    for fault in () if given.quiet else faults.values():
        print_note(f"uhrqa: warning: {fault}")


def read_cards(names: Iterable[str]) -> tuple[list[Card], dict[str, str]]:
    """The cards that can be used, and a line about each of the others, by name."""
    from uhrqa.vlm.card import load_card

    cards: list[Card] = []
    faults: dict[str, str] = {}
    for name in dict.fromkeys(names):
        try:
            cards.append(load_card(name))
        except UhrqaError as error:
            faults[name] = " ".join(str(error).split())
    return cards, faults


def _describe(card: Card) -> str:
    lines = [
        f"{card.name}: {card.notes}",
        f"  {card.family}, tiles of {card.tile} px, {card.tokens_per_tile} tokens a tile",
        f"  default -s {card.strategy} -b {card.budget}; licence: {card.licence}",
        f"  {card.paper}" if card.paper else "",
    ]
    return "\n".join(fold(line, 2) for line in lines if line) + "\n"


app.command("convert", epilog=convert.EPILOG)(convert.convert)
app.command("inspect", epilog=inspect.EPILOG)(inspect.inspect)
