"""Where an image lies on the Earth: from its pixels to longitude and latitude, and back.

Pixels are source pixels, (0, 0) the outer corner of the first one. Longitude and latitude are WGS
84 (EPSG:4326) in degrees, longitude first, as in GeoJSON. pyproj is imported when a point is asked
for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster

if TYPE_CHECKING:
    from pyproj import Transformer

Affine = tuple[float, float, float, float, float, float]
Points = NDArray[np.float64]  # [N, 2]
DIGITS = 8  # of degrees: a millimetre


@dataclass(frozen=True, slots=True)
class NoGround:
    """There is none, and why: a clause with its remedy, for messages."""

    reason: str = "it holds no georeferencing; ask about a GeoTIFF, or a Zarr store with proj:code"


@dataclass(frozen=True, slots=True)
class Ground:
    """A reference system with a transform.

    Attributes:
        crs: as pyproj takes it: `EPSG:32633`, WKT or PROJJSON.
        affine: (a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f.
    """

    crs: str
    affine: Affine

    @property
    def name(self) -> str:
        """`EPSG:32633`, or the name a system goes by that has no code."""
        from pyproj import CRS

        return self.crs if self.crs.startswith("EPSG:") else str(CRS.from_user_input(self.crs).name)

    @property
    def epsg(self) -> int | None:
        """The system's EPSG code, where it has one."""
        from pyproj import CRS

        code: int | None = CRS.from_user_input(self.crs).to_epsg()
        return code

    @property
    def wkt(self) -> str:
        """The system in WKT 2."""
        from pyproj import CRS

        return str(CRS.from_user_input(self.crs).to_wkt())

    @property
    def is_rotated(self) -> bool:
        """Whether rows do not run along the axes of the reference system."""
        _, b, _, d, _, _ = self.affine
        return bool(b or d)

    def moved(self, x: float, y: float) -> Ground:
        """That of a window whose first pixel is pixel (x, y)."""
        a, b, c, d, e, f = self.affine
        return Ground(self.crs, (a, b, c + a * x + b * y, d, e, f + d * x + e * y))

    def to_lonlat(self, pixels: Points) -> Points:
        """`[N, 2]` x, y in pixels as longitude and latitude; infinite where there is none."""
        a, b, c, d, e, f = self.affine
        col, row = pixels.T
        x, y = _transformer(self.crs).transform(a * col + b * row + c, d * col + e * row + f)
        return np.stack([x, y], 1)

    def to_pixels(self, lonlat: Points) -> Points:
        """`[N, 2]` longitude and latitude as pixels; infinite where there is none."""
        a, b, c, d, e, f = self.affine
        lon, lat = lonlat.T
        x, y = _transformer(self.crs).transform(lon, lat, direction="INVERSE")
        x, y = x - c, y - f
        det = a * e - b * d
        with np.errstate(invalid="ignore"):
            return np.stack([(e * x - b * y) / det, (a * y - d * x) / det], 1)

    def rings(self, boxes: Sequence[Box]) -> list[list[list[float]]]:
        """Each box as a closed ring of five points of longitude and latitude.

        Rings run counter-clockwise where north is up, as GeoJSON wants them (RFC 7946, Sec. 3.1.6).
        """
        if not boxes:
            return []
        corners = [[(x0, y1), (x1, y1), (x1, y0), (x0, y0), (x0, y1)] for x0, y0, x1, y1 in boxes]
        points = self.to_lonlat(np.array(corners, np.float64).reshape(-1, 2)).round(DIGITS)
        found: list[list[list[float]]] = points.reshape(len(boxes), 5, 2).tolist()
        return [ring if _turns_left(ring) else ring[::-1] for ring in found]

    def sample_distance(self, size: Size) -> tuple[float, float]:
        """Metres along the ground from one pixel to the next, across and down, mid-image."""
        from pyproj import Geod

        x, y = size.w / 2, size.h / 2
        lon, lat = self.to_lonlat(np.array([(x, y), (x + 1, y), (x, y + 1)])).T
        _, _, metres = Geod(ellps="WGS84").inv(lon[[0, 0]], lat[[0, 0]], lon[1:], lat[1:])
        return float(metres[0]), float(metres[1])


def ground_of(raster: Raster) -> Ground | NoGround:
    """Where an image says it lies; whether that can be used is another question."""
    found: Ground | NoGround = getattr(raster, "ground", NoGround())
    return found


def usable(ground: Ground | NoGround, size: Size) -> Ground | NoGround:
    """A ground whose reference system pyproj knows, and that gives mid-image a place on the Earth.

    Args:
        ground: what an image says.
        size: of the image.
    """
    if isinstance(ground, NoGround):
        return ground
    try:
        middle = ground.to_lonlat(np.array([(size.w / 2, size.h / 2)]))
    except Exception as error:  # noqa: BLE001 - pyproj raises its own, and others
        reason = " ".join(str(error).split())[:120]
        return NoGround(
            f"its reference system cannot be used ({reason}); set it anew, for example: "
            "gdal_edit.py -a_srs EPSG:32633 image.tif"
        )
    if np.isfinite(middle).all():
        return ground
    return NoGround(
        f"{ground.name} has no longitude and latitude at the middle of the image; its transform "
        "or its reference system is wrong"
    )


def require_ground(raster: Raster, what: str = "its place on the ground") -> Ground:
    """Where an image lies.

    Args:
        raster: the image.
        what: what needs it, for the message.

    Raises:
        RasterError: it does not say so, or in a way that cannot be used.
    """
    ground = usable(ground_of(raster), raster.size)
    if isinstance(ground, NoGround):
        raise RasterError(f"{raster.path}: {what} is not known: {ground.reason}")
    return ground


def describe_ground(ground: Ground | NoGround, size: Size) -> dict[str, Any]:
    """Reference system, metres a pixel and outline, or why there are none; JSON-ready."""
    known = usable(ground, size)
    if isinstance(known, NoGround):
        return {"no_ground": known.reason}
    across, down = known.sample_distance(size)
    return {
        "crs": known.name,
        "metres_per_pixel": [round(across, 4), round(down, 4)],
        "lonlat": known.rings([Box.whole(size)])[0],
    }


def gsd_sentence(raster: Raster) -> str:
    """How many metres a pixel is, as a model is told.

    Raises:
        RasterError: that is not known.
    """
    ground = require_ground(raster, "its ground sample distance")
    across, down = ground.sample_distance(raster.size)
    return f"The image has a ground sample distance of {(across + down) / 2:.2g} m per pixel."


def checked(crs: str, affine: Sequence[float]) -> Ground | NoGround:
    """A ground, where its transform gives each pixel a place of its own."""
    a, b, c, d, e, f = (float(value) for value in affine)
    det = a * e - b * d
    if not all(map(math.isfinite, (a, b, c, d, e, f, det))) or det == 0:
        return NoGround("its transform maps all pixels to a line; set it anew with gdal_edit.py")
    return Ground(crs, (a, b, c, d, e, f))


def centred(affine: Sequence[float]) -> Affine:
    """A transform of pixel centres as one of pixel corners."""
    a, b, c, d, e, f = affine
    return a, b, c - (a + b) / 2, d, e, f - (d + e) / 2


@lru_cache(maxsize=8)
def _transformer(crs: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


def _turns_left(ring: Sequence[Sequence[float]]) -> bool:
    return sum(p[0] * q[1] - q[0] * p[1] for p, q in pairwise(ring)) >= 0
