"""Whether a checkpoint's files can hold what its configuration wants, before any room is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import Card
from uhrqa.vlm.directory import read_config
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.headers import Entry
from uhrqa.vlm.source import source_of

MUCH_MORE = 1.5
"""Times the numbers in its files that a configuration may want, tied weights and rounding aside."""


def _wanted(card: Card) -> int:
    """Numbers of decoder, embeddings and tower by the configuration."""
    decoder, vision = card.dims.decoder, card.dims.vision
    return (
        decoder.layers * decoder.held_weights
        + decoder.vocab * decoder.width
        + vision.layers * vision.layer_weights
    )


def check_size(card: Card, path: Path, entries: Mapping[str, Entry]) -> None:
    """Refuse a configuration that wants far more than the files hold, before there is room for it.

    transformers would make room for all of it, and only then see that nothing fits.

    Args:
        card: of the checkpoint.
        path: its directory.
        entries: its tensors by name.

    Raises:
        CheckpointError: what does not fit first.
    """
    held = sum(entry.count for entry in entries.values())
    if _wanted(card) < MUCH_MORE * held:
        return
    from uhrqa.vlm.expected import match  # only now: it builds the model, if an empty one

    source = source_of(card, path)
    config = read_config(path) if source is None else source.layout.config
    family = FAMILIES[card.family if source is None else source.layout.family]
    kind = f"{family.kind}ForConditionalGeneration"
    if fault := match(kind, config, entries, source).fault:
        raise CheckpointError(f"{path}: {fault}; the files do not match config.json ({kind})")
