"""Scenes, truth and questions of a split in a directory; a stopped run goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uhrqa.errors import OutputError
from uhrqa.geometry import Size
from uhrqa.synth.benchmark import SIDES, benchmark
from uhrqa.synth.files import QUALITY, json_lines, overview_sizes, write_scene, write_zarr
from uhrqa.synth.lrs_vqa import lrs_vqa_record
from uhrqa.synth.questions import Question
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.truth import truth_record

IMAGES, TRUTH, QUESTIONS, RECIPE = "images", "truth", "questions.jsonl", "uhr-synth.json"
VERSION = 1
BYTES_A_PIXEL = {"jpeg": 0.4, "deflate": 2.3, "zarr": 2.55}  # measured, noise 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is written.

    Attributes:
        scenes: how many.
        split: "train", "validation" or "test".
        sides: longer sides in px, taken in turn.
        per_category: questions of a category about one scene, at most.
        format: "tif" or "zarr".
        compression: of a TIFF, "jpeg" or "deflate".
        quality: of JPEG.
        noise: strength of the sensor's noise, in 0..1.
    """

    scenes: int = 10
    split: str = "test"
    sides: tuple[int, ...] = SIDES
    per_category: int = 2
    format: str = "tif"
    compression: str = "jpeg"
    quality: int = QUALITY
    noise: float = 1.0

    def drawn(self) -> Iterator[tuple[str, SceneTruth, list[Question]]]:
        """Each scene's name, the scene, and its questions."""
        found = benchmark(self.scenes, self.split, self.sides, self.per_category)
        for index, (scene, questions) in enumerate(found):
            yield f"{self.split}-{index:04d}", scene, questions

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the number of scenes left out, since more may be written later."""
        return {
            "version": VERSION,
            "split": self.split,
            "sides": list(self.sides),
            "format": self.format,
            "compression": self.compression if self.format == "tif" else "zstd",
            "quality": self.quality if (self.format, self.compression) == ("tif", "jpeg") else None,
            "per_category": self.per_category,
            "noise": self.noise,
        }

    def bytes_of(self, size: Size) -> int:
        """About how much a scene's file takes."""
        kind = "zarr" if self.format == "zarr" else self.compression
        return round(BYTES_A_PIXEL[kind] * sum(level.area for level in overview_sizes(size)))


def write_dataset(
    recipe: Recipe, folder: Path, progress: Callable[[str, bool], None] = lambda name, new: None
) -> int:
    """Write what is not there yet.

    Args:
        recipe: what is written.
        folder: made when it is not there; scenes in it that are whole are kept.
        progress: called after each scene with its file and whether it was written now.

    Returns:
        The number of questions.

    Raises:
        OutputError: the directory cannot be written, or holds another recipe's scenes.
    """
    records: list[dict[str, Any]] = []
    try:
        for name in (IMAGES, TRUTH):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _claim(folder / RECIPE, recipe)
        for name, scene, questions in recipe.drawn():
            image = f"{IMAGES}/{name}.{recipe.format}"
            new = not (folder / image).exists()
            if new:
                _write_image(recipe, scene, folder / image)
            _replace(folder / TRUTH / f"{name}.json", json.dumps(truth_record(scene), indent=1))
            for number, question in enumerate(questions):
                records.append(lrs_vqa_record(scene, question, (f"SYNTH-{name}", number), image))
            progress(image, new)
        _replace(folder / QUESTIONS, json_lines(records))
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return len(records)


def _claim(file: Path, recipe: Recipe) -> None:
    """Say whose scenes these are.

    Raises:
        OutputError: another recipe's.
    """
    wanted = json.dumps(recipe.to_dict(), indent=1)
    if not file.exists():
        _replace(file, wanted)
    elif file.read_text(encoding="utf-8") != wanted:
        raise OutputError(
            f"{file.parent}: holds scenes of other options (see {file.name}); "
            "name another directory, or give the same options to go on"
        )


def _write_image(recipe: Recipe, scene: SceneTruth, path: Path) -> None:
    """Under a name of its own first, so that a file of the right name is whole."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # of a run that was killed
        _remove(left)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if recipe.format == "zarr":
            write_zarr(scene, draft, recipe.noise)
        else:
            write_scene(scene, draft, recipe.compression, recipe.quality, recipe.noise)
        draft.rename(path)
    finally:
        _remove(draft)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
