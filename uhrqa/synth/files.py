"""A scene as a TIFF with overviews, written tile by tile in bounded memory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from uhrqa.errors import OutputError
from uhrqa.geometry import Box, Size
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.window import render

TILE = 512
SMALLEST = 512  # px: the coarsest overview's longer side is at most twice this
QUALITY = 92
CLASSIC = 2**32 - 2**25  # bytes of pixels, all levels, that fit a classic TIFF with its tables
NOISE = 3.0  # deviation of a sensor's noise at strength 1, in grey levels
COMPRESSIONS = ("jpeg", "deflate")


def overview_sizes(size: Size) -> list[Size]:
    """Full size and halvings of it."""
    sizes = [size]
    while max(sizes[-1]) > 2 * SMALLEST:
        sizes.append(Size(-(-sizes[-1].h // 2), -(-sizes[-1].w // 2)))
    return sizes


def tile_count(size: Size) -> int:
    """Tiles of all levels of a scene of this size."""
    return sum(-(-h // TILE) * -(-w // TILE) for h, w in overview_sizes(size))


def needs_bigtiff(size: Size) -> bool:
    """Whether the tiles, should they not compress at all, pass the reach of 32-bit offsets."""
    return 3 * TILE**2 * tile_count(size) > CLASSIC


def draw_tile(scene: SceneTruth, level: int, at: tuple[int, int], noise: float) -> np.ndarray:
    """A tile of a level as a sensor sees it; the same whatever was drawn before.

    Args:
        scene: what to draw.
        level: 0 is full resolution.
        at: its row and column.
        noise: strength; a coarser level has half as much as the one below it, as if averaged.

    Returns:
        `[TILE, TILE, 3]` uint8.
    """
    size = overview_sizes(scene.size)[level]
    sx, sy = scene.size.w / size.w, scene.size.h / size.h
    y, x = at[0] * TILE, at[1] * TILE
    box = Box(x * sx, y * sy, (x + TILE) * sx, (y + TILE) * sy)
    pixels = render(scene, box, Size(TILE, TILE))
    strength = noise * NOISE / 2**level
    if strength < 0.25:
        return pixels
    grain = np.random.default_rng([7, scene.seed, level, *at]).normal(0, strength, pixels.shape)
    return np.asarray(np.clip(np.rint(pixels + grain), 0, 255), dtype=np.uint8)


def tiles_of(
    scene: SceneTruth, level: int, noise: float = 0.0, drawn: Callable[[], None] = lambda: None
) -> Iterator[np.ndarray]:
    """All tiles of a level in raster order, `[TILE, TILE, 3]` uint8; `drawn` is called for each."""
    size = overview_sizes(scene.size)[level]
    for row in range(-(-size.h // TILE)):
        for col in range(-(-size.w // TILE)):
            yield draw_tile(scene, level, (row, col), noise)
            drawn()


def write_scene(
    scene: SceneTruth,
    path: Path,
    compression: str = "jpeg",
    quality: int = QUALITY,
    noise: float = 0.0,
    drawn: Callable[[], None] = lambda: None,
) -> None:
    """Write a TIFF of 512 px tiles with overviews as reduced images.

    Overviews are drawn, not resampled, so memory holds one tile at a time whatever the size.

    Args:
        scene: what to draw.
        path: the file.
        compression: one of `COMPRESSIONS`.
        quality: of JPEG, 1 to 100.
        noise: strength of the sensor's noise, in 0..1.
        drawn: called after each tile.

    Raises:
        OutputError: the file cannot be written.
    """
    import tifffile

    is_jpeg = compression == "jpeg"
    try:
        with tifffile.TiffWriter(path, bigtiff=needs_bigtiff(scene.size)) as writer:
            for index, size in enumerate(overview_sizes(scene.size)):
                writer.write(
                    tiles_of(scene, index, noise, drawn),
                    shape=(size.h, size.w, 3),
                    dtype="uint8",
                    tile=(TILE, TILE),
                    photometric="rgb",
                    subfiletype=int(index > 0),
                    metadata=None,
                    datetime=None,
                    software=False,
                    compression="jpeg" if is_jpeg else "adobe_deflate",
                    compressionargs={"level": quality} if is_jpeg else None,
                    predictor=not is_jpeg,
                )
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def json_lines(records: list[dict[str, Any]]) -> str:
    """Records as JSON lines."""
    text = io.StringIO()
    for record in records:
        text.write(json.dumps(record, ensure_ascii=False) + "\n")
    return text.getvalue()
