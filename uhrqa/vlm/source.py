"""An original LLaVA checkpoint on disk: its layout, and where its vision tower is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from uhrqa.errors import CheckpointError
from uhrqa.vlm.card import Card
from uhrqa.vlm.directory import read_layout
from uhrqa.vlm.hub import cached_snapshot
from uhrqa.vlm.layouts import Layout

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


def check_complete(path: Path, release: str, layout: Layout) -> None:
    """Refuse a checkpoint that lacks what its release was trained with.

    Args:
        path: for the message.
        release: what the checkpoint must be.
        layout: what its files hold.

    Raises:
        CheckpointError: lists what is missing.
    """
    if missing := [name for name in _required(release, layout) if not _has(layout, name)]:
        raise CheckpointError(
            f"{path}: {release} without {', '.join(missing)}; it would answer from untrained "
            "numbers: is the download complete?"
        )


def _required(release: str, layout: Layout) -> list[str]:
    if release == "uhr-bat":
        maps = [f"model.scale_pos_residuals.{side}" for side in layout.sides]
        parts = [f"{index}.{part}" for index in (0, 2) for part in ("weight", "bias")]
        return [*(f"model.multiscale_token_mlp.{part}" for part in parts), *maps]
    if release == "lrs-vqa":
        rows = [] if layout.family == "llava_next" else ["model.image_newline"]
        return [*rows, "model.mm_projector.token_pruner.layers.0.self_attn.q_proj.weight"]
    return []


def _has(layout: Layout, name: str) -> bool:
    names = {found for part in layout.extras.values() for found in part}
    return name in names or name.removeprefix("model.") in names


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
