"""Model cards: found by name, file, directory or hub id. Imports no torch.

A card is `models/<name>.yaml`. It holds however its weights are named: by the card's name, its
file, their directory or their hub id. A directory with a `config.json` and no card beside it makes
its own. Where the files are at hand, what they say of themselves holds, and not the card's word.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from uhrqa.errors import CardError, CheckpointError, UnknownNameError
from uhrqa.registry import suggest
from uhrqa.vlm import card_checks, families
from uhrqa.vlm.card_fields import OWN, Card
from uhrqa.vlm.card_file import SUFFIXES, beside, card_beside, read_card_file
from uhrqa.vlm.directory import companions, describe_directory
from uhrqa.vlm.headers import has_safetensors
from uhrqa.vlm.hub import MARK, cached_snapshot, has_cached, is_hub_id
from uhrqa.vlm.layouts import layout_defaults

__all__ = ["PLACES", "Card", "card_of_directory", "list_cards", "load_card"]

PLACES = (Path(__file__).parent.parent / "_models", Path(__file__).parents[2] / "models")


def list_cards() -> list[str]:
    """Names of the cards there are, sorted."""
    return sorted({file.stem for place in PLACES for file in place.glob("*.yaml")})


NO_CLIP = (
    "relevance=clip: {name} has no text tower that is paired with a vision tower; name the "
    "directory of a whole CLIP or SigLIP checkpoint with --clip DIR"
)


def load_card(name: str, *, vision_tower: str | None = None) -> Card:
    """The card of a name, a file, a directory or a hub id; its `name` is the one given.

    Args:
        name: one of the four.
        vision_tower: directory of a vision tower, instead of the card's.

    Raises:
        UnknownNameError: neither a card, nor a file or directory, nor `org/name`.
        CardError: the card's file is not valid.
        CheckpointError: the directory holds no usable `config.json`.
    """
    card = _find_card(name, vision_tower)
    return card if vision_tower is None else replace(card, vision_tower=vision_tower)


def _find_card(name: str, tower: str | None) -> Card:
    path = Path(name).expanduser()
    for place in PLACES if path.name == name else ():
        file = place / f"{name}.yaml"
        if file.is_file():
            return _read_card(file, name)
    if path.is_dir():
        own = card_beside(path.resolve(), _keys())
        return _read_card(own, name) if own else card_of_directory(path, name, tower)
    if path.is_file() and path.suffix in SUFFIXES:
        return _read_card(path, name)
    if path.exists() or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{name}: not a checkpoint directory (one that holds config.json), and no card (*.yaml)"
        )
    hub_id = name.removeprefix(MARK)
    if is_hub_id(hub_id):
        return _card_of_hub(hub_id, name) or card_of_directory(cached_snapshot(hub_id), name, tower)
    raise UnknownNameError(
        f"unknown model '{name}'{suggest(name, list_cards())}; or a directory, or a card's file"
    )


def card_of_directory(path: Path, name: str, vision_tower: str | None = None) -> Card:
    """A card made from a checkpoint's own configuration.

    Args:
        path: the checkpoint.
        name: of the card.
        vision_tower: directory of a vision tower, instead of the one the configuration names.

    Raises:
        CheckpointError: no config.json, unreadable, or of a family that is not supported.
    """
    keys = {**describe_directory(path, vision_tower), **companions(path)}
    return _make_card(name=name, weights=str(path), **keys)


def _make_card(name: str, family: str, **keys: Any) -> Card:  # noqa: ANN401 - fields of a card
    """A card that has its release's and its family's defaults where nothing else is said."""
    families.check_family(name, family, keys["config"])
    released = layout_defaults(name, keys.get("layout"), keys["config"], keys.get("views"))
    keys["config"] = families.with_sections(family, keys["config"])
    usual = families.FAMILIES[family].defaults
    card = Card(name=name, family=family, **{**usual, **released, **keys})
    card_checks.check_config(card)
    return card


def _card_of_hub(hub_id: str, name: str) -> Card | None:
    """The card whose weights are that hub id, if there is one; a revision given takes its place."""
    repo, _, revision = hub_id.partition("@")
    for file in (file for place in PLACES for file in sorted(place.glob("*.yaml"))):
        try:
            named = str(read_card_file(file, _keys())["weights"])
        except CardError:  # told when it is named
            continue
        if named == f"{MARK}{hub_id}":
            return _read_card(file, name)
        if revision and named.partition("@")[0] == f"{MARK}{repo}":
            return _read_card(file, name, f"{MARK}{hub_id}")
    return None


def _keys() -> dict[str, Any]:
    """What a card's file may say, and of which type."""
    return {key: hint for key, hint in typing.get_type_hints(Card).items() if key not in OWN}


def _read_card(file: Path, name: str, weights: str | None = None) -> Card:
    """The card of a file.

    What the checkpoint's files say holds, as soon as they are at hand; the card gives the rest.

    Args:
        file: YAML.
        name: of the card.
        weights: hub id instead of the file's.
    """
    said = read_card_file(file, _keys())
    said["weights"] = weights or said["weights"]
    for key in ("vision_tower", "clip"):
        if said.get(key):
            said[key] = str(beside(file, said[key]))
    if not said["weights"].startswith(MARK):
        said["weights"] = str(beside(file, said["weights"]))
    keys = {**said, **_read_files(name, said)}
    if "config" not in keys:
        raise CardError(f"{file}: a hub id needs 'config' with the model's dimensions")
    keys.setdefault("family", str(keys["config"].get("model_type", "none")))
    return _make_card(name=name, **keys)


def _read_files(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint's files say instead of its card; nothing while they are not at hand.

    Raises:
        CheckpointError: a file is damaged, or a local directory is none of a checkpoint.
        CardError: the card names another family.
    """
    if said["weights"].startswith(MARK):
        hub_id = said["weights"].removeprefix(MARK)
        if not has_cached(hub_id):
            return {}
        try:
            path = cached_snapshot(hub_id)
        except CheckpointError:
            return {}
        if not ((path / "config.json").is_file() and has_safetensors(path)):
            return {}  # loading tells what is missing
    else:
        path = Path(said["weights"])
    found = describe_directory(path, said.get("vision_tower"))
    found |= companions(path, said)
    card_checks.check_family(name, said.get("family"), found["family"], path / "config.json")
    found["overruled"] = card_checks.overruled(name, said, found, path / "config.json")
    return {**found, "layout": said.get("layout", found.get("layout"))}
