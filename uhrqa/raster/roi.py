"""Regions of interest: what a user writes, as polygons of source pixels. Reads no pixel.

Three ways to write one: `x0,y0,x1,y1` in source pixels; `lonlat:west,south,east,north` in degrees;
the name of a GeoJSON file, whose polygons count together.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import ConfigError
from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster
from uhrqa.raster.ground import require_ground

Ring = NDArray[np.float64]  # [N, 2] x, y; the first point again at the end
Polygon = list[Ring]  # the outer ring, then holes
STEPS = 16  # points along each edge of a box of degrees: in another system it may be bent
MOST_BYTES = 2**26  # of a GeoJSON file
HOW = "write x0,y0,x1,y1 in pixels, lonlat:west,south,east,north, or the name of a GeoJSON file"


def read_roi(text: str) -> Box | list[Polygon]:
    """What a user wrote: a box of pixels, or polygons of longitude and latitude.

    Raises:
        ConfigError: it is none of the three, or an empty region.
    """
    numbers = text.removeprefix("lonlat:")
    if re.fullmatch(r"\s*[-+.\deE]+\s*(,\s*[-+.\deE]+\s*){3}", numbers):
        box = _read_box(text, numbers)
        return [[_box_ring(box)]] if text.startswith("lonlat:") else box
    if text.startswith("lonlat:"):
        raise ConfigError(f"region '{text}': {HOW}")
    return _read_file(text)


def pixel_polygons(raster: Raster, polygons: list[Polygon], text: str) -> list[Polygon]:
    """Polygons of longitude and latitude as polygons of source pixels.

    Raises:
        RasterError: it is not known where the image lies.
        ConfigError: a point has no place in the image's reference system.
    """
    ground = require_ground(raster, "where the region lies in the image")
    found = [[ground.to_pixels(ring) for ring in polygon] for polygon in polygons]
    if not all(np.isfinite(ring).all() for polygon in found for ring in polygon):
        raise ConfigError(
            f"region '{text}': parts of it have no place in {ground.name}, the image's reference "
            f"system; give a region near the image{place_of(raster, polygons)}"
        )
    return found


def place_of(raster: Raster, polygons: list[Polygon]) -> str:
    """Where an image lies, for polygons of longitude and latitude that miss it.

    Returns:
        A clause for a message, which asks whether the two are swapped where that would hit it.
    """
    ring = np.array(require_ground(raster).rings([Box.whole(raster.size)])[0])
    if not np.isfinite(ring).all():
        return ""
    extent = bounds([[ring]])
    swapped = bounds([[ring[:, ::-1]] for ring, *_ in polygons])
    edges = ",".join(f"{edge:.7g}" for edge in extent)
    hint = "" if swapped.intersect(extent).is_empty else "; swapped? longitude comes first"
    return f"; the image spans lonlat:{edges}{hint}"


def bounds(polygons: list[Polygon]) -> Box:
    """The box around all outer rings."""
    points = np.concatenate([polygon[0] for polygon in polygons])
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return Box(x0, y0, x1, y1)


def inside(polygons: list[Polygon], box: Box, out: Size) -> NDArray[np.bool_]:
    """Which pixels of a read have their centre in a polygon; `[h, w]`.

    Within one polygon a point is inside where an odd number of edges lies to its right (so holes
    are left out); several polygons count together.
    """
    x = box.x0 + (np.arange(out.w) + 0.5) * (box.w / out.w)
    y = box.y0 + (np.arange(out.h) + 0.5) * (box.h / out.h)
    found = np.zeros(out, np.bool_)
    for polygon in polygons:
        crossed = np.zeros(out, np.bool_)
        for ring in polygon:
            for (xa, ya), (xb, yb) in pairwise(ring):
                rows = np.flatnonzero((ya <= y) != (yb <= y))
                if len(rows):
                    at = xa + (y[rows] - ya) * ((xb - xa) / (yb - ya))
                    crossed[rows] ^= x < at[:, None]
        found |= crossed
    return found


def _read_box(text: str, numbers: str) -> Box:
    try:
        box = Box(*(float(number) for number in numbers.split(",")))
    except ValueError as error:
        raise ConfigError(f"region '{text}': {HOW}") from error
    if not all(map(math.isfinite, box)) or box.is_empty:
        raise ConfigError(
            f"region '{text}': it is empty; the third number must be above the first, the fourth "
            "above the second"
        )
    if text.startswith("lonlat:") and (
        box.y0 < -90 or box.y1 > 90 or box.x0 < -360 or box.x1 > 360
    ):
        raise ConfigError(f"region '{text}': not degrees, longitude first; {HOW}")
    return box


def _box_ring(box: Box) -> Ring:
    corners = [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
    edges = pairwise([*corners, corners[0]])
    return np.concatenate(
        [*(np.linspace(start, stop, STEPS, endpoint=False) for start, stop in edges), corners[:1]]
    )


def _read_file(text: str) -> list[Polygon]:
    try:
        path = Path(text)
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"region '{text}': more than {MOST_BYTES >> 20} MiB; simplify it")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise ConfigError(f"region '{text}': cannot be read as a file ({reason}); {HOW}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"region '{text}': the file is not JSON; {HOW}") from error
    try:
        polygons = [[_ring(ring) for ring in rings] for rings in _rings(content) if rings]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"region '{text}': not valid GeoJSON ({error})") from error
    if not polygons:
        raise ConfigError(f"region '{text}': the file holds no Polygon or MultiPolygon")
    return polygons


def _rings(content: dict[str, Any]) -> Iterator[list[Any]]:
    """Of every polygon in a GeoJSON object, whatever stands around it."""
    match content["type"]:
        case "FeatureCollection":
            for feature in content["features"]:
                yield from _rings(feature)
        case "Feature":
            if content["geometry"] is not None:
                yield from _rings(content["geometry"])
        case "GeometryCollection":
            for geometry in content["geometries"]:
                yield from _rings(geometry)
        case "Polygon":
            yield content["coordinates"]
        case "MultiPolygon":
            yield from content["coordinates"]


def _ring(points: list[list[float]]) -> Ring:
    ring = np.array([point[:2] for point in points], np.float64)
    if ring.ndim != 2 or len(ring) < 4 or not np.isfinite(ring).all():
        raise ValueError("a ring needs four points or more, all of numbers")
    return ring if (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])
