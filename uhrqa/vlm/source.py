"""An original LLaVA checkpoint on disk: its layout, and where its vision tower is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import Card
from uhrqa.vlm.directory import read_layout
from uhrqa.vlm.hub import cached_snapshot
from uhrqa.vlm.layouts import Layout, check_complete

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """An original LLaVA checkpoint.

    Attributes:
        layout: how it maps to the stock class.
        tower: directory of the vision tower, where the checkpoint does not hold it.
    """

    layout: Layout
    tower: Path | None


def source_of(card: Card, path: Path) -> Source | None:
    """How a card's weights map to the stock class; None when they are stock.

    Raises:
        CheckpointError: the release's own tensors are missing, or the vision tower is.
    """
    layout = read_layout(path, card.vision_tower)
    if layout is None:
        return None
    check_complete(path, card.layout or layout.name, layout)
    aside = ", ".join(f"{kind} ({len(names)})" for kind, names in layout.extras.items()) or "none"
    LOG.info("%s: original LLaVA layout, %s; tensors besides LLaVA's: %s", path, layout.name, aside)
    return Source(layout, _tower_of(card, path, layout.tower) if layout.tower else None)


def _tower_of(card: Card, path: Path, name: str) -> Path:
    """The directory of a vision tower that a checkpoint only names.

    Raises:
        CheckpointError: it is not at hand.
    """
    place = Path(card.vision_tower or name)
    if place.is_dir():
        return place
    try:
        return cached_snapshot(name)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: holds no vision tower, only its name '{name}', which is neither a directory "
            f"nor in the hub cache; download it with: hf download {name}; or name its directory: "
            "`vision_tower` in a card, or uhrqa models convert --vision-tower DIRECTORY"
        ) from error
