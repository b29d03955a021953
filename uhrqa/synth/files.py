"""A scene as a file: TIFF or Zarr with overviews, written tile by tile in bounded memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
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
BIG = 3 * 2**30  # bytes of pixels from which on a BigTIFF is written
NOISE = 3.0  # deviation of a sensor's noise at strength 1, in grey levels
COMPRESSIONS = ("jpeg", "deflate")


def overview_sizes(size: Size) -> list[Size]:
    """Full size and halvings of it."""
    sizes = [size]
    while max(sizes[-1]) > 2 * SMALLEST:
        sizes.append(Size(-(-sizes[-1].h // 2), -(-sizes[-1].w // 2)))
    return sizes


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


def tiles_of(scene: SceneTruth, level: int, noise: float = 0.0) -> Iterator[np.ndarray]:
    """All tiles of a level in raster order; `[TILE, TILE, 3]` uint8."""
    size = overview_sizes(scene.size)[level]
    for row in range(-(-size.h // TILE)):
        for col in range(-(-size.w // TILE)):
            yield draw_tile(scene, level, (row, col), noise)


def write_scene(
    scene: SceneTruth,
    path: Path,
    compression: str = "jpeg",
    quality: int = QUALITY,
    noise: float = 0.0,
) -> None:
    """Write a TIFF of 512 px tiles with overviews as reduced images.

    Overviews are drawn, not resampled, so memory holds one tile at a time whatever the size.

    Args:
        scene: what to draw.
        path: the file.
        compression: one of `COMPRESSIONS`.
        quality: of JPEG, 1 to 100.
        noise: strength of the sensor's noise, in 0..1.

    Raises:
        OutputError: the file cannot be written.
    """
    import tifffile

    is_jpeg = compression == "jpeg"
    try:
        with tifffile.TiffWriter(path, bigtiff=scene.size.area * 3 > BIG) as writer:
            for index, size in enumerate(overview_sizes(scene.size)):
                writer.write(
                    tiles_of(scene, index, noise),
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


def write_zarr(scene: SceneTruth, path: Path, noise: float = 0.0) -> None:
    """Write a Zarr group, version 3, with OME-NGFF 0.5 multiscales and chunks of 512 px.

    Args:
        scene: what to draw.
        path: the directory.
        noise: strength of the sensor's noise, in 0..1.

    Raises:
        OutputError: the directory cannot be written.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    sizes = overview_sizes(scene.size)
    try:
        group = zarr.create_group(str(path), attributes={"ome": _multiscales(scene, sizes)})
        for index, size in enumerate(sizes):
            array = group.create_array(
                str(index),
                shape=(3, size.h, size.w),
                chunks=(3, TILE, TILE),
                dtype="uint8",
                compressors=[ZstdCodec(level=3)],
                dimension_names=("c", "y", "x"),
            )
            for row in range(-(-size.h // TILE)):
                for col in range(-(-size.w // TILE)):
                    y, x = row * TILE, col * TILE
                    kept = (slice(y, min(y + TILE, size.h)), slice(x, min(x + TILE, size.w)))
                    tile = draw_tile(scene, index, (row, col), noise)
                    shown = tile[: kept[0].stop - y, : kept[1].stop - x]
                    array[(slice(None), *kept)] = np.moveaxis(shown, -1, 0)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _multiscales(scene: SceneTruth, sizes: list[Size]) -> dict[str, Any]:
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    datasets = [
        {
            "path": str(index),
            "coordinateTransformations": [
                {"type": "scale",
                 "scale": [1.0, scene.size.h / size.h, scene.size.w / size.w]}
            ],
        }
        for index, size in enumerate(sizes)
    ]  # fmt: skip
    named = {"axes": axes, "datasets": datasets}
    return {"version": "0.5", "multiscales": [{"name": f"scene {scene.seed}", **named}]}


def json_lines(records: list[dict[str, Any]]) -> str:
    """Records as JSON lines."""
    text = io.StringIO()
    for record in records:
        text.write(json.dumps(record, ensure_ascii=False) + "\n")
    return text.getvalue()
