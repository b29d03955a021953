"""Every format gives the same objects, and every bad record is named by its number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.labels.makers import (
    SHIP,
    SHIP_BOX,
    SIZE,
    TANK,
    coco,
    dota_line,
    feature,
    write_dota,
    write_fair1m,
    write_geojson,
    write_image,
    write_placed,
)
from uhrqa.errors import LabelError, RasterError, UnknownNameError
from uhrqa.labels.images import Images
from uhrqa.labels.objects import Labels, category_of
from uhrqa.labels.reading import FORMATS, read_labels

FOUR = ["coco", "dota", "fair1m", "geojson"]


def write(format: str, folder: Path) -> Path:
    """A ship and a tank on one image."""
    if format == "geojson":
        write_placed(folder / "a.tif")
        return write_geojson(
            folder / "a.geojson", feature(SHIP, "Ship"), feature(TANK, "storage-tank")
        )
    write_image(folder / "a.png")
    if format == "dota":
        lines = dota_line(SHIP, "ship"), dota_line(TANK, "storage-tank")
        return write_dota(folder / "a.txt", *lines)
    if format == "fair1m":
        return write_fair1m(folder / "1.xml", [("Ship", SHIP), ("storage_tank", TANK)], "a.png")
    rows = (
        {"category_id": 1, "bbox": [0, 0, 1, 1], "segmentation": [list(SHIP)]},
        {"category_id": 2, "bbox": [900, 900, 60, 60]},
    )
    path = folder / "all.json"
    path.write_text(json.dumps(coco(*rows)))
    return path


@pytest.mark.parametrize("format", FOUR)
def test_formats_agree_on_objects_and_sizes(format: str, tmp_path: Path) -> None:
    path = write(format, tmp_path)
    labels = read_labels(path, format, Images(tmp_path))
    (image,) = labels.images
    assert image.size == SIZE
    ship, tank = image.objects
    assert (ship.category, tank.category) == ("ship", "storage tank")
    assert ship.box == pytest.approx(SHIP_BOX, abs=0.01)
    corners = [value for point in ship.corners for value in point]
    assert corners == pytest.approx(SHIP, abs=0.01)
    assert tank.box == pytest.approx((900, 900, 960, 960), abs=0.01)
    assert (ship.x, ship.y, tank.area) == pytest.approx((155, 130, 3600), abs=1)
    assert set(labels.categories) == {"ship", "storage tank"} | (
        {"bridge"} if format == "coco" else set()
    )


def test_the_formats_tested_are_all_there_are() -> None:
    assert sorted(FORMATS) == FOUR
    with pytest.raises(UnknownNameError, match="did you mean 'coco'"):
        read_labels(Path(), "coca", Images(Path()))


def test_a_directory_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_image(tmp_path / "images" / f"{name}.png")
        write_dota(tmp_path / f"{name}.txt", dota_line(SHIP, name * 3))
    labels = read_labels(tmp_path, "dota", Images(tmp_path / "images"))
    assert [Path(image.path).name for image in labels.images] == ["a.png", "b.png"]
    assert labels.categories == ("aaa", "bbb")


def test_an_image_without_objects_is_one(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    labels = read_labels(write_dota(tmp_path / "a.txt"), "dota", Images(tmp_path))
    assert labels.images[0].objects == ()


def test_a_difficult_object_is_no_target(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    path = write_dota(tmp_path / "a.txt", dota_line(SHIP, "ship", 1), dota_line(TANK, "ship"))
    (image,) = read_labels(path, "dota", Images(tmp_path)).images
    assert [thing.is_target for thing in image.objects] == [False, True]


def test_features_beyond_the_image_are_counted_and_left_out(tmp_path: Path) -> None:
    write_placed(tmp_path / "a.tif")
    away = tuple(value + 5000 for value in TANK)
    path = write_geojson(tmp_path / "a.geojson", feature(away, "tank"), feature(SHIP, "ship"))
    labels = read_labels(path, "geojson", Images(tmp_path))
    assert [thing.category for thing in labels.images[0].objects] == ["ship"]
    assert (labels.outside, labels.categories) == (1, ("ship", "tank"))


@pytest.mark.parametrize("format", FOUR)
def test_an_object_that_is_written_twice_is_one(format: str, tmp_path: Path) -> None:
    path, other = write(format, tmp_path), tuple(value + 300 for value in SHIP)
    if format == "geojson":
        again = feature(SHIP, "ship"), feature(SHIP, "ship"), feature(other, "ship")
        write_geojson(path, *again, feature(SHIP, "tank"))
    elif format == "dota":
        lines = dota_line(SHIP, "ship"), dota_line(SHIP, "ship", 1), dota_line(other, "ship")
        write_dota(path, *lines, dota_line(SHIP, "tank"))
    elif format == "fair1m":
        objects = [("ship", SHIP), ("ship", SHIP), ("ship", other), ("tank", SHIP)]
        write_fair1m(path, objects, "a.png")
    else:
        boxes = [(1, 9), (1, 9), (1, 300), (2, 9)]
        rows = [{"id": 5, "category_id": k, "bbox": [x, 9, 40, 40]} for k, x in boxes]
        path.write_text(json.dumps(coco(*rows)))
    labels = read_labels(path, format, Images(tmp_path))
    names = [thing.category for thing in labels.images[0].objects]
    assert names == ["ship", "ship", "storage tank" if format == "coco" else "tank"]
    (told,) = labels.repeated
    assert told.endswith(("annotation 2", "line 4", "object 2", "feature 2"))


@pytest.mark.parametrize(
    ("text", "told"),
    [("{}", "a.txt: is JSON, and no lines of DOTA; try --format coco, or geojson"),
     (" [1]", "try --format coco"),
     ("<annotation/>", "is XML, and no lines of DOTA; try --format fair1m")],
)  # fmt: skip
def test_a_file_of_another_format_is_called_so(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(LabelError, match=told):
        read_labels(path, "dota", Images(tmp_path))


@pytest.mark.parametrize("name", ["A &amp; B", "a-&amp;amp;_b", "a &#38; b", "A & b"])
def test_html_entities_in_a_category_become_what_they_stand_for(name: str) -> None:
    assert category_of(name, "") == "a & b"
    assert category_of("R&D", "") == "r&d"
    assert category_of("x &unknown; y", "") == "x &unknown; y"


def test_a_crowd_makes_its_category_unclear_in_that_image(tmp_path: Path) -> None:
    path = write("coco", tmp_path)
    row = {"category_id": 1, "bbox": [0, 0, 90, 90], "iscrowd": 1}
    path.write_text(json.dumps(coco(row)))
    (image,) = read_labels(path, "coco", Images(tmp_path)).images
    assert not image.objects
    assert image.unclear == {"ship"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 2 3 4 5 6 7 8", "line 4: has 8 words"),
        ("1 2 3 4 5 6 7 x ship 0", "line 4: an outline is three or more pairs"),
        ("1 1 1 1 1 1 1 1 ship 0", "line 4: the outline '1, 1, 1, 1, 1, 1, 1, 1' encloses no area"),
        ("1 1 nan 1 9 9 1 9 ship 0", "line 4: an outline"),
        ("1 1 9 1 9 9 1 9 ship 7", "line 4: difficult is '7'"),
        ("1 1 9 1 9 9 1 9 - 0", "line 4: the category is '-'"),
        (dota_line(tuple(v + 3000 for v in SHIP), "ship"), "line 4: the object at 3100, 3100 to "),
    ],
)
def test_a_bad_line_is_named(line: str, told: str, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    path = write_dota(tmp_path / "a.txt", dota_line(SHIP, "ship"), line)
    with pytest.raises(LabelError, match=r"a\.txt: ") as caught:
        read_labels(path, "dota", Images(tmp_path))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"category_id": 9, "bbox": [0, 0, 9, 9]},
            "annotation 2: category_id 9 is not in the file",
        ),
        ({"category_id": 1, "bbox": [0, 0, 9]}, "annotation 2: bbox is [0, 0, 9]"),
        ({"category_id": 1, "bbox": [0, 0, 0, 9]}, "annotation 2: bbox is 0 x 9 px"),
        ({"category_id": 1}, "annotation 2: bbox is missing; write [x, y"),
        ({"category_id": None}, "annotation 2: category_id is missing; a COCO file has"),
        ({"category_id": 1, "image_id": 8}, "annotation 2: image_id 8 is not in the file"),
        ({"category_id": 1, "bbox": [1600, 0, 9, 9]}, "annotation 2: the object at 1600, 0"),
    ],
)
def test_a_bad_annotation_is_named(row: dict[str, Any], told: str, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    path = tmp_path / "c.json"
    path.write_text(json.dumps(coco({"category_id": 1, "bbox": [0, 0, 9, 9]}, row)))
    with pytest.raises(LabelError) as caught:
        read_labels(path, "coco", Images(tmp_path))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", "has no list 'categories'"),
        ("{", "not JSON"),
        ('{"images": [{"id": 1}], "categories": [], "annotations": []}', "image 1: file_name"),
        ('{"images": [5], "categories": [], "annotations": []}', "image 1: is no object"),
        ('{"images": [{"id": 1}, {"id": 1}], "categories": [], "annotations": []}', "image 2: id"),
    ],
)
def test_a_file_that_is_no_coco_is_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(LabelError) as caught:
        read_labels(tmp_path / "c.json", "coco", Images(tmp_path))
    assert told in str(caught.value)


def test_labels_of_another_size_are_refused(tmp_path: Path) -> None:
    path = write("fair1m", tmp_path)
    path.write_text(path.read_text().replace("<width>1500", "<width>1600"))
    with pytest.raises(LabelError, match="1600 x 1200 px, the image has 1500 x 1200 px"):
        read_labels(path, "fair1m", Images(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("<annotation>", "", "not XML"),
        ("pixel", "geographic", "object 1: its coordinates are 'geographic'"),
        ("<name>Ship</name>", "", "object 1: the category is missing"),
        ("900.0,900.0", "here", "object 2: an outline"),
    ],
)
def test_a_bad_xml_object_is_named(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = write("fair1m", tmp_path)
    path.write_text(path.read_text().replace(old, new, 2))
    with pytest.raises(LabelError) as caught:
        read_labels(path, "fair1m", Images(tmp_path))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"geometry": {"type": "Point", "coordinates": [1, 2]}},
            "feature 2: its geometry is Point",
        ),
        ({"geometry": None}, "feature 2: its geometry is missing"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "feature 2: its coordinates"),
        ({"geometry": {"type": "MultiPolygon", "coordinates": []}}, "feature 2: has 0 polygons"),
        ({"properties": {"id": 4}}, "feature 2: has none of the properties category, class"),
        (
            {"geometry": {"type": "Polygon", "coordinates": [[[500000, 1], [500009, 1], [1, 9]]]}},
            "feature 2: 500000, 1 is no longitude and latitude",
        ),
    ],
)
def test_a_bad_feature_is_named(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    write_placed(tmp_path / "a.tif")
    features = feature(SHIP, "ship"), feature(TANK, "tank") | change
    path = write_geojson(tmp_path / "a.geojson", *features)
    with pytest.raises(LabelError) as caught:
        read_labels(path, "geojson", Images(tmp_path))
    assert told in str(caught.value)


def test_geojson_in_another_system_or_without_one_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    path = write_geojson(tmp_path / "a.geojson", feature(SHIP, "ship"))
    with pytest.raises(RasterError, match="the place of its labels is not known"):
        read_labels(path, "geojson", Images(tmp_path))
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    write_geojson(path, feature(SHIP, "ship"), crs=crs)
    with pytest.raises(LabelError, match="EPSG::32633; write them in longitude and latitude"):
        read_labels(path, "geojson", Images(tmp_path))


def test_an_image_is_found_below_the_directory_or_told_to_be_missing(tmp_path: Path) -> None:
    wanted = write_image(tmp_path / "deep" / "a.png")
    assert Images(tmp_path).find("elsewhere/a.tif", "x") == (wanted, SIZE)
    assert Images(wanted).find("b.tif", "x") == (wanted, SIZE)
    with pytest.raises(LabelError, match=r"x: no image 'b' in .* \(1 images there\)"):
        Images(tmp_path).find("b", "x")
    write_image(tmp_path / "other" / "a.png")
    with pytest.raises(LabelError, match="'a' may be "):
        Images(tmp_path).find("a", "x")
    with pytest.raises(LabelError, match="not there"):
        Images(tmp_path / "none")


def test_one_image_for_two_files_is_refused(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.png")
    for name in ("x", "y"):
        write_dota(tmp_path / f"{name}.txt", dota_line(SHIP, "ship"))
    with pytest.raises(LabelError, match="twice"):
        read_labels(tmp_path, "dota", Images(image))


def test_a_missing_file_and_an_empty_directory_are_told(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no such file or directory of labels"):
        read_labels(tmp_path / "a.txt", "dota", Images(tmp_path))
    with pytest.raises(LabelError, match=r"holds no file \*.xml"):
        read_labels(tmp_path, "fair1m", Images(tmp_path))


def test_labels_read_nothing_of_an_image_but_its_size(tmp_path: Path) -> None:
    path = write("dota", tmp_path)
    picture = tmp_path / "a.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:50] + bytes(len(whole) - 50))  # the header alone is right
    assert isinstance(read_labels(path, "dota", Images(tmp_path)), Labels)
