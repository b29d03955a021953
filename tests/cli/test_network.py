"""A VRT reaches no server, whatever it and the files it names say, and whatever proxies are set."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.conftest import start
from uhrqa.cli.network import skip_network_drivers

pytest.importorskip("rasterio")
OVERVIEW = '<GDALMetadata><Item name="OVERVIEW_FILE" domain="OVERVIEWS">{}</Item></GDALMetadata>'
VRT = """<VRTDataset rasterXSize="600" rasterYSize="600"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


def test_a_tiff_that_a_vrt_names_opens_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        said = OVERVIEW.format(f"WMS:http://127.0.0.1:{server.getsockname()[1]}/?")
        tag = [(42112, "s", 0, said, True)]
        plain = np.zeros((600, 600), np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", plain, metadata=None, extratags=tag)
        (tmp_path / "a.vrt").write_text(VRT)
        process = start("info", tmp_path / "a.vrt", "-q")
        try:
            assert "600 x 600 px" in process.communicate(timeout=30)[0]
        finally:
            process.kill()
            process.communicate()
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(("said", "first"), [("", "DAAS"), ("A B", "A,B,DAAS"), ("A b,C", "A b,C")])
def test_drivers_that_the_user_leaves_out_stay_so(
    monkeypatch: pytest.MonkeyPatch, said: str, first: str
) -> None:
    monkeypatch.setenv("GDAL_SKIP", said)
    skip_network_drivers()
    assert os.environ["GDAL_SKIP"].startswith(first)
    assert os.environ["GDAL_SKIP"].endswith("WMS,WMTS,netCDF")


def test_databases_and_libraries_that_ask_by_themselves_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GDAL_SKIP", "")
    skip_network_drivers()
    left_out = os.environ["GDAL_SKIP"].split(",")
    assert {"GeoRaster", "PostGISRaster", "RASDAMAN", "TileDB", "netCDF"} <= set(left_out)
    assert "GTiff" not in left_out
