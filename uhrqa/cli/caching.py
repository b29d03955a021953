"""Encoded tiles of an image, kept in memory and, where the user wants it, on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from uhrqa.batch.entries import Place
from uhrqa.cli.choice import Choice
from uhrqa.cli.console import print_note
from uhrqa.cli.files import kept_directory
from uhrqa.cli.identity import features_identity, image_identity
from uhrqa.cli.options import Given
from uhrqa.config import OFF

if TYPE_CHECKING:
    import torch

    from uhrqa.features import FeatureCache

UNKNOWN = (
    "uhrqa: note: encoded tiles are not kept on disk: "
    "the server does not say when the image changes"
)


class TileCaches:
    """Makes a cache for the encoded tiles of each image of a run.

    Args:
        given: whether, where and how much is kept on disk, and how images are read.
        choice: the model.

    Raises:
        CheckpointError: what decides its features cannot be read.
        ConfigError: a device that this machine does not have.
        OutputError: the directory cannot be made.
    """

    def __init__(self, given: Given, choice: Choice) -> None:
        wanted = given.settings.feature_cache or OFF
        self._directory = (
            None
            if wanted == OFF
            else kept_directory(given.settings, wanted, "features", "--feature-cache")
        )
        self._limit = given.settings.feature_cache_gb * 10**9
        self._quiet = given.quiet
        self._run = None if self._directory is None else features_identity(given, choice)

    def owner(self, image: Place) -> str | None:
        """All that decides the features of an image; asked before the image is opened.

        None where nothing is kept on disk.
        """
        from uhrqa.raster.formats import is_remote

        if self._run is None:
            return None
        is_url = isinstance(image, str) and is_remote(image)
        found = image_identity(image if is_url else Path(image))
        return None if found is None else f"{found} {self._run}"

    def open(self, owner: str | None, device: torch.device) -> FeatureCache:
        """The cache of an image.

        Args:
            owner: of its features.
            device: where the model wants them.
        """
        from uhrqa.features import FeatureCache

        if self._directory is None:
            return FeatureCache()
        if owner is None:
            if not self._quiet:
                print_note(UNKNOWN)
            return FeatureCache()
        from uhrqa.feature_files import FeatureFiles

        return FeatureCache(store=FeatureFiles(self._directory, owner, device, self._limit))
