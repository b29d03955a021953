"""A scene as a Zarr directory: a group of version 3 with OME-NGFF 0.5 multiscales."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from uhrqa.errors import OutputError
from uhrqa.geometry import Size
from uhrqa.synth.files import TILE, draw_tile, overview_sizes
from uhrqa.synth.scene import SceneTruth

SHARD = 8  # chunks along a shard's side: one shard, 48 MB of pixels, is held at a time


def write_zarr(
    scene: SceneTruth,
    path: Path,
    noise: float = 0.0,
    shards: bool = False,
    drawn: Callable[[], None] = lambda: None,
) -> None:
    """Write arrays `[3, h, w]`, one a level, in chunks of 512 px; bounded memory whatever the size.

    Args:
        scene: what to draw.
        path: the directory.
        noise: strength of the sensor's noise, in 0..1.
        shards: put `SHARD` x `SHARD` chunks into one file, where a level has more than one chunk.
        drawn: called after each tile.

    Raises:
        OutputError: the directory cannot be written.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    sizes = overview_sizes(scene.size)
    attributes = {"ome": _multiscales(scene, sizes)}
    try:
        # In a thread, so that Ctrl-C and SIGTERM cut nothing of zarr short: its tasks would go on,
        # and might make again what is being removed.
        with ThreadPoolExecutor(1) as writer:
            group = writer.submit(zarr.create_group, str(path), attributes=attributes).result()
            for level, size in enumerate(sizes):
                side = TILE * SHARD if shards and max(size) > TILE else TILE
                array = writer.submit(
                    group.create_array,
                    str(level),
                    shape=(3, size.h, size.w),
                    chunks=(3, TILE, TILE),
                    shards=(3, side, side) if side > TILE else None,
                    dtype="uint8",
                    compressors=[ZstdCodec(level=3)],
                    dimension_names=("c", "y", "x"),
                ).result()
                for where, block in _blocks(scene, level, side, noise, drawn):
                    writer.submit(array.__setitem__, where, block).result()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _blocks(
    scene: SceneTruth, level: int, side: int, noise: float, drawn: Callable[[], None]
) -> Iterator[tuple[tuple[slice, slice, slice], np.ndarray]]:
    """What is stored as one file: its place and `[3, h, w]` pixels, cut at the level's edges."""
    size = overview_sizes(scene.size)[level]
    for y in range(0, size.h, side):
        for x in range(0, size.w, side):
            block = np.empty((3, min(side, size.h - y), min(side, size.w - x)), np.uint8)
            for v in range(0, block.shape[1], TILE):
                for u in range(0, block.shape[2], TILE):
                    tile = draw_tile(scene, level, ((y + v) // TILE, (x + u) // TILE), noise)
                    part = block[:, v : v + TILE, u : u + TILE]
                    part[:] = np.moveaxis(tile, -1, 0)[:, : part.shape[1], : part.shape[2]]
                    drawn()
            bottom, right = y + block.shape[1], x + block.shape[2]
            yield (slice(None), slice(y, bottom), slice(x, right)), block


def _multiscales(scene: SceneTruth, sizes: list[Size]) -> dict[str, Any]:
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    datasets = [
        {
            "path": str(index),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, scene.size.h / size.h, scene.size.w / size.w]}
            ],
        }
        for index, size in enumerate(sizes)
    ]
    named = {"axes": axes, "datasets": datasets}
    return {"version": "0.5", "multiscales": [{"name": f"scene {scene.seed}", **named}]}
