"""Examples as a Region Focus Module meets them in RFM-DIP: thumbnail, tiles, question."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from uhrqa.batch.entries import Place
from uhrqa.distill.examples import SHELF, Example
from uhrqa.errors import QuestionError, UhrqaError
from uhrqa.features import FeatureCache
from uhrqa.pyramid import Level
from uhrqa.raster import open_raster
from uhrqa.relevance_pass import Reading
from uhrqa.scene import Scene
from uhrqa.strategies.rfm_dip import RfmDip, most_relevant, rank_tiles
from uhrqa.vlm import VisionLanguageModel

CACHE_BYTES = 2**33  # of encoded tiles, over all images


@dataclass
class Reader:
    """Reads examples through a model, and keeps tiles of the images it met last.

    Args:
        model: what encodes; its own attention chooses tiles.
        teacher: decoder layer whose attention that is.
        levels: deepest pyramid level that is read.
        tiles: of a level from 2 on, at most.
    """

    model: VisionLanguageModel
    teacher: int
    levels: int = 1
    tiles: int = 8

    def __post_init__(self) -> None:
        self._caches: OrderedDict[Place, FeatureCache] = OrderedDict()

    def check(self, examples: list[Example]) -> None:
        """Refuse questions that cannot be asked, before anything is trained.

        Raises:
            QuestionError: with the line.
        """
        for example in examples:
            try:
                self.model.build_prompt(example.text)
            except QuestionError as error:
                raise QuestionError(f"{example.where}: {error}") from error

    def read(self, example: Example, draw: tuple[int, ...] | None = None) -> Reading:
        """One example, ready for decoder and module.

        Args:
            example: the question.
            draw: numbers the level is drawn from, of those up to `levels`; level 1 when None.

        Raises:
            UhrqaError: the image cannot be read, or the question leaves no room; with the line.
        """
        try:
            with open_raster(example.place) as raster:
                cache = self._cache(example.place)
                scene = Scene(raster, self.model, example.text, features=cache)
                deepest = min(self.levels, scene.pyramid.finest.index)
                wanted = 1
                if draw is not None and deepest > 1:
                    wanted = int(np.random.default_rng(list(draw)).integers(1, deepest + 1))
                found = self._descend(scene, scene.pyramid[wanted])
        except UhrqaError as error:
            error.args = (f"{example.where}: {error}",)
            raise
        self._trim()
        return plain(found)

    def _descend(self, scene: Scene, wanted: Level) -> Reading:
        """From level 1 down, into the tiles the teacher attends to."""
        pyramid, zoom_ratio = scene.pyramid, RfmDip().zoom_ratio
        thumbnail, tokens = scene.tokens(pyramid.thumbnail), scene.tokens(pyramid[1])
        for level in pyramid.levels[2 : wanted.index + 1]:
            scores = scene.relevance(tokens, thumbnail, source="llm", layer=self.teacher)
            best = most_relevant(scores, zoom_ratio, 1.0)
            hit = rank_tiles(tokens.take(best), scores[best], level)
            tokens = scene.tokens(level, hit[: self.tiles])
        return scene.reader.lay_out(tokens, thumbnail)

    def _cache(self, path: Place) -> FeatureCache:
        """The image's encoded tiles; one that changed on disk is not noticed."""
        cache = self._caches.setdefault(path, FeatureCache(CACHE_BYTES // SHELF))
        self._caches.move_to_end(path)
        return cache

    def _trim(self) -> None:
        while len(self._caches) > 1 and sum(c.held for c in self._caches.values()) > CACHE_BYTES:
            self._caches.popitem(last=False)


def plain(reading: Reading) -> Reading:
    """The same with tensors that gradients may be computed with, and without the tokens' features.

    Those made in inference mode cannot be kept for a backward pass.
    """
    sequence, tokens = reading.sequence, reading.tokens
    copies: dict[str, Any] = {
        name: None if value is None else value.clone()
        for name, value in (
            ("embeds", sequence.embeds),
            ("visual", sequence.visual),
            ("positions", sequence.positions),
            ("deep", sequence.deep),
        )
    }
    bare = replace(tokens, embed=torch.zeros(len(tokens), 0))
    return Reading(replace(sequence, **copies), reading.columns.clone(), bare)
