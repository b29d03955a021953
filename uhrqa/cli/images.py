"""The images of a batch: each is opened once, and what its questions share is kept between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from uhrqa.batch import Answerer, Question, Record
from uhrqa.cli.app import memory_told, with_advice
from uhrqa.cli.caching import TileCaches
from uhrqa.cli.choice import Choice
from uhrqa.cli.console import print_note
from uhrqa.cli.options import Given
from uhrqa.cli.pyramids import kept_levels

if TYPE_CHECKING:
    from uhrqa.account import Answer
    from uhrqa.raster import Raster
    from uhrqa.vlm import VisionLanguageModel

LEFT_OUT = ("image", "question", "evidence")  # the first two are the line's own


class Images:
    """Opens images for a batch, once it has the model."""

    def __init__(self, given: Given, choice: Choice, evidence: bool) -> None:
        self.given = given
        self.choice = choice
        self.evidence = evidence
        self.told = ""
        self._caches = TileCaches(given, choice)
        self.model: VisionLanguageModel | None = None

    @contextmanager
    def open(self, path: Path | str) -> Iterator[Answerer]:
        """One image, its encoded tiles and, where tokens are the same, their keys shared."""
        from uhrqa.asker import Asker
        from uhrqa.raster import open_raster
        from uhrqa.together import ask_together
        from uhrqa.vlm.prefix import Prefix

        model, choice, placing = self.model, self.choice, self.given.placing
        if model is None:
            raise RuntimeError("no model yet")
        owner = self._caches.owner(path)
        kept = kept_levels(path, self.given)
        opened = open_raster(path, self.given.reading, roi=placing.roi, kept=kept)
        with memory_told(), opened as raster:
            features = self._caches.open(owner, model.device)
            if self.given.limits:
                choice = self._fitted(raster)

            asker = Asker.of(
                model,
                features=features,
                prefix=Prefix(),
                gsd_in_prompt=placing.gsd_in_prompt,
                **choice.arguments(self.given.settings),
            )

            def answer(questions: Sequence[Question]) -> list[Record | Exception]:
                asked = [(each.text, each.choices or self.given.choices) for each in questions]
                return [self._outcome(found) for found in ask_together(asker, raster, asked)]

            yield answer

    def _outcome(self, found: Answer | Exception) -> Record | Exception:
        if isinstance(found, Exception):
            return with_advice(found)
        record = found.to_dict()
        record |= {"width": found.size.w, "height": found.size.h}
        record |= {"shown": dict(found.shown)} if found.shown else {}
        for name in ("image", "question") if self.evidence else LEFT_OUT:
            record.pop(name)
        return record

    def _fitted(self, raster: Raster) -> Choice:
        """The largest budget that fits for an image; told where it is another than before."""
        from uhrqa.cli.forecasting import fit

        choice, told = fit(self.choice, raster, self.given.settings, self.given.limits)
        if told != self.told and not self.given.quiet:
            print_note(f"uhrqa: {raster.path}: {told}")
        self.told = told
        return choice
