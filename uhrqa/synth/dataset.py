"""Scenes, truth and questions of a split in a directory; a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from uhrqa import __version__
from uhrqa.aside import draft_of
from uhrqa.errors import OutputError
from uhrqa.geometry import Size
from uhrqa.synth.benchmark import SIDES, benchmark
from uhrqa.synth.files import QUALITY, json_lines, overview_sizes, tile_count, write_scene
from uhrqa.synth.lrs_vqa import lrs_vqa_record, question_id
from uhrqa.synth.questions import Question
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.truth import truth_record
from uhrqa.synth.zarr_file import write_zarr

IMAGES, TRUTH, QUESTIONS, RECIPE = "images", "truth", "questions.jsonl", "uhr-synth.json"
VERSION = 2
LOSSLESS = {"deflate": (1.0, 1.85), "zarr": (1.6, 2.15)}
"""Bytes a pixel, measured, without noise and with all of it."""
JPEG = ((1, 60, 75, 85, 92, 100), (0.045, 0.1, 0.15, 0.21, 0.32, 1.0))
"""Qualities, and bytes a pixel at each, measured with noise; without, it is four fifths."""


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
        shards: of a Zarr, many chunks to a file.
        first: index of the first scene within the split.
    """

    scenes: int = 10
    split: str = "test"
    sides: tuple[int, ...] = SIDES
    per_category: int = 2
    format: str = "tif"
    compression: str = "jpeg"
    quality: int = QUALITY
    noise: float = 1.0
    shards: bool = False
    first: int = 0

    def drawn(self) -> Iterator[tuple[int, SceneTruth, list[Question]]]:
        """Each scene's index, the scene, and its questions."""
        found = benchmark(self.scenes, self.split, self.sides, self.per_category, self.first)
        for index, (scene, questions) in enumerate(found, self.first):
            yield index, scene, questions

    def name(self, index: int) -> str:
        """Of a scene, as its files have it."""
        return f"{self.split}-{index:04d}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the number of scenes left out, since more may be written later."""
        return {
            "version": VERSION,
            "uhrqa": __version__,
            "split": self.split,
            "sides": list(self.sides),
            "format": self.format,
            "compression": self.compression if self.format == "tif" else "zstd",
            "quality": self.quality if (self.format, self.compression) == ("tif", "jpeg") else None,
            "per_category": self.per_category,
            "noise": self.noise,
            "shards": self.shards and self.format == "zarr",
            "first": self.first,
        }

    def bytes_of(self, size: Size) -> int:
        """About how much a scene's file takes."""
        kind = "zarr" if self.format == "zarr" else self.compression
        if kind in LOSSLESS:
            plain, noisy = LOSSLESS[kind]
        else:
            noisy = float(np.interp(self.quality, *JPEG))
            plain = 0.8 * noisy
        rate = plain + self.noise * (noisy - plain)
        return round(rate * sum(level.area for level in overview_sizes(size)))


def write_dataset(
    recipe: Recipe,
    folder: Path,
    progress: Callable[[str, bool], None] = lambda image, new: None,
    drawn: Callable[[str, int, int], None] = lambda image, done, tiles: None,
) -> int:
    """Write what is not there yet.

    Args:
        recipe: what is written.
        folder: made when it is not there; scenes in it that are whole are kept.
        progress: called after each scene with its file and whether it was written now.
        drawn: called after each tile with the file, the tiles that are drawn and those it has.

    Returns:
        The number of questions about these scenes; those about others of the same recipe stay.

    Raises:
        OutputError: the directory cannot be written, holds another recipe's scenes, or something
            that is none of ours.
    """
    records: list[dict[str, Any]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder / RECIPE, recipe)
        for name in (IMAGES, TRUTH):
            (folder / name).mkdir(exist_ok=True)
        for index, scene, questions in recipe.drawn():
            image = f"{IMAGES}/{recipe.name(index)}.{recipe.format}"
            truth = folder / TRUTH / f"{recipe.name(index)}.json"
            text = json.dumps(truth_record(scene), indent=1)
            new = not ((folder / image).exists() and _holds(truth, text))
            if new:
                _write_image(recipe, scene, folder / image, drawn)
                _replace(truth, text)  # behind the image: where it is right, so is the image
            for number, question in enumerate(questions):
                id_ = question_id(recipe.split, index, number)
                records.append(lrs_vqa_record(scene, question, id_, image))
            progress(image, new)
        others = _others(folder / QUESTIONS, {record["image"] for record in records})
        _replace(folder / QUESTIONS, json_lines([*records, *others]))
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
        foreign = [path.name for path in file.parent.iterdir() if not path.name.startswith(".")]
        if foreign:
            raise OutputError(
                f"{file.parent}: holds other files ({', '.join(sorted(foreign)[:3])}); "
                "name a new or an empty directory"
            )
        _replace(file, wanted)
    elif file.read_text(encoding="utf-8") != wanted:
        raise OutputError(
            f"{file.parent}: holds scenes of other options or another version (see {file.name}); "
            "name another directory, or give the same options to go on"
        )


def _others(file: Path, images: set[str]) -> list[dict[str, Any]]:
    """Questions written before about scenes that are not among these, in their order."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [record for line in lines if (record := json.loads(line))["image"] not in images]


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == text
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _write_image(
    recipe: Recipe, scene: SceneTruth, path: Path, drawn: Callable[[str, int, int], None]
) -> None:
    numbers, tiles = count(1), tile_count(scene.size)

    def tell() -> None:
        drawn(path.name, next(numbers), tiles)

    old = [path] if path.is_dir() else []
    with draft_of(path, old, alone=True) as draft:
        if recipe.format == "zarr":
            write_zarr(scene, draft, recipe.noise, recipe.shards, tell)
        else:
            write_scene(scene, draft, recipe.compression, recipe.quality, recipe.noise, tell)


def _replace(path: Path, text: str) -> None:
    with draft_of(path, alone=True) as draft:
        draft.write_text(text, encoding="utf-8")
