"""A card held against the configuration and the files of its checkpoint. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.errors import CardError, CheckpointError
from uhrqa.vlm.families import FAMILIES

if TYPE_CHECKING:
    from uhrqa.vlm.card_fields import Card

PACKINGS = ("raster", "tiles")


def check_config(card: Card) -> None:
    """Refuse a configuration that lacks what every command needs to know, or that a card is not of.

    Raises:
        CheckpointError: sizes that are missing or impossible.
        CardError: what the card says cannot be had with this configuration.
    """
    for part in ("vision_config", "text_config"):
        if not isinstance(card.config.get(part), Mapping):
            why = {"vision_config": ": a model that reads no images"}.get(part, "")
            raise CheckpointError(f"{card.name}: config.json: no {part}{why}")
    try:
        _, side = card.context, card.dims.vision.side
    except CheckpointError as error:
        raise CheckpointError(f"{card.name}: {error}") from error
    if side % card.pool:
        raise CardError(f"{card.name}: pool: {card.pool}: a tile has {side} tokens along its side")
    layer, layers = card.relevance_layer or 0, card.dims.decoder.layers
    if not -layers <= layer < layers:
        raise CardError(
            f"{card.name}: relevance_layer: {layer}: config.json says {layers} layers; give one "
            f"from 0 to {layers - 1}, or leave it out"
        )
    if card.packing not in PACKINGS:
        raise CardError(f"{card.name}: packing: {card.packing}: give {' or '.join(PACKINGS)}")
    family = FAMILIES[card.family]
    if card.row_ends and not family.has_newline and card.layout is None:  # a release tells more
        raise CardError(f"{card.name}: row_ends: {card.family} has no newline token; leave it out")
    if card.row_ends and card.packing == "tiles":
        raise CardError(f"{card.name}: packing: tiles: rows that end are rows of a whole level")
    if card.tile_side and not family.any_tile:
        raise CardError(f"{card.name}: tile_side: the tower takes {card.tile} px; leave it out")


def check_family(name: str, said: str | None, found: str, file: Path) -> None:
    """Refuse a card that names another family than its files.

    Args:
        name: of the card.
        said: family the card's file gives, if any.
        found: family the files give.
        file: the checkpoint's `config.json`.

    Raises:
        CardError: both names.
    """
    if said and said != found and found in FAMILIES:
        raise CardError(f"{name}: family: {said}, but {file} is of {found}; leave the line out")


def overruled(
    name: str, said: Mapping[str, Any], found: Mapping[str, Any], file: Path
) -> str | None:
    """One line about the numbers that a card has and its files contradict; None where none are.

    Args:
        name: of the card.
        said: what the card's file gives.
        found: what the checkpoint's files give, and what holds.
        file: the checkpoint's `config.json`.
    """
    odd = list(_differing(said.get("config", {}), found["config"]))
    depths = said.get("rfm_layers"), found.get("rfm_layers")
    if all(depths) and depths[0] != depths[1]:
        odd.append("rfm_layers {}, not {}".format(*depths))
    if not odd:
        return None
    rest = f", and {len(odd) - 1} more numbers differ" if len(odd) > 1 else ""
    return (
        f"card {name} says {odd[0]} as config.json{rest}; the files' numbers are used "
        f"(-m {file.parent} does without the card)"
    )


def _differing(
    said: Mapping[str, Any], found: Mapping[str, Any], within: str = ""
) -> Iterator[str]:
    """Every number that two configurations have and differ in."""
    for key, mine in said.items():
        if key not in found:
            continue
        theirs = found[key]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from _differing(mine, theirs, f"{within}{key}.")
        elif mine != theirs:
            yield f"{within}{key} {mine}, not {theirs}"
