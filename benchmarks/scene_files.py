"""Drawn scenes as the files that benchmarks read: COG, TIFF without overviews, Zarr, PNG, JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("cog", "tiff", "zarr", "png")
EVERY_KIND = (*KINDS, "jpeg")
SEED = 7
TILE = 512
UNIT = 4096  # px, side of the scene that a repeated one is made of
JPEG: dict[str, Any] = {
    "compression": "jpeg",
    "photometric": "rgb",
    "compressionargs": {"level": 90},
}
WHOLE: dict[str, dict[str, Any]] = {".png": {"compress_level": 1}, ".jpeg": {"quality": 90}}


def write(side: int, kind: str, directory: Path) -> Path:
    """A drawn scene in a format, as it was left there or anew; the others are made of the COG.

    Args:
        side: px.
        kind: one of `EVERY_KIND`.
        directory: where it is kept.
    """
    names = {"cog": f"{side}.tif", "tiff": f"{side}-flat.tif"}
    path = directory / names.get(kind, f"{side}.{kind}")
    if path.exists():
        return path
    fresh = path.with_name(f"part-{path.name}")
    if kind == "cog":
        from uhrqa.synth import draw_scene, write_scene

        write_scene(draw_scene(SEED, side), fresh)
    elif kind == "zarr":
        _write_zarr(write(side, "cog", directory), fresh)
    else:
        _write_whole(read_whole(write(side, "cog", directory)), fresh)
    return fresh.rename(path)


def _write_whole(whole: np.ndarray, path: Path) -> None:
    if path.suffix in WHOLE:
        from PIL import Image

        Image.fromarray(whole).save(path, **WHOLE[path.suffix])
        return
    import tifffile

    tifffile.imwrite(path, whole, tile=(TILE, TILE), **JPEG)


def _write_zarr(cog: Path, path: Path) -> None:
    """The levels of a COG as OME-Zarr, in chunks of the same size."""
    import tifffile
    import zarr

    with tifffile.TiffFile(cog) as file:
        levels = [np.moveaxis(page.asarray(), -1, 0) for page in file.pages]
    first = levels[0].shape
    sets = [
        {
            "path": str(index),
            "coordinateTransformations": [
                {"type": "scale", "scale": [a / b for a, b in zip(first, level.shape, strict=True)]}
            ],
        }
        for index, level in enumerate(levels)
    ]
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    scales = [{"name": path.stem, "axes": axes, "datasets": sets}]
    group = zarr.create_group(
        str(path), attributes={"ome": {"version": "0.5", "multiscales": scales}}
    )
    for index, level in enumerate(levels):
        group.create_array(str(index), data=level, chunks=(3, TILE, TILE))


def read_whole(path: Path) -> np.ndarray:
    """All pixels of an image, `[h, w, 3]`, as its format's own library gives them."""
    if path.suffix in WHOLE:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None
        return np.asarray(Image.open(path).convert("RGB"))
    if path.suffix == ".zarr":
        import zarr

        group: Any = zarr.open(str(path), mode="r")
        return np.ascontiguousarray(np.asarray(group["0"]).transpose(1, 2, 0))
    import tifffile

    return np.asarray(tifffile.imread(path, key=0))


def stored_bytes(path: Path) -> int:
    """Encoded bytes of the whole image at full size, overviews left out."""
    if path.suffix == ".tif":
        import tifffile

        with tifffile.TiffFile(path) as file:
            page: Any = file.pages.first
            return int(sum(page.databytecounts))
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in (path / "0").rglob("*") if file.is_file())


def write_repeated(unit: np.ndarray, side: int, path: Path) -> None:
    """A COG in which a scene stands again and again, so that any size is written in seconds.

    Args:
        unit: `[UNIT, UNIT, 3]` uint8, the scene.
        side: px, a multiple of `UNIT`.
        path: the file.
    """
    import tifffile

    halvings = 1
    while side >> halvings >= 2 * TILE:
        halvings += 1
    with tifffile.TiffWriter(path, bigtiff=side > UNIT * 8) as writer:
        for level in range(halvings):
            edge = side >> level
            writer.write(
                _repeated(unit, level, edge // TILE),
                shape=(edge, edge, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                subfiletype=int(level > 0),
                metadata=None,
                **JPEG,
            )


def _repeated(unit: np.ndarray, level: int, across: int) -> Iterator[bytes]:
    """The encoded tiles of a level, each pattern encoded once."""
    from imagecodecs import jpeg_encode
    from PIL import Image

    edge = UNIT >> level
    view = np.asarray(Image.fromarray(unit).resize((edge, edge), Image.Resampling.BOX))
    times = max(1, TILE // edge)
    view = np.tile(view, (times, times, 1))
    span = len(view) // TILE
    encoded = [
        [
            bytes(jpeg_encode(view[y : y + TILE, x : x + TILE], level=90))
            for x in range(0, span * TILE, TILE)
        ]
        for y in range(0, span * TILE, TILE)
    ]
    for row in range(across):
        for col in range(across):
            yield encoded[row % span][col % span]
