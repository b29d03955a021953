"""GDAL through the optional rasterio, with our bounds: memory, threads, no network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OPTIONS = {
    "GDAL_CACHEMAX": 64,  # MiB; else a twentieth of the memory
    "GDAL_NUM_THREADS": 1,
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",  # of /vsicurl, /vsis3 ... no name is this one
    "GDAL_HTTP_PROXY": "127.0.0.1:0",  # of other drivers: where nobody can listen
    "GDAL_HTTPS_PROXY": "127.0.0.1:0",
    "GDAL_HTTP_MAX_RETRY": 0,
}


def import_rasterio() -> Any:  # noqa: ANN401 - a module without types
    """The module, quiet about images without a place on the Earth.

    Said for the whole process: `warnings.catch_warnings` is for one thread alone, and others would
    restore what it had set.

    Raises:
        ImportError: it is not installed.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    return rasterio


@contextmanager
def gdal_env(rasterio: Any) -> Iterator[None]:  # noqa: ANN401
    """GDAL with our bounds, for the thread that asks."""
    with rasterio.Env(**OPTIONS):
        yield
