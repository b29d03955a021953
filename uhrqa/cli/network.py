"""GDAL without its drivers that ask servers, in a process that is ours alone.

A VRT, or a TIFF that it names, may name an overview or a source that such a driver opens. The
options of `raster/gdal_env.py` give GDAL a proxy where nobody listens, which holds neither for
hosts in `NO_PROXY` nor for drivers whose libraries ask by themselves (netCDF, TileDB, databases).
GDAL has one list of drivers for all of a process, so that who imports `uhrqa` decides for himself.
"""

from __future__ import annotations

import os

SKIPPED = (
    "DAAS", "DODS", "EEDA", "EEDAI", "GTI", "GeoRaster", "HTTP", "JPIPKAK", "NGW", "OGCAPI",
    "PLMOSAIC", "PLScenes", "PostGISRaster", "RASDAMAN", "RDA", "SDE", "STACIT", "STACTA", "TileDB",
    "WCS", "WMS", "WMTS", "netCDF",
)  # fmt: skip


def skip_network_drivers() -> None:
    """Tell GDAL to leave them out, beside those that the user has named; before it is loaded."""
    said = os.environ.get("GDAL_SKIP", "")
    own = said.split("," if "," in said else None)
    os.environ["GDAL_SKIP"] = ",".join([*own, *SKIPPED])
