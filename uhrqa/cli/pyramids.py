"""Levels that were made of images without overviews, kept on disk unless the user says no."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from uhrqa.batch.entries import Place
from uhrqa.cli.files import cache_directory, kept_directory
from uhrqa.cli.identity import image_identity, versions
from uhrqa.cli.options import Given
from uhrqa.config import AUTO, OFF

if TYPE_CHECKING:
    from uhrqa.raster.kept_levels import KeptLevels


def kept_levels(image: Place, given: Given) -> KeptLevels | None:
    """Where the made levels of an image are kept; None where the user wants none.

    Asked before the image is opened. An image of which damaged tiles are left out is not kept: its
    answer says how many they are.

    Raises:
        OutputError: the directory that the user named cannot be made.
    """
    from uhrqa.raster.formats import is_remote
    from uhrqa.raster.kept_levels import KeptLevels

    settings = given.settings
    if settings.pyramid_cache == OFF or given.reading.masks_bad_tiles:
        return None
    wanted = settings.pyramid_cache
    directory = (
        cache_directory(settings) / "pyramids"  # made when something is kept
        if wanted in (None, AUTO)
        else kept_directory(settings, wanted, "pyramids", "--pyramid-cache")
    )
    place = image if isinstance(image, str) and is_remote(image) else Path(image)
    how = asdict(given.reading) | versions()
    told = json.dumps(how, sort_keys=True)
    first = image_identity(place) if isinstance(place, Path) and place.is_file() else None

    def owner() -> str | None:
        found = image_identity(place)
        # A file is what it was before it was opened, or nothing is kept of it.
        known = found is not None and first in (None, found)
        return f"{found} {told}" if known else None

    return KeptLevels(directory, owner, settings.pyramid_cache_gb * 10**9)
