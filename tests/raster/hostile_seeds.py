"""Small valid files of every kind, to be damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import tifffile
import zarr
from PIL import Image

from tests.fixtures_raster import coordinate_raster, noise_raster

Seed = tuple[Path, list[Path]]  # what is opened, and the files that may be damaged
DEEP = (coordinate_raster(70, 90).astype(np.uint16) * 40)[..., :3]
TIFFS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "deflate": (noise_raster(70, 90) // 16, {"compression": "zlib", "predictor": 2}),
    "lzw16": (DEEP, {"tile": None, "rowsperstrip": 16, "compression": "lzw", "predictor": 2}),
    "zstd": (noise_raster(70, 90) // 16, {"compression": "zstd"}),
    "jpeg": (coordinate_raster(70, 90), {"compression": "jpeg"}),
    "webp": (coordinate_raster(70, 90), {"compression": "webp"}),
    "jpeg2000": (coordinate_raster(70, 90), {"compression": "jpeg2000"}),
    "jpegxl": (coordinate_raster(70, 90), {"compression": "jpegxl"}),
    "lerc": (DEEP.astype(np.float32), {"compression": "lerc"}),
    "lzma": (noise_raster(70, 90) // 16, {"compression": "lzma"}),
    "packbits": (coordinate_raster(70, 90), {"compression": "packbits"}),
    "raw": (coordinate_raster(70, 90), {"tile": None, "rowsperstrip": 20, "byteorder": ">"}),
    "big": (coordinate_raster(70, 90), {"bigtiff": True}),
    "float": (DEEP.astype(np.float32), {"compression": "zlib", "predictor": 3}),
    "planar": (np.moveaxis(DEEP, 2, 0), {"planarconfig": "separate", "compression": "zlib"}),
    "cmyk": (
        np.dstack([coordinate_raster(70, 90), noise_raster(70, 90)[..., :1]]),
        {"photometric": "separated", "compression": "zlib"},
    ),
    "palette": (
        noise_raster(70, 90)[..., 0],
        {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)},
    ),
    "bilevel": (noise_raster(70, 90)[..., 0] > 99, {"photometric": "miniswhite"}),
    "nodata": (DEEP, {"extratags": [(42113, "s", 0, "0", True)], "compression": "zlib"}),
}


def write_seeds(folder: Path) -> dict[str, Seed]:
    """Write all seeds: name to what is opened and what may be damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds: dict[str, Seed] = {}
    for name, (array, options) in TIFFS.items():
        path = folder / f"{name}.tif"
        options = {"photometric": "rgb", "tile": (32, 32), "metadata": None, **options}
        tifffile.imwrite(path, array, **options)
        seeds[f"tiff-{name}"] = path, [path]
    seeds["tiff-levels"] = _with_levels(folder / "levels.tif")
    seeds |= _images(folder)
    seeds |= _stores(folder)
    return seeds


def _with_levels(path: Path) -> Seed:
    array = coordinate_raster(64, 96)
    with tifffile.TiffWriter(path) as tif:
        for step in (1, 2):
            part, kind = array[::step, ::step], 0 if step == 1 else 1
            options: dict[str, Any] = {"tile": (32, 32), "compression": "zlib", "metadata": None}
            tif.write(part, photometric="rgb", subfiletype=kind, **options)
            tif.write(part[..., 0] > 9, photometric="mask", subfiletype=kind + 4, **options)
    return path, [path]


def _images(folder: Path) -> dict[str, Seed]:
    picture = Image.fromarray(coordinate_raster(70, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "a.png", exif=exif)
    picture.convert("P").save(folder / "palette.png", transparency=3)
    picture.save(folder / "a.jpg", exif=exif)
    picture.save(folder / "progressive.jpg", progressive=True)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(DEEP))
    names = ("a.png", "palette.png", "a.jpg", "progressive.jpg", "cmyk.jpg", "deep.png")
    return {name: (folder / name, [folder / name]) for name in names}


def _stores(folder: Path) -> dict[str, Seed]:
    kinds: dict[str, dict[str, Any]] = {
        "zarr3": {"chunks": (32, 32, 3)},
        "zarr3-shards": {"chunks": (16, 16, 3), "shards": (64, 64, 3)},
        "zarr2": {
            "chunks": (32, 32, 3),
            "zarr_format": 2,
            "compressors": numcodecs.Blosc(),
        },
    }
    seeds: dict[str, Seed] = {}
    for name, options in kinds.items():
        path = folder / name
        zarr.create_array(store=str(path), data=DEEP, overwrite=True, **options)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        seeds[name] = path, files
    return seeds
