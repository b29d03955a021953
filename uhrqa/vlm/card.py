"""Model cards: what must be known of a checkpoint before its weights are read. Imports no torch.

A card is `models/<name>.yaml`. It holds however its weights are named: by the card's name, their
directory or their hub id. A directory with a `config.json` and no card beside it makes its own.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from uhrqa.budget import Budget
from uhrqa.dims import Dims
from uhrqa.errors import BudgetError, CardError, CheckpointError, ConfigError, UnknownNameError
from uhrqa.registry import suggest
from uhrqa.vlm.directory import companions, describe_directory
from uhrqa.vlm.families import FAMILIES, check_family, with_sections
from uhrqa.vlm.hub import MARK, cached_snapshot, is_hub_id
from uhrqa.vlm.layouts import layout_defaults

PLACES = (Path(__file__).parent.parent / "_models", Path(__file__).parents[2] / "models")
CONTEXTS = {
    "llama": 2048, "mistral": 131072, "qwen2": 32768, "qwen3": 32768, "qwen2_vl_text": 32768,
    "qwen2_5_vl_text": 32768, "qwen3_vl_text": 128000, "qwen3_vl_moe_text": 128000,
}  # fmt: skip
PACKINGS = ("raster", "tiles")
LEAST = {"min_side": 1, "rfm_layers": 0, "pool": 1, "tile_side": 1, "history": 0}
LEVEL_ONE_TILES = 3  # 1008 px for 336 px tiles, as in LRS-VQA


@dataclass(frozen=True)
class Card:
    """A checkpoint's geometry and defaults.

    Attributes:
        name: what the user calls it.
        family: `model_type` of its configuration.
        weights: a directory, or `hub:org/name`, with `@revision` or without.
        config: the checkpoint's `config.json`; for a hub id, the part that gives its dimensions.
        min_side: longer side of pyramid level 1, in pixels; three tiles when the card has none.
        stretch_thumbnail: the thumbnail fills its tile (LLaVA-NeXT) or keeps its shape (LRS-VQA).
        tile_side: of a tile in pixels, for towers that take any size; the tower's own when None.
        pool: side of the groups of tokens that are averaged, 1 for none.
        pool_thumbnail: the thumbnail's tokens are pooled as well.
        row_ends: every row of tokens of a level ends with the model's learned newline.
        packing: `raster`, row by row over a whole level, or `tiles`, one tile after the other.
        between: text between two levels.
        strategy: default strategy.
        budget: default number of visual tokens.
        options: defaults of the strategies' own options, by strategy.
        relevance_layer: decoder layer read for `relevance=llm`; the middle one when None.
        rfm: file of a Region Focus Module, relative to the weights.
        rfm_layers: its layers R, for plans made without reading it.
        placement: file of placement tables, relative to the weights.
        prompt: template with `{question}` and one image token, for tokenizers that bring none;
            empty where only the checkpoint's own will do.
        template: the tokenizer's chat template, where there is one, goes before `prompt`.
        history: earlier turns of a conversation in a prompt; 0 where it learned from single ones.
        layout: release of an original LLaVA checkpoint, which gives other defaults.
        vision_tower: directory of a vision tower that the weights lack.
        clip: directory of a whole CLIP or SigLIP, whose text tower `relevance=clip` reads.
        notice: one line the user should read whenever this model answers.
        licence: of the weights.
        paper: where the model is described.
        notes: one line for `uhrqa models`.
    """

    name: str
    family: str
    weights: str
    config: Mapping[str, Any] = field(repr=False)
    min_side: int | None = None
    stretch_thumbnail: bool = True
    tile_side: int | None = None
    pool: int = 1
    pool_thumbnail: bool = False
    row_ends: bool = False
    packing: str = "raster"
    between: str | None = None
    strategy: str = "rfm-dip"
    budget: int = 4000
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    relevance_layer: int | None = None
    rfm: str | None = None
    rfm_layers: int = 0
    placement: str | None = None
    prompt: str = "USER: <image>\n{question} ASSISTANT:"
    template: bool = True
    history: int = 4
    layout: str | None = None
    vision_tower: str | None = None
    clip: str | None = None
    notice: str | None = None
    licence: str = "see the checkpoint"
    paper: str = ""
    notes: str = ""

    @cached_property
    def dims(self) -> Dims:
        """Layer dimensions for the cost formulas."""
        return Dims.from_config(self.config, tile=self.tile_side)

    @property
    def tile(self) -> int:
        """Side B of a tile, in pixels."""
        return self.dims.vision.tile

    @property
    def pixels_per_token(self) -> Fraction:
        """Level pixels along one side of a visual token that is not pooled.

        A tower that leaves some pixels at a tile's edge unread (384 px in patches of 14) counts as
        if its patches were that much larger.
        """
        return Fraction(self.tile, self.dims.vision.side)

    @property
    def tokens_per_tile(self) -> int:
        """Visual tokens of one tile, pooled."""
        return self.dims.vision.features // self.pool**2

    @property
    def level_one_side(self) -> int:
        """Longer side of pyramid level 1, in pixels."""
        return self.min_side or LEVEL_ONE_TILES * self.tile

    @property
    def context(self) -> int:
        """Longest sequence the decoder was made for."""
        text = self.config["text_config"]
        usual = CONTEXTS.get(text.get("model_type", "llama"), 4096)
        longest = text.get("max_position_embeddings") or usual
        if not isinstance(longest, int) or longest < 1:
            raise CheckpointError(
                f"config.json: max_position_embeddings is {longest}; give a whole number above 0"
            )
        return longest

    @property
    def between_tokens(self) -> int:
        """Tokens of the text between two levels, as near as can be told without the tokenizer."""
        return len(re.findall(r"<\|.*?\|>|[^<\s]+", self.between or ""))

    @property
    def directory(self) -> Path | None:
        """Where the weights lie, or None for a hub id."""
        return None if self.weights.startswith(MARK) else Path(self.weights)

    def find_weights(self) -> Path:
        """Where they lie, in the hub cache if need be.

        Raises:
            CheckpointError: a hub id that is not in the cache.
        """
        return self.directory or cached_snapshot(self.weights.removeprefix(MARK))


def list_cards() -> list[str]:
    """Names of the cards there are, sorted."""
    return sorted({file.stem for place in PLACES for file in place.glob("*.yaml")})


def load_card(name: str, *, vision_tower: str | None = None) -> Card:
    """The card of a name, a directory or a hub id; its `name` is the one given.

    Args:
        name: one of the three.
        vision_tower: directory of a vision tower, instead of the card's.

    Raises:
        UnknownNameError: neither a card, nor a directory, nor `org/name`.
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
            return _read_card(file)
    if path.is_dir():
        return _card_beside(path.resolve(), name) or card_of_directory(path, name, tower)
    if path.exists() or name.startswith((".", "/", "~")):
        raise CheckpointError(f"{name}: not a checkpoint directory (one that holds config.json)")
    hub_id = name.removeprefix(MARK)
    if is_hub_id(hub_id):
        return _card_of_hub(hub_id, name) or card_of_directory(cached_snapshot(hub_id), name, tower)
    raise UnknownNameError(f"unknown model '{name}'{suggest(name, list_cards())}; or a directory")


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
    check_family(name, family, keys["config"])
    released = layout_defaults(name, keys.get("layout"), keys["config"])
    keys["config"] = with_sections(family, keys["config"])
    card = Card(name=name, family=family, **{**FAMILIES[family].defaults, **released, **keys})
    _check_config(card)
    return card


def _card_beside(directory: Path, name: str) -> Card | None:
    """The card `<directory>.yaml`, if there is one and its weights are that directory."""
    file = directory.parent / f"{directory.name}.yaml"
    weights = _weights_named_in(file)
    if weights is None or (file.parent / weights).resolve() != directory:
        return None
    return replace(_read_card(file), name=name)


def _card_of_hub(hub_id: str, name: str) -> Card | None:
    """The card whose weights are that hub id, if there is one; a revision given takes its place."""
    repo, _, revision = hub_id.partition("@")
    files = (file for place in PLACES for file in sorted(place.glob("*.yaml")))
    for file in files:
        named = _weights_named_in(file) or ""
        if named == f"{MARK}{hub_id}":
            return replace(_read_card(file), name=name)
        if revision and named.partition("@")[0] == f"{MARK}{repo}":
            return replace(_read_card(file), name=name, weights=f"{MARK}{hub_id}")
    return None


def _weights_named_in(file: Path) -> str | None:
    """What a YAML file names as weights; None where it is no card or cannot be read."""
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return str(raw["weights"]) if isinstance(raw, dict) and "weights" in raw else None


def _read_card(file: Path) -> Card:
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CardError(f"{file}: not readable as YAML ({error})") from error
    known = {entry.name for entry in fields(Card)} - {"name"}
    for key in raw if isinstance(raw, dict) else ():
        if key not in known:
            raise CardError(f"{file}: unknown key '{key}'{suggest(key, known)}")
    if not isinstance(raw, dict) or "weights" not in raw:
        raise CardError(f"{file}: needs at least 'weights'")
    _check_values(file, raw)
    for key in ("vision_tower", "clip"):
        if raw.get(key):
            raw[key] = str(file.parent / raw[key])
    if not str(raw["weights"]).startswith(MARK):
        raw["weights"] = str(file.parent / raw["weights"])
        found = describe_directory(Path(raw["weights"]), raw.get("vision_tower"))
        raw = {**found, **raw, "config": found["config"]}
    if "config" not in raw:
        raise CardError(f"{file}: a hub id needs 'config' with the model's dimensions")
    raw.setdefault("family", str(raw["config"].get("model_type", "none")))
    return _make_card(name=file.stem, **raw)


def _check_values(file: Path, raw: dict[str, Any]) -> None:
    """Read the budget as people write it, and hold every other value to its field's type.

    Raises:
        CardError: a value of another type, or out of range.
    """
    if "budget" in raw:
        try:
            raw["budget"] = Budget.of(raw["budget"]).tokens
        except (BudgetError, ConfigError, TypeError) as error:
            raise CardError(f"{file}: budget: {error}") from error
    for key, hint in typing.get_type_hints(Card).items():
        kind = hint if isinstance(hint, types.UnionType) else typing.get_origin(hint) or hint
        if key in raw and (not isinstance(raw[key], kind) or _is_odd_bool(raw[key], kind)):
            name = str(getattr(kind, "__name__", kind)).lower()
            raise CardError(f"{file}: {key}: {raw[key]!r} is no {name}")
    for key, least in (
        ("min_side", 1),
        ("rfm_layers", 0),
        ("pool", 1),
        ("tile_side", 1),
        ("history", 0),
    ):
        if (raw.get(key) or least) < least:
            raise CardError(f"{file}: {key}: {raw[key]}: give {least} or more")
    for strategy, options in raw.get("options", {}).items():
        if not isinstance(options, Mapping):
            raise CardError(f"{file}: options: {strategy}: write `key: value` pairs")


def _is_odd_bool(value: object, kind: object) -> bool:
    """Whether a value is yes or no where a number is wanted; to Python, yes is 1."""
    return isinstance(value, bool) and kind is not bool


def _check_config(card: Card) -> None:
    """Refuse a configuration that lacks what every command needs to know.

    Raises:
        CheckpointError: sizes that are missing or impossible.
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
    if card.packing not in PACKINGS:
        raise CardError(f"{card.name}: packing: {card.packing}: give {' or '.join(PACKINGS)}")
    family = FAMILIES[card.family]
    if card.row_ends and not family.has_newline and card.layout is None:  # a release tells more
        raise CardError(f"{card.name}: row_ends: {card.family} has no newline token; leave it out")
    if card.row_ends and card.packing == "tiles":
        raise CardError(f"{card.name}: packing: tiles: rows that end are rows of a whole level")
    if card.tile_side and not family.any_tile:
        raise CardError(f"{card.name}: tile_side: the tower takes {card.tile} px; leave it out")
