"""What only GDAL reads; skipped where rasterio is missing, but for what is said then."""

from __future__ import annotations

import socket
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from tests.fixtures_raster import coordinate_raster, noise_raster
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import OtherPagesWarning, Raster, gdal, guard, open_raster, shown
from uhrqa.raster.ground import require_ground
from uhrqa.reading import Reading

SIZE = (200, 150)
PICTURE = coordinate_raster(*SIZE)
LOSSLESS: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
FORMATS: dict[str, dict[str, Any]] = {
    "a.jp2": LOSSLESS,
    "tiled.jp2": {**LOSSLESS, "blockxsize": 64, "blockysize": 64},
    "a.ntf": {"driver": "NITF"},
    "tiled.ntf": {"driver": "NITF", "blockxsize": 64, "blockysize": 64},
    "a.img": {"driver": "HFA"},
    "a.bin": {"driver": "ENVI"},
    "a.bmp": {"driver": "BMP"},
    "a.ppm": {"driver": "PNM"},
    "a.webp": {"driver": "WEBP", "LOSSLESS": "YES"},
}
VRT = """<VRTDataset rasterXSize="{w}" rasterYSize="{h}">{bands}</VRTDataset>"""
BAND = """<VRTRasterBand dataType="Byte" band="{n}"><SimpleSource>
<SourceFilename relativeToVRT="1">{file}</SourceFilename><SourceBand>{n}</SourceBand>
</SimpleSource></VRTRasterBand>"""


def need_rasterio() -> Any:
    return pytest.importorskip("rasterio")


def write(path: Path, array: np.ndarray, **options: Any) -> Path:
    """By rasterio; `array` is `[h, w, bands]`."""
    rasterio = need_rasterio()
    h, w, count = array.shape
    sides = {"height": h, "width": w, "count": count, "dtype": array.dtype.name}
    colormap, mask = options.pop("colormap", None), options.pop("mask", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **{"driver": "GTiff", **sides, **options}) as image:
            image.write(np.moveaxis(array, 2, 0))
            if colormap:
                image.write_colormap(1, colormap)
            if mask is not None:
                image.write_mask(mask)
    return path


def vrt(path: Path, file: str, size: tuple[int, int] = SIZE, bands: int = 3) -> Path:
    text = "".join(BAND.format(n=n + 1, file=file) for n in range(bands))
    path.write_text(VRT.format(h=size[0], w=size[1], bands=text))
    return path


def whole(raster: Raster) -> np.ndarray:
    return raster.read(Box.whole(raster.size), raster.size).array


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_pixels_whatever_the_format(tmp_path: Path, name: str):
    path = write(tmp_path / name, PICTURE, **FORMATS[name])
    with open_raster(path) as raster:
        assert np.array_equal(whole(raster), PICTURE)
        part = raster.read(Box(60, 100, 130, 190), Size(90, 70))
        assert np.array_equal(part.array, PICTURE[100:190, 60:130])
        assert part.mask.all()
        assert raster.bytes_read == pytest.approx(path.stat().st_size, rel=0.25)


def test_without_rasterio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    (tmp_path / "a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100))
    with pytest.raises(RasterError, match=r"pip install 'uhrqa\[gdal\]', or convert it") as caught:
        open_raster(tmp_path / "a.jp2")
    assert "\n" not in str(caught.value)


def test_the_resolutions_of_jpeg_2000_serve_coarse_reads(tmp_path: Path):
    picture = np.repeat(np.repeat(noise_raster(225, 310), 4, axis=0), 4, axis=1)
    with open_raster(write(tmp_path / "a.jp2", picture, **LOSSLESS)) as raster:
        assert raster.levels == (Size(900, 1240), Size(450, 620), Size(225, 310))
        small = raster.read(Box.whole(raster.size), Size(225, 310)).array
        assert raster.bytes_read < 0.1 * (tmp_path / "a.jp2").stat().st_size
    assert np.abs(small.astype(float) - picture[::4, ::4]).mean() < 40  # of noise, by wavelets


def test_a_vrt_shows_the_files_it_names_and_their_overviews(tmp_path: Path):
    rasterio = need_rasterio()
    picture = coordinate_raster(700, 900)
    source = write(tmp_path / "a.tif", picture, tiled=True, blockxsize=256, blockysize=256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(source, "r+") as image:
            image.build_overviews([2, 4])
    with open_raster(vrt(tmp_path / "a.vrt", "a.tif", (700, 900))) as raster:
        assert raster.levels == (Size(700, 900), Size(350, 450), Size(175, 225))
        assert np.array_equal(whole(raster), picture)


def test_what_lies_outside_the_files_of_a_vrt_has_no_image(tmp_path: Path):
    write(tmp_path / "a.tif", PICTURE)
    path = vrt(tmp_path / "a.vrt", "a.tif", (200, 400))
    rect = '{}Rect xOff="0" yOff="0" xSize="150" ySize="200"/>'
    place = "</SourceBand>" + rect.format("<Src") + rect.format("<Dst")
    text = path.read_text().replace("</SourceBand>", place)
    path.write_text(text.replace("<SimpleSource>", "<NoDataValue>7</NoDataValue><SimpleSource>"))
    with open_raster(path) as raster:
        pixels = raster.read(Box.whole(raster.size), raster.size)
    assert not pixels.mask[:, 150:].any()
    assert np.array_equal(pixels.mask[:, :150], (PICTURE != 7).any(axis=2))


def test_palettes_alpha_no_data_and_masks(tmp_path: Path):
    index = (PICTURE[..., :1] // 64).astype(np.uint8)
    colours = {n: (n * 60, 255 - n, n, 255) for n in range(4)}
    path = write(tmp_path / "a.gif", index, driver="GIF")
    assert path.exists()
    path = write(tmp_path / "p.img", index, driver="HFA", colormap=colours)
    with open_raster(path) as raster:
        table = np.array([colours[n][:3] for n in range(4)], np.uint8)
        assert np.array_equal(whole(raster), table[index[..., 0]])
    four = np.dstack([PICTURE, (PICTURE[..., 0] > 90) * np.uint8(255)])
    with open_raster(write(tmp_path / "a.webp", four, driver="WEBP", LOSSLESS="YES")) as raster:
        assert np.array_equal(
            raster.read(Box.whole(raster.size), raster.size).mask, four[..., 3] > 0
        )
        assert shown(raster)["alpha"] == 4
    with open_raster(write(tmp_path / "n.img", PICTURE, driver="HFA", nodata=0)) as raster:
        mask = raster.read(Box.whole(raster.size), raster.size).mask
        assert np.array_equal(mask, PICTURE.any(axis=2))
    write(tmp_path / "m.tif", PICTURE, mask=PICTURE[..., 0] > 90)
    path = vrt(tmp_path / "m.vrt", "m.tif")
    band = BAND.replace('band="{n}"', "").format(n="mask,1", file="m.tif")
    masked = path.read_text().replace("</VRTDataset>", f"<MaskBand>{band}</MaskBand></VRTDataset>")
    path.write_text(masked)
    with open_raster(path) as raster:
        mask = raster.read(Box.whole(raster.size), raster.size).mask
        assert np.array_equal(mask, PICTURE[..., 0] > 90)


def test_bands_are_chosen_and_deep_ones_stretched(tmp_path: Path):
    deep = np.dstack([PICTURE, PICTURE[..., :1]]).astype(np.uint16) * 100
    path = write(tmp_path / "a.jp2", deep, **LOSSLESS)
    with open_raster(path, Reading(bands=(2,), stretch=(0.0, 100.0))) as raster:
        grey = whole(raster)[..., 0]
        assert shown(raster)["bands"] == [2]
    expected = np.floor(PICTURE[..., 1] * (255 / PICTURE[..., 1].max()) + 0.5)
    assert np.abs(grey - expected).max() <= 1


def test_where_it_lies(tmp_path: Path):
    rasterio, warp = need_rasterio(), pytest.importorskip("rasterio.warp")
    transform = rasterio.transform.from_origin(500_000, 5_500_000, 2, 2)
    custom = "+proj=lcc +lat_1=33 +lat_2=45 +lat_0=23 +lon_0=-96 +datum=WGS84 +units=m"
    place: dict[str, Any] = {"transform": transform}
    coded = write(tmp_path / "a.jp2", PICTURE, crs="EPSG:32633", **place, **LOSSLESS)
    with open_raster(coded) as raster:
        ground = require_ground(raster)
        assert ground.name == "EPSG:32633"
        assert list(ground.affine) == [2, 0, 500_000, 0, -2, 5_500_000]
    crs = rasterio.crs.CRS.from_proj4(custom)
    for name, driver in (("own.img", "HFA"), ("own.tif", "GTiff")):
        path = write(tmp_path / name, PICTURE, crs=crs, driver=driver, **place)
        with open_raster(path) as raster:
            lon, lat = require_ground(raster).to_lonlat(np.array([[10.0, 20.0]]))[0]
        xs, ys = warp.transform(crs, "EPSG:4326", [500_020], [5_499_960])
        assert (lon, lat) == pytest.approx((xs[0], ys[0]), abs=1e-6)
    with (
        open_raster(write(tmp_path / "none.img", PICTURE, driver="HFA")) as raster,
        pytest.raises(RasterError, match="no georeferencing"),
    ):
        require_ground(raster)


# ------------------------------------------------------------------ bad input


def refusal(path: Path, reading: Reading | None = None) -> str:
    with pytest.raises(RasterError) as caught, open_raster(path, reading) as raster:
        whole(raster)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    return line


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/vsicurl/http://127.0.0.1:9/a.tif", "only files on the disk"),
        ("&#47;vsis3/bucket/a.tif", "only files on the disk"),
        ("<![CDATA[https://127.0.0.1:9/a.tif]]>", "only files on the disk"),
        ("WMS:http://127.0.0.1:9", "only files on the disk"),
        ("&lt;GDAL_WMS>&lt;/GDAL_WMS>", "only files on the disk"),
        ("a.vrt", "names itself"),
        ("service.xml", "of XML only VRT is"),
        ("absent.tif", "cannot be decoded"),
        ("broken.vrt", "readable VRT"),
    ],
)
def test_what_a_vrt_may_not_name(tmp_path: Path, name: str, why: str):
    need_rasterio()
    (tmp_path / "service.xml").write_text("<GDAL_WMS></GDAL_WMS>")
    (tmp_path / "broken.vrt").write_text("<VRTDataset")
    assert why in refusal(vrt(tmp_path / "a.vrt", name))


OVERVIEW = '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{}</MDI></Metadata>'
PLACES = '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">{}</MDI></Metadata>'
SIDE = "<PAMDataset>{}</PAMDataset>"


@contextmanager
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[], int]]]:
    """Host and port of a socket that answers nothing, and how often it was asked."""
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")  # GDAL waits with Python held: none could answer
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)

        def count() -> int:
            times = 0
            with suppress(BlockingIOError):
                while True:
                    server.accept()[0].close()
                    times += 1
            return times

        yield f"127.0.0.1:{server.getsockname()[1]}", count


@pytest.mark.parametrize("name", ["/vsicurl/http://{}/a.tif", "http://{}/a.tif"])
@pytest.mark.parametrize("where", ["overview", "geolocation", "attribute", "side", "side of vrt"])
def test_a_vrt_asks_no_server_wherever_it_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
):
    write(tmp_path / "a.tif", PICTURE)
    with asked(monkeypatch) as (host, count):
        path, address = vrt(tmp_path / "a.vrt", "a.tif"), name.format(host)
        text = path.read_text()
        if where in ("overview", "geolocation"):
            more = (OVERVIEW if where == "overview" else PLACES).format(address)
            path.write_text(text.replace("<VRTRasterBand", more + "<VRTRasterBand", 1))
        elif where == "attribute":
            path.write_text(text.replace("<SimpleSource>", f'<SimpleSource name="{address}">', 1))
        else:
            image = "a.tif" if where == "side" else "a.vrt"
            (tmp_path / f"{image}.aux.xml").write_text(SIDE.format(OVERVIEW.format(address)))
        assert "only files on the disk" in refusal(path)
        assert not count()


@pytest.mark.parametrize("name", ["/vsicurl/http://{}/a.tif", "http://{}/a.tif", "WMS:http://{}/?"])
def test_gdal_itself_has_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    write(tmp_path / "a.tif", PICTURE)
    monkeypatch.setattr(gdal, "check_names", lambda path: None)
    with asked(monkeypatch) as (host, count):
        path = vrt(tmp_path / "a.vrt", name.format(host), bands=1)
        assert "cannot be decoded" in refusal(path)
        assert not count()


def test_a_licence_in_the_metadata_of_a_vrt_is_no_address(tmp_path: Path):
    write(tmp_path / "a.tif", PICTURE)
    path = vrt(tmp_path / "a.vrt", "a.tif")
    said = (
        '<Metadata><MDI key="TIFFTAG_COPYRIGHT">CC BY, see https://example.org/by</MDI></Metadata>'
    )
    path.write_text(path.read_text().replace("<VRTRasterBand", said + "<VRTRasterBand", 1))
    with open_raster(path) as raster:
        assert np.array_equal(whole(raster), PICTURE)


def test_sizes_that_a_header_only_promises(tmp_path: Path):
    need_rasterio()
    write(tmp_path / "a.tif", PICTURE)
    assert "more than the limit" in refusal(vrt(tmp_path / "a.vrt", "a.tif", (10**6, 10**6)))
    assert "--max-pixels" in refusal(vrt(tmp_path / "b.vrt", "a.tif"), Reading(max_pixels=1000))
    (tmp_path / "a.ppm").write_bytes(b"P6\n50000 50000\n255\n" + bytes(99))
    refusal(tmp_path / "a.ppm")


def test_blocks_too_large_to_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "a.ntf", PICTURE, **FORMATS["tiled.ntf"])
    monkeypatch.setattr(guard, "MAX_BLOCK_BYTES", 64 * 63)
    assert "each block is 64 x 64 px" in refusal(path)


def test_a_huge_empty_mosaic_is_read_in_blocks(tmp_path: Path):
    need_rasterio()
    write(tmp_path / "a.tif", PICTURE)
    with open_raster(vrt(tmp_path / "a.vrt", "a.tif", (200_000, 200_000), bands=1)) as raster:
        tracemalloc.start()
        raster.read(Box(0, 0, 336, 336), Size(336, 336))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20 * 2**20


def test_threads_get_the_same_pixels(tmp_path: Path):
    picture = coordinate_raster(1100, 1300)

    def is_slice(corner: tuple[int, int]) -> bool:
        x, y = corner
        part = raster.read(Box(x, y, x + 90, y + 90), Size(90, 90)).array
        return np.array_equal(part, picture[y : y + 90, x : x + 90])

    with (
        open_raster(write(tmp_path / "a.jp2", picture, **FORMATS["tiled.jp2"])) as raster,
        ThreadPoolExecutor(4) as pool,
    ):
        assert all(pool.map(is_slice, [(x, y) for x in (5, 500, 1200) for y in (3, 511, 1000)]))


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path):
    paths = [write(tmp_path / f"{n}.jp2", PICTURE, **LOSSLESS) for n in range(3)]
    ready = Barrier(len(paths))

    def read(path: Path) -> None:
        with open_raster(path) as raster:
            for x in range(0, 100, 10):
                ready.wait(10)
                raster.read(Box(x, 0, x + 50, 50), Size(50, 50))

    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(read, paths))
    assert not [said for said in warnings.filters if said[0] == "ignore" and said[2] is Warning]


def test_damage_is_an_error_or_a_hole(tmp_path: Path):
    path = write(tmp_path / "a.jp2", noise_raster(*SIZE), **LOSSLESS)
    path.write_bytes(path.read_bytes()[:-40_000])
    assert "cannot be decoded" in refusal(path)
    with open_raster(path, Reading(on_bad_tile="mask")) as raster:
        assert not raster.read(Box.whole(raster.size), raster.size).mask.any()
        assert shown(raster)["masked_tiles"] == 1


def test_an_image_cut_down_to_its_header(tmp_path: Path):
    path = write(tmp_path / "a.jp2", PICTURE, **LOSSLESS)
    path.write_bytes(path.read_bytes()[:100])
    refusal(path)


def test_complex_numbers(tmp_path: Path):
    write(tmp_path / "c.img", PICTURE[..., :1].astype(np.complex64), driver="HFA")
    assert "complex64 samples" in refusal(tmp_path / "c.img")


def test_of_several_images_the_first_is_read(tmp_path: Path):
    write(tmp_path / "a.ntf", PICTURE, driver="NITF", NUMI="2", WRITE_ALL_IMAGES="YES")
    with (
        pytest.warns(OtherPagesWarning, match="2 images"),
        open_raster(tmp_path / "a.ntf") as raster,
    ):
        assert np.array_equal(whole(raster), PICTURE)
