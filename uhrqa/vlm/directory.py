"""What a checkpoint's directory says of itself, read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uhrqa.errors import CheckpointError
from uhrqa.rfm import rfm_depth
from uhrqa.vlm.headers import read_header
from uhrqa.vlm.layouts import Layout, recognise, view_sides
from uhrqa.vlm.pointers import refuse_pointer
from uhrqa.vlm.shards import read_shapes

LAYOUT_KEY = "uhrqa_layout"
"""Key of a converted checkpoint's `config.json`: the release it was converted from."""

SCALE_TABLES = "multiscale.safetensors"
"""File of UHR-BAT's tables in a converted checkpoint."""


def read_config(path: Path) -> dict[str, Any]:
    """The `config.json` of a directory.

    Raises:
        CheckpointError: there is none, or it is no JSON object.
    """
    file = path / "config.json"
    if not file.is_file():
        raise CheckpointError(f"{path}: no config.json; name the directory of a checkpoint")
    refuse_pointer(file)
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file}: not a JSON object")
    return config


def is_original(path: Path) -> bool:
    """Whether a checkpoint's configuration is flat, as in the original LLaVA layout.

    Raises:
        CheckpointError: there is no usable `config.json`.
    """
    return not {"text_config", "vision_config"} & set(read_config(path))


def read_layout(path: Path, tower: str | None = None) -> Layout | None:
    """The original layout of a checkpoint; None when it is a stock one.

    Args:
        path: its directory.
        tower: directory of the vision tower, instead of the one the configuration names.

    Raises:
        CheckpointError: a damaged file, or a checkpoint that has no stock counterpart.
    """
    if not is_original(path):
        return None  # and no header is read
    config = read_config(path)
    place = tower or str(config.get("mm_vision_tower"))
    own = read_config(Path(place)) if tower or (Path(place) / "config.json").is_file() else None
    try:
        return recognise(config, read_shapes(path), own)
    except CheckpointError as error:
        if str(error).startswith(str(path)):
            raise
        raise CheckpointError(f"{path}: {error}") from error


def describe_directory(path: Path, tower: str | None = None) -> dict[str, Any]:
    """Fields of a card that follow from a checkpoint's configuration and weights.

    Args:
        path: directory of a checkpoint.
        tower: directory of its vision tower, instead of the one the configuration names.

    Raises:
        CheckpointError: no config.json, a damaged file, or no stock counterpart.
    """
    layout = read_layout(path, tower)
    if layout is not None:
        return {
            "config": layout.config,
            "family": layout.family,
            "layout": layout.name,
            **({"rfm_layers": layout.rfm_layers} if layout.rfm_layers else {}),
            **({"views": layout.sides} if "scale_maps" in layout.extras else {}),
        }
    config = read_config(path)
    found: dict[str, Any] = {"config": config, "family": str(config.get("model_type", "none"))}
    if isinstance(config.get(LAYOUT_KEY), str):
        found["layout"] = config[LAYOUT_KEY]
    if (path / SCALE_TABLES).is_file():
        found["views"] = view_sides(read_header(path / SCALE_TABLES))
    return found


def companions(path: Path, said: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fields of a card for the files beside a checkpoint's weights.

    Args:
        path: directory of the checkpoint.
        said: what a card says, which may name other files or, with null, none.

    Raises:
        CheckpointError: the file of a Region Focus Module is none.
    """
    names: dict[str, Any] = {
        key: f"{key}.safetensors"
        for key in ("rfm", "placement")
        if (path / f"{key}.safetensors").is_file()
    }
    names |= {key: said[key] for key in ("rfm", "placement") if said and key in said}
    found = {key: file for key, file in names.items() if file}
    for file in found.values():
        refuse_pointer(path / file)
    if "rfm" in found:
        found["rfm_layers"] = rfm_depth(path / found["rfm"])
    return found
