"""Images of one colour and labels of every format, for the same objects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from uhrqa.geometry import Size
from uhrqa.labels.objects import Labelled, LabelledImage

SIZE = Size(1200, 1500)
SHIP = (100.0, 120.0, 200.0, 100.0, 210.0, 140.0, 110.0, 160.0)  # x, y of four corners, turned
SHIP_BOX = [100, 100, 210, 160]
TANK = (900.0, 900.0, 960.0, 900.0, 960.0, 960.0, 900.0, 960.0)
UTM = 32633
PIXEL = 2.0  # metres
WEST, NORTH = 500000.0, 5300000.0


def write_image(path: Path, size: Size = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size.w, size.h), (90, 90, 90)).save(path)
    return path


def write_placed(path: Path) -> Path:
    """A GeoTIFF of `SIZE` in UTM zone 33 with pixels of 2 m."""
    tags = [
        (33550, "d", 3, (PIXEL, PIXEL, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, WEST, NORTH, 0.0), True),
        (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, UTM), True),
    ]
    tifffile.imwrite(
        path, np.full((*SIZE, 3), 90, np.uint8), photometric="rgb", tile=(256, 256), extratags=tags
    )
    return path


def lonlat(points: tuple[float, ...]) -> list[list[float]]:
    """A closed ring of pixels of that image in longitude and latitude."""
    from pyproj import Transformer

    there = Transformer.from_crs(UTM, 4326, always_xy=True)
    ring = [
        list(there.transform(WEST + PIXEL * x, NORTH - PIXEL * y))
        for x, y in zip(points[::2], points[1::2], strict=True)
    ]
    return [*ring, ring[0]]


def write_dota(path: Path, *lines: str) -> Path:
    path.write_text("imagesource:GoogleEarth\ngsd:0.2\n" + "".join(f"{line}\n" for line in lines))
    return path


def dota_line(points: tuple[float, ...], name: str, difficult: int = 0) -> str:
    return f"{' '.join(map(str, points))} {name} {difficult}"


def write_fair1m(path: Path, objects: list[tuple[str, tuple[float, ...]]], image: str) -> Path:
    parts = []
    for name, points in objects:
        pairs = [f"<point>{x},{y}</point>" for x, y in zip(points[::2], points[1::2], strict=True)]
        parts.append(
            "<object><coordinate>pixel</coordinate><possibleresult><name>"
            f"{name}</name></possibleresult><points>{''.join([*pairs, pairs[0]])}</points></object>"
        )
    path.write_text(
        f"<annotation><source><filename>{image}</filename></source><size><width>{SIZE.w}</width>"
        f"<height>{SIZE.h}</height></size><objects>{''.join(parts)}</objects></annotation>"
    )
    return path


def coco(*annotations: dict[str, object]) -> dict[str, object]:
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": SIZE.w, "height": SIZE.h}],
        "categories": [{"id": 1, "name": "Ship"}, {"id": 2, "name": "storage-tank"},
                       {"id": 3, "name": "bridge"}],
        "annotations": [{"id": n, "image_id": 7, **row} for n, row in enumerate(annotations)],
    }  # fmt: skip


def feature(points: tuple[float, ...], name: str) -> dict[str, object]:
    geometry = {"type": "Polygon", "coordinates": [lonlat(points)]}
    return {"type": "Feature", "properties": {"category": name}, "geometry": geometry}


def write_geojson(path: Path, *features: dict[str, object], **more: object) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **more}))
    return path


def square(name: str, x: float, y: float, side: float = 40.0, is_target: bool = True) -> Labelled:
    """An upright square by its middle."""
    h = side / 2
    return Labelled(
        name, ((x - h, y - h), (x + h, y - h), (x + h, y + h), (x - h, y + h)), is_target
    )


def image_of(*things: Labelled, size: Size = SIZE) -> LabelledImage:
    return LabelledImage("a.png", size, things)
