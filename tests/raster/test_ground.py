"""Where images lie: against coordinates worked by hand and pyproj's own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster
from uhrqa.raster.ground import Ground, require_ground

UTM = 32633  # central meridian 15 degrees east, where x = 500000
SCALE, TIE, MATRIX, KEYS = 33550, 33922, 34264, 34735


def geotiff(path: Path, code: int, *, model: int = 1, point: bool = False, **place: Any) -> Path:
    """A GeoTIFF of 100 x 80 px; `place` gives scale, tie or matrix."""
    key = {1: 3072, 2: 2048}[model]
    keys = [1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, 2 if point else 1, key, 0, 1, code]
    tags: list[Any] = [(KEYS, 3, len(keys), keys, True)]
    for name, number in (("scale", SCALE), ("tie", TIE), ("matrix", MATRIX)):
        if name in place:
            tags.append((number, 12, len(place[name]), place[name], True))
    pixels = np.zeros((80, 100, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, extratags=tags)
    return path


NORTH_UP: Any = {"scale": (2, 2, 0), "tie": (0, 0, 0, 500_000, 5_500_000, 0)}


def test_a_geographic_image_is_where_its_tie_point_says(tmp_path: Path) -> None:
    place: Any = {"scale": (0.01, 0.02, 0), "tie": (10, 20, 0, 30.0, 50.0, 0)}
    with open_raster(geotiff(tmp_path / "a.tif", 4326, model=2, **place)) as raster:
        ground = require_ground(raster)
    assert ground.name == "EPSG:4326"
    lonlat = ground.to_lonlat(np.array([(10, 20), (11, 21), (0, 0)], float))
    assert np.allclose(lonlat, [(30, 50), (30.01, 49.98), (29.9, 50.4)])


def test_a_pixel_that_is_a_point_lies_half_a_pixel_further(tmp_path: Path) -> None:
    place: Any = {"scale": (0.01, 0.02, 0), "tie": (0, 0, 0, 30.0, 50.0, 0)}
    with open_raster(geotiff(tmp_path / "a.tif", 4326, model=2, point=True, **place)) as raster:
        lonlat = require_ground(raster).to_lonlat(np.array([(0, 0), (0.5, 0.5)]))
    assert np.allclose(lonlat, [(29.995, 50.01), (30, 50)])


def test_a_projected_image_lies_at_its_meridian_and_comes_back(tmp_path: Path) -> None:
    with open_raster(geotiff(tmp_path / "a.tif", UTM, **NORTH_UP)) as raster:
        ground = require_ground(raster)
    points = np.array([(0, 0), (0, 40), (70.5, 3.25)])
    lonlat = ground.to_lonlat(points)
    assert np.allclose(lonlat[:2, 0], 15)
    # The meridian's arc to 49.65254 N is 5502200.9 m, by 0.9996 the northing.
    assert lonlat[0, 1] == pytest.approx(49.65254, abs=1e-5)
    assert np.allclose(ground.to_pixels(lonlat), points, atol=1e-6)
    across, down = ground.sample_distance(Size(80, 100))
    assert across == pytest.approx(2 / 0.9996, rel=1e-4)  # the scale on UTM's central meridian
    assert down == pytest.approx(2 / 0.9996, rel=1e-4)


def test_a_rotated_transform_is_followed(tmp_path: Path) -> None:
    matrix = (0, 3, 0, 500_000, 3, 0, 0, 5_500_000, 0, 0, 0, 0, 0, 0, 0, 1)  # rows go east
    with open_raster(geotiff(tmp_path / "a.tif", UTM, matrix=matrix)) as raster:
        ground = require_ground(raster)
    assert ground.is_rotated
    corner, along_row, along_col = ground.to_lonlat(np.array([(0, 0), (10.0, 0), (0, 10.0)]))
    assert along_row[1] > corner[1]
    assert along_row[0] == pytest.approx(corner[0])
    assert along_col[0] > corner[0]
    assert np.allclose(ground.to_pixels(ground.to_lonlat(np.array([(7.0, 9.0)]))), [(7, 9)])


def test_rings_are_closed_and_counter_clockwise_for_either_orientation() -> None:
    for step in (-1.0, 1.0):  # north up, south up
        ground = Ground("EPSG:4326", (1, 0, 0, 0, step, 0))
        (ring,) = ground.rings([Box(1, 2, 4, 6)])
        assert ring[0] == ring[-1]
        assert len(ring) == 5
        assert {tuple(point) for point in ring} == {(x, step * y) for x in (1, 4) for y in (2, 6)}
        area = sum(p[0] * q[1] - q[0] * p[1] for p, q in pairwise(ring))
        assert area == 2 * 12


@pytest.mark.parametrize(
    ("code", "place", "message"),
    [
        (32767, NORTH_UP, "no EPSG code; GDAL may know it: pip install"),
        (UTM, {}, "no transform, at most ground control points; warp it"),
        (UTM, {"tie": (0, 0, 0, 5e5, 5e6, 0) * 4}, "at most ground control points"),
        (UTM, {**NORTH_UP, "scale": (0, 2, 0)}, "maps all pixels to a line"),
        (9, NORTH_UP, "reference system cannot be used"),
        (UTM, {**NORTH_UP, "tie": (0, 0, 0, 1e300, 1e300, 0)}, "no longitude and latitude"),
    ],
)
def test_what_cannot_be_placed_says_why(tmp_path: Path, code: int, place: Any, message: str):
    path = geotiff(tmp_path / "a.tif", code, **place)
    with open_raster(path) as raster, pytest.raises(RasterError, match=message) as caught:
        require_ground(raster)
    assert "\n" not in str(caught.value)


def test_an_image_without_georeferencing_says_so() -> None:
    with pytest.raises(RasterError, match="holds no georeferencing; ask about a GeoTIFF"):
        require_ground(open_raster(np.zeros((8, 8, 3), np.uint8)))


AFFINE = [2.0, 0.0, 500_000.0, 0.0, -2.0, 5_500_000.0]
PLACED = {"proj:code": "EPSG:32633", "spatial:transform": AFFINE}


def zarr_image(path: Path, group: dict[str, Any], array: dict[str, Any]) -> Path:
    root = zarr.open_group(path, mode="w", attributes=group)
    root.create_array("0", data=np.zeros((80, 100, 3), np.uint8), attributes=array)
    root.create_array("1", data=np.zeros((40, 50, 3), np.uint8))
    return path


@pytest.mark.parametrize(
    ("group", "array"),
    [
        (PLACED, {}),
        ({}, PLACED),
        (
            {
                "proj:code": "EPSG:32633",
                "multiscales": {"layout": [{"asset": "0", "spatial:transform": AFFINE}]},
            },
            {},
        ),
    ],
)
def test_geozarr_attributes_are_read(tmp_path: Path, group: Any, array: Any) -> None:
    with open_raster(zarr_image(tmp_path / "a.zarr", group, array)) as raster:
        assert require_ground(raster) == Ground("EPSG:32633", (2, 0, 5e5, 0, -2, 5.5e6))


def test_a_cf_grid_mapping_is_read(tmp_path: Path) -> None:
    from pyproj import CRS

    path = zarr_image(tmp_path / "a.zarr", {}, {"grid_mapping": "spatial_ref"})
    mapping: Any = {"crs_wkt": CRS(UTM).to_wkt(), "GeoTransform": "500000 2 0 5500000 0 -2"}
    zarr.open_group(path).create_array("spatial_ref", shape=(), dtype="int64", attributes=mapping)
    with open_raster(path) as raster:
        ground = require_ground(raster)
        assert ground.affine == tuple(AFFINE)
        assert ground.name == "WGS 84 / UTM zone 33N"


def test_damaged_attributes_do_not_keep_from_the_pixels(tmp_path: Path) -> None:
    path = zarr_image(tmp_path / "a.zarr", {"proj:code": "EPSG:4326", "spatial:transform": 3}, {})
    with open_raster(path) as raster:
        assert raster.size == (80, 100)
        with pytest.raises(RasterError, match="attributes cannot be read"):
            require_ground(raster)
