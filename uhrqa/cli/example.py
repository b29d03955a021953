"""The example scene that `uhrqa profile` uses when no image is named; drawn once, then cached."""

from __future__ import annotations

import os
from pathlib import Path

from uhrqa.cli.console import print_note
from uhrqa.config import Settings
from uhrqa.errors import OutputError
from uhrqa.geometry import Box, Size

SEED = 7
SIDE = 8192
BLOCK = 512
OVERVIEWS = 4
QUESTION = "how many vehicles are there?"


def example_scene(settings: Settings, quiet: bool) -> tuple[str, str]:
    """Path of the scene, drawn when it is not there yet, and a question about it.

    Raises:
        OutputError: the cache directory cannot be written.
    """
    path = _cache(settings) / f"example-{SEED}-{SIDE}.tif"
    if not path.is_file():
        if not quiet:
            print_note(f"uhrqa: note: drawing the example scene once, {SIDE} x {SIDE} px: {path}")
        fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _draw(fresh)
            fresh.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        finally:
            fresh.unlink(missing_ok=True)
    return str(path), QUESTION


def _cache(settings: Settings) -> Path:
    if settings.cache:
        return Path(settings.cache)
    from platformdirs import user_cache_path

    return user_cache_path("uhrqa", appauthor=False)


def _draw(path: Path) -> None:
    """A tiled TIFF with overviews, block by block; never the whole scene in memory."""
    import tifffile

    from uhrqa.synth.render import render
    from uhrqa.synth.scene import draw_scene

    scene = draw_scene(SEED, SIDE)
    with tifffile.TiffWriter(path) as tif:
        for step in range(OVERVIEWS + 1):
            side = SIDE >> step
            block = BLOCK << step
            boxes = (
                Box(x, y, x + block, y + block)
                for y in range(0, SIDE, block)
                for x in range(0, SIDE, block)
            )
            tif.write(
                (render(scene, box, Size(BLOCK, BLOCK)) for box in boxes),
                shape=(side, side, 3),
                dtype="uint8",
                tile=(BLOCK, BLOCK),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 90},
                subifds=OVERVIEWS if step == 0 else None,
                subfiletype=0 if step == 0 else 1,
                metadata=None,
            )
