"""GeoJSON: polygons in longitude and latitude, placed by the image's own georeference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uhrqa.errors import LabelError
from uhrqa.geometry import Box
from uhrqa.labels.images import Images
from uhrqa.labels.objects import Labelled, LabelledImage, Labels, category_of, once, outline
from uhrqa.labels.texts import read_json, rows_of
from uhrqa.raster import open_raster
from uhrqa.raster.ground import Ground, require_ground

ADVICE = "write a FeatureCollection (RFC 7946)"
PROPERTIES = ("category", "class", "label", "type", "name")
"""Where a feature's category is looked for, in this order."""
LONLAT = ("CRS84", "EPSG::4326", "EPSG:4326")  # older files may name it; RFC 7946 has no other


def read_geojson(path: Path, images: Images) -> Labels:
    """The objects of one image, which has the same stem; features outside it are left out.

    Raises:
        LabelError: the file is not of this format, or its features do not lie on the Earth.
        RasterError: the image cannot be opened, or does not say where it lies.
    """
    document = read_json(path)
    _require_lonlat(document, path)
    image, size = images.find(path.stem, str(path))
    with open_raster(image) as raster:
        ground = require_ground(raster, "the place of its labels")
    read, repeated = once(
        (_object(feature, ground, where), where)
        for feature, where in rows_of(document, "features", f"{path}: feature", ADVICE)
    )
    whole = Box.whole(size)
    things = tuple(thing for thing in read if not thing.box.intersect(whole).is_empty)
    found = LabelledImage(str(image), size, things)
    categories = tuple(sorted({thing.category for thing in read}))
    return Labels((found,), categories, len(read) - len(things), repeated)


def _require_lonlat(document: Any, path: Path) -> None:  # noqa: ANN401 - whatever the file holds
    crs = document.get("crs") if isinstance(document, dict) else None
    name = str(crs.get("properties", {}).get("name", crs)) if isinstance(crs, dict) else ""
    if name and not name.endswith(LONLAT):
        raise LabelError(
            f"{path}: coordinates are in {name}; write them in longitude and latitude: "
            "ogr2ogr -t_srs EPSG:4326 lonlat.geojson " + path.name
        )


def _object(feature: Mapping[str, Any], ground: Ground, where: str) -> Labelled:
    values = feature.get("properties")
    values = values if isinstance(values, dict) else {}
    name = next((key for key in PROPERTIES if values.get(key) is not None), None)
    if name is None:
        raise LabelError(f"{where}: has none of the properties {', '.join(PROPERTIES)}")
    lonlat = np.array(outline(_ring(feature.get("geometry"), where), where), np.float64)
    if (np.abs(lonlat) > (180, 90)).any():
        lon, lat = lonlat[0].tolist()
        raise LabelError(
            f"{where}: {lon:g}, {lat:g} is no longitude and latitude in degrees; {ADVICE}"
        )
    pixels = ground.to_pixels(lonlat)
    if not np.isfinite(pixels).all():
        raise LabelError(f"{where}: has no place in {ground.name}, the image's reference system")
    return Labelled(category_of(values[name], where), tuple(map(tuple, pixels.tolist())))


def _ring(geometry: Any, where: str) -> Sequence[object]:  # noqa: ANN401
    """Numbers of the outer ring, longitude and latitude in turn."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise LabelError(f"{where}: its geometry is {kind or 'missing'}; a label is a Polygon")
    try:
        polygons = geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]]
        if len(polygons) != 1:
            raise LabelError(f"{where}: has {len(polygons)} polygons; make each a feature")
        return [value for point in polygons[0][0] for value in point[:2]]
    except (KeyError, IndexError, TypeError) as error:
        raise LabelError(f"{where}: its coordinates are no ring of points; {ADVICE}") from error
