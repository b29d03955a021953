"""Regions of interest: windows are images of their own, and know where they came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.fixtures_raster import coordinate_raster, level_raster, noise_raster
from tests.raster.test_ground import NORTH_UP, UTM, geotiff
from uhrqa.errors import ClippedRegionWarning, ConfigError, RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster, in_source, open_raster
from uhrqa.raster.ground import require_ground
from uhrqa.raster.roi import inside, read_roi

PICTURE = coordinate_raster(331, 517)


def test_a_window_shows_its_pixels_and_nothing_beyond() -> None:
    raster = open_raster(PICTURE, roi="100,50,300,150")
    assert isinstance(raster, Raster)
    assert raster.size == (100, 200)
    whole = raster.read(Box.whole(raster.size), raster.size)
    assert np.array_equal(whole.array, PICTURE[50:150, 100:300])
    assert whole.mask.all()
    edge = raster.read(Box(150, -10, 250, 40), Size(50, 100))
    assert np.array_equal(edge.array[10:, :50], PICTURE[50:90, 250:300])
    assert edge.mask.sum() == 40 * 50
    assert not edge.array[~edge.mask].any()
    assert in_source(raster, Box(1, 2, 3, 4)) == Box(101, 52, 103, 54)


def test_a_box_is_rounded_outward_and_cut_at_the_image() -> None:
    with pytest.warns(ClippedRegionWarning, match=r"to 11 x 31 px, of 31 x 699$"):
        raster = open_raster(PICTURE, roi="-20,300.5,10.2,999")
    assert raster.size == (31, 11)
    assert in_source(raster, Box(0, 0, 1, 1)) == Box(0, 300, 1, 301)


def test_coarse_views_use_the_stored_levels(tmp_path: Path) -> None:
    level_raster(tmp_path / "a.tif", Size(1024, 1024), [(Size(256, 256), 99)])
    with open_raster(tmp_path / "a.tif", roi="512,512,1024,1024") as raster:
        assert raster.levels == ((512, 512), (128, 128))
        assert set(raster.read(Box(0, 0, 512, 512), Size(128, 128)).array.ravel()) == {99}
        assert set(raster.read(Box(0, 0, 512, 512), Size(512, 512)).array.ravel()) == {10}


def test_only_the_region_of_an_image_without_overviews_is_read(tmp_path: Path) -> None:
    path, picture = tmp_path / "a.tif", noise_raster(4200, 4200)
    options: Any = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    tifffile.imwrite(path, picture, **options)
    with open_raster(path, roi="1024,1024,2048,2048") as raster:
        header = raster.bytes_read
        raster.read(Box(0, 0, 1024, 1024), Size(64, 64))  # of the whole: one pass over all of it
        assert raster.bytes_read - header == 4 * 4 * 256 * 256 * 3


TRIANGLE = np.array([(10, 10), (90, 10), (10, 90), (10, 10)], float)
HOLE = np.array([(20, 20), (30, 20), (30, 30), (20, 30), (20, 20)], float)


def test_a_polygon_holds_the_pixels_whose_centres_lie_in_it() -> None:
    found = inside([[TRIANGLE, HOLE]], Box(0, 0, 100, 100), Size(100, 100))
    y, x = np.mgrid[:100, :100] + 0.5
    expected = (x > 10) & (y > 10) & (x + y < 100)
    expected &= ~((x > 20) & (x < 30) & (y > 20) & (y < 30))
    on_edge = x + y == 100
    assert np.array_equal(found[~on_edge], expected[~on_edge])
    both = inside([[HOLE], [TRIANGLE]], Box(0, 0, 100, 100), Size(100, 100))
    assert both[25, 25]  # two polygons count together where they overlap


def geojson(path: Path, rings: list[np.ndarray], kind: str = "Polygon") -> str:
    coordinates: Any = [ring.tolist() for ring in rings]
    shape = {"type": kind, "coordinates": coordinates if kind == "Polygon" else [coordinates]}
    feature = {"type": "Feature", "geometry": shape, "properties": {}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return str(path)


@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_a_geojson_polygon_masks_what_lies_outside(tmp_path: Path, kind: str) -> None:
    image = geotiff(tmp_path / "a.tif", UTM, **NORTH_UP)
    with open_raster(image) as raster:
        ground = require_ground(raster)
    corners = np.array([(20, 10), (60, 10), (20, 50), (20, 10)], float)
    roi = geojson(tmp_path / "roi.json", [ground.to_lonlat(corners)], kind)
    with open_raster(image, roi=roi) as raster:
        assert raster.size == (40, 40)
        mask = raster.read(Box.whole(raster.size), raster.size).mask
        y, x = np.mgrid[:40, :40] + 0.5
        clear = abs(x + y - 40) > 0.01
        assert np.array_equal(mask[clear], (x + y < 40)[clear])
        middle = require_ground(raster).to_lonlat(np.array([(5.0, 5.0)]))
    assert np.allclose(middle, ground.to_lonlat(np.array([(25.0, 15.0)])))


def test_nothing_is_read_for_what_lies_outside_a_polygon(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "a.tif", UTM, **NORTH_UP)
    with open_raster(image) as raster:
        ring = require_ground(raster).to_lonlat(np.array([(0, 0), (100.0, 0), (0, 80), (0, 0)]))
    with open_raster(image, roi=geojson(tmp_path / "roi.json", [ring])) as raster:
        before = raster.bytes_read
        assert not raster.read(Box(60, 50, 100, 80), Size(30, 40)).mask.any()
        assert raster.bytes_read == before


def test_a_box_of_degrees_is_found(tmp_path: Path) -> None:
    place: Any = {"scale": (0.01, 0.01, 0), "tie": (0, 0, 0, 30.0, 50.0, 0)}
    image = geotiff(tmp_path / "a.tif", 4326, model=2, **place)
    with open_raster(image, roi="lonlat:30.1,49.5,30.3,49.9") as raster:
        x0, y0, *_ = in_source(raster, Box.whole(raster.size))
        assert abs(x0 - 10) <= 1
        assert abs(y0 - 10) <= 1
        mask = raster.read(Box.whole(raster.size), raster.size).mask
        assert mask.sum() == 20 * 40


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        ("10,10,5,20", "it is empty"),
        ("1,2,3", "cannot be read as a file"),
        ("1,2,3,-", "write x0,y0,x1,y1 in pixels"),
        ("lonlat:1,2,3", "write x0,y0,x1,y1 in pixels"),
        ("lonlat:1,2,3,91", "not degrees"),
        ("missing.geojson", "No such file"),
        ("nan,1,2,3", "cannot be read as a file"),
        ("{dir}/words.json", "not JSON"),
        ("{dir}/point.json", "no Polygon or MultiPolygon"),
        ("{dir}/bad.json", "not valid GeoJSON"),
    ],
)
def test_a_region_written_wrongly_is_told_in_a_line(tmp_path: Path, roi: str, message: str) -> None:
    (tmp_path / "words.json").write_text("no braces")
    (tmp_path / "point.json").write_text('{"type": "Point", "coordinates": [1, 2]}')
    (tmp_path / "bad.json").write_text('{"type": "Polygon", "coordinates": [[[1, 2], [3]]]}')
    with pytest.raises(ConfigError, match=message) as caught:
        read_roi(roi.format(dir=tmp_path))
    assert "\n" not in str(caught.value)


def test_a_region_elsewhere_is_told_with_its_pixels() -> None:
    with pytest.raises(ConfigError, match=r"outside the image: pixels 600.0,0.0,700.0,9.0 of 517"):
        open_raster(PICTURE, roi="600,0,700,9")


def placed_at(folder: Path, lon: float, lat: float) -> Path:
    """2.56 degrees square, its upper left corner at a place."""
    place: Any = {"scale": (0.01, 0.01, 0), "tie": (0, 0, 0, lon, lat, 0)}
    return geotiff(folder / "a.tif", 4326, model=2, **place)


def test_a_region_of_degrees_elsewhere_is_told_where_the_image_is(tmp_path: Path) -> None:
    image = placed_at(tmp_path, 30.0, 50.0)
    with pytest.raises(ConfigError, match=r"; the image spans lonlat:30,4[\d.]+,3[\d.]+,50$"):
        open_raster(image, roi="lonlat:1,2,3,4")


def test_swapped_degrees_are_noticed(tmp_path: Path) -> None:
    image = placed_at(tmp_path, 30.0, 50.0)
    swapped = r"outside the image.*lonlat:30,.*; swapped\? longitude comes first$"
    with pytest.raises(ConfigError, match=swapped):
        open_raster(image, roi="lonlat:49.5,30.1,49.9,30.3")
    ring = [(49.5, 30.1), (49.9, 30.1), (49.9, 30.3), (49.5, 30.1)]
    with pytest.raises(ConfigError, match=swapped):
        open_raster(image, roi=geojson(tmp_path / "roi.json", [np.array(ring)]))
    with pytest.raises(ConfigError, match="not degrees, longitude first"):
        read_roi("lonlat:10,120,11,121")


def test_degrees_need_an_image_with_a_place() -> None:
    with pytest.raises(RasterError, match="where the region lies in the image is not known"):
        open_raster(PICTURE, roi="lonlat:1,2,3,4")
