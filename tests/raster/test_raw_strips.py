"""Uncompressed TIFF images in strips on servers: few requests, no byte twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.fixtures_raster import noise_raster
from tests.servers import serving
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster, requests_made, shown
from uhrqa.raster.foreseen import bytes_to_read
from uhrqa.reading import Reading
from uhrqa.tile_pixels import TilePixels

TILED: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "metadata": None}


@pytest.mark.parametrize("masked", [False, True])
def test_contrast_of_uncompressed_strips_takes_each_row_once(tmp_path: Path, masked: bool) -> None:
    size = Size(700, 1800)
    values = np.random.default_rng(0).integers(0, 4000, size).astype(np.uint16)
    values[:, 300:] += 9000
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack", rowsperstrip=100, metadata=None)
    if masked:
        image = np.zeros(size, bool)
        image[:, :300] = True
        tifffile.imwrite(tmp_path / "a.tif.msk", image, photometric="mask", subfiletype=4, **TILED)
    reading = Reading(stretch=(2.0, 98.0))
    with (
        serving(tmp_path) as server,
        open_raster(f"{server.url}/a.tif", reading) as raster,
        open_raster(path, reading) as local,
    ):
        limits = shown(raster)["limits"]
        assert limits == shown(local)["limits"]
        assert (limits[0][1] < 4000) == masked
        assert raster.bytes_read < 1.1 * path.stat().st_size
        assert requests_made(raster) < 40


@pytest.mark.parametrize("rows_a_strip", [400, 1])
def test_tiles_of_uncompressed_strips_share_whole_rows(tmp_path: Path, rows_a_strip: int) -> None:
    path, side, wide = tmp_path / "a.tif", 100, 1800  # rows further apart than `GAP`
    options: Any = {"photometric": "rgb", "rowsperstrip": rows_a_strip, "metadata": None}
    tifffile.imwrite(path, noise_raster(400, wide), **options)
    boxes = [
        Box(x, y, x + side, y + side) for y in range(0, 400, side) for x in range(0, wide, side)
    ]
    places = [((0, number), box) for number, box in enumerate(boxes)]
    with (
        serving(tmp_path) as server,
        open_raster(f"{server.url}/a.tif") as raster,
        open_raster(path) as local,
    ):
        told = bytes_to_read(raster, [(box, Size(side, side)) for box in boxes])
        read, asked = raster.bytes_read, requests_made(raster)
        tiles, same = (TilePixels(one).read(places, Size(side, side)) for one in (raster, local))
        assert all(np.array_equal(a.array, b.array) for a, b in zip(tiles, same, strict=True))
        assert raster.bytes_read - read == told == 400 * wide * 3
        assert requests_made(raster) - asked == 400 / side


def test_rows_that_are_too_long_to_be_shared_are_read_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uhrqa.raster.raw_strips.WHOLE_ROWS", 100 * 1800 * 3 - 1)
    options: Any = {"photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", noise_raster(400, 1800), **options)
    with serving(tmp_path) as server, open_raster(f"{server.url}/a.tif") as raster:
        read = raster.bytes_read
        raster.read(Box(0, 0, 100, 100), Size(100, 100))
        assert raster.bytes_read - read == 100 * 100 * 3
