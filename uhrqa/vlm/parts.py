"""Which part of a model a tensor belongs to, by its name, in every layout. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from uhrqa.vlm.headers import COUNTING, Entry
from uhrqa.vlm.layouts import DROPPED

PARTS = (
    ("rfm", r"token_pruner\."),
    ("reghead", r"reghead"),
    ("extras", r"multiscale|scale_pos|tile_pos|placement"),
    ("projector", r"projector\.|\bvisual\.(deepstack_)?merger"),
    ("tower", r"vision_tower|\bvisual\.|vision_model"),
    ("head", r"lm_head\."),
    ("newline", r"image_newline"),
    ("decoder", r"\b(language_model|layers|embed_tokens|norm)\b"),
)
"""Part of a model to the names of its tensors, the first that fits, in every layout."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many numbers a part has and the bytes they take on the disk."""

    parameters: int
    bytes: int


def count_parts(entries: Mapping[str, Entry]) -> dict[str, Share]:
    """Numbers and bytes of each part that tensors belong to.

    Args:
        entries: tensors by name; those of other files by `part:name`.
    """
    shares: dict[str, Share] = {}
    for name, entry in entries.items():
        if entry.dtype in COUNTING or DROPPED.search(name):
            continue  # tables that are computed now
        part = part_of(name)
        old = shares.get(part, Share(0, 0))
        shares[part] = Share(old.parameters + entry.count, old.bytes + entry.bytes)
    order = ["tower", "projector", "newline", "decoder", "head", "rfm"]
    rest = sorted(shares.keys() - set(order))
    return {part: shares[part] for part in (*order, *rest) if part in shares}


def part_of(name: str) -> str:
    """The part of a model that a tensor belongs to."""
    companion, colon, _ = name.partition(":")
    if colon:
        return companion
    return next((part for part, pattern in PARTS if re.search(pattern, name)), "other")
