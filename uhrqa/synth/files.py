"""A scene as a file: a tiled TIFF with overviews, written tile by tile in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from uhrqa.errors import OutputError
from uhrqa.geometry import Box, Size
from uhrqa.synth.scene import SceneTruth
from uhrqa.synth.window import render

TILE = 512
SMALLEST = 512  # px: the coarsest overview's longer side is at most twice this
JPEG_QUALITY = 92
BIG = 3 * 2**30  # bytes of pixels from which on a BigTIFF is written


def overview_sizes(size: Size) -> list[Size]:
    """Full size and halvings of it."""
    sizes = [size]
    while max(sizes[-1]) > 2 * SMALLEST:
        sizes.append(Size(-(-sizes[-1].h // 2), -(-sizes[-1].w // 2)))
    return sizes


def tiles_of(scene: SceneTruth, size: Size) -> Iterator[np.ndarray]:
    """All tiles of a scene drawn at `size`, in raster order; `[TILE, TILE, 3]` uint8."""
    sx, sy = scene.size.w / size.w, scene.size.h / size.h
    for y in range(0, size.h, TILE):
        for x in range(0, size.w, TILE):
            box = Box(x * sx, y * sy, (x + TILE) * sx, (y + TILE) * sy)
            yield render(scene, box, Size(TILE, TILE))


def write_scene(scene: SceneTruth, path: Path, compression: str = "jpeg") -> None:
    """Write a cloud-optimised-style TIFF: 512 px tiles, overviews as reduced images.

    Overviews are drawn, not resampled, so memory holds one tile at a time whatever the size.

    Args:
        scene: what to draw.
        path: the file.
        compression: `jpeg` or `deflate`.

    Raises:
        OutputError: the file cannot be written.
    """
    import tifffile

    sizes = overview_sizes(scene.size)
    is_jpeg = compression == "jpeg"
    try:
        with tifffile.TiffWriter(path, bigtiff=scene.size.area * 3 > BIG) as writer:
            for index, size in enumerate(sizes):
                writer.write(
                    tiles_of(scene, size),
                    shape=(size.h, size.w, 3),
                    dtype="uint8",
                    tile=(TILE, TILE),
                    photometric="rgb",
                    subfiletype=int(index > 0),
                    metadata=None,
                    compression="jpeg" if is_jpeg else "adobe_deflate",
                    compressionargs={"level": JPEG_QUALITY} if is_jpeg else None,
                    predictor=not is_jpeg,
                )
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
