"""How files say where they lie: GeoTIFF keys, GeoZarr conventions, CF grid mappings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.raster.ground import Affine, Ground, NoGround, centred, checked

Tags = Mapping[str, Any]
Centres = NDArray[np.float64]
EVENNESS = 1e-3  # of steps between coordinates, which are often rounded
USER_DEFINED = 32767
PIXEL_IS_POINT = 2
CRS_KEYS = {1: "ProjectedCSTypeGeoKey", 2: "GeographicTypeGeoKey"}  # by model type


def tiff_ground(
    tags: Tags | None, user_defined: Callable[[], str | None] = lambda: None
) -> Ground | NoGround:
    """From the GeoTIFF keys of a page, as tifffile names them.

    Args:
        tags: the keys.
        user_defined: gives a reference system that has no EPSG code; None where it cannot.

    Source: OGC 19-008r4 (GeoTIFF 1.1), Sec. 7.
    """
    if not tags:
        return NoGround()
    code = int(tags.get(CRS_KEYS.get(int(tags.get("GTModelTypeGeoKey", 0)), ""), 0))
    crs = user_defined() if code in (0, USER_DEFINED) else f"EPSG:{code}"
    if crs is None:
        return NoGround(
            "its reference system has no EPSG code; GDAL may know it: pip install 'uhrqa[gdal]', "
            "or warp it to one that has: gdalwarp -t_srs EPSG:4326 image.tif known.tif"
        )
    affine = _tiff_affine(tags)
    if affine is None:
        return NoGround(
            "it has no transform, at most ground control points; "
            "warp it: gdalwarp image.tif placed.tif"
        )
    if int(tags.get("GTRasterTypeGeoKey", 1)) == PIXEL_IS_POINT:
        affine = centred(affine)
    return checked(crs, affine)


def _tiff_affine(tags: Tags) -> Affine | None:
    if (matrix := tags.get("ModelTransformation")) is not None:
        (a, b, _, c), (d, e, _, f) = np.asarray(matrix, np.float64).reshape(4, 4)[:2].tolist()
        return a, b, c, d, e, f
    scale, ties = tags.get("ModelPixelScale"), tags.get("ModelTiepoint")
    if scale is None or ties is None:
        return None
    (sx, sy), (col, row, _, x, y) = scale[:2], np.ravel(ties)[:5].tolist()
    return sx, 0.0, x - col * sx, 0.0, -sy, y + row * sy


def zarr_ground(
    attributes: Sequence[Tags],
    mapping: Tags | None = None,
    centres: Callable[[], tuple[Centres, Centres] | None] = lambda: None,
) -> Ground | NoGround:
    """From the attributes of a Zarr array and of its group, the array's first.

    Args:
        attributes: mappings of GeoZarr's `proj:` and `spatial:` conventions.
        mapping: those of the CF grid mapping, as rioxarray writes it, if any.
        centres: gives coordinates of columns and rows; asked where no transform is written.

    Source: zarr-conventions/proj and zarr-conventions/spatial; CF 1.11, Sec. 5.6.
    """
    found: dict[str, Any] = {}
    for level in reversed(attributes):
        found |= level
    crs = found.get("proj:code") or found.get("proj:wkt2") or found.get("proj:projjson")
    affine = found.get("spatial:transform")
    if mapping:
        crs = crs or mapping.get("crs_wkt") or mapping.get("spatial_ref")
        if affine is None and "GeoTransform" in mapping:
            c, a, b, f, d, e = map(float, str(mapping["GeoTransform"]).split())
            affine = a, b, c, d, e, f
    if not crs:
        return NoGround()
    if affine is None and (found_centres := centres()):
        affine = _between(*found_centres)
    if affine is None:
        return NoGround("it has no transform, nor evenly spaced coordinates; store one of them")
    if found.get("spatial:registration") == "node":
        affine = centred(affine)
    return checked(crs if isinstance(crs, str) else json.dumps(crs), affine)


def _between(xs: Centres, ys: Centres) -> Affine | None:
    """The transform of evenly spaced centres; None where they are not."""
    steps = []
    for values in (xs, ys):
        if len(values) < 2:
            return None
        step = (values[-1] - values[0]) / (len(values) - 1)
        if not np.allclose(np.diff(values), step, rtol=EVENNESS, atol=0):
            return None
        steps.append(float(step))
    return centred((steps[0], 0.0, float(xs[0]), 0.0, steps[1], float(ys[0])))
