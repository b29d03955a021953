"""Files that other programs wrote, against rasterio's pixels; skipped where these are missing."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.fixtures_raster import coordinate_raster, noise_raster
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster
from uhrqa.reading import Reading

rasterio = pytest.importorskip("rasterio")
AERIAL = os.environ.get("UHRQA_TEST_IMAGES")  # a folder of GeoTIFFs
SIZE = (200, 150)
GREY = coordinate_raster(*SIZE)[..., 1]


def by_rasterio(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first three bands, `[h, w, 3]`, and where they are image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as image:
            bands = image.read([1, 2, 3] if image.count >= 3 else [1, 1, 1])
            return np.moveaxis(bands, 0, 2), image.dataset_mask() > 0


def assert_alike(path: Path, *, apart: int = 0) -> None:
    expected, mask = by_rasterio(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_raster(path) as raster:
            pixels = raster.read(Box.whole(raster.size), raster.size)
    assert np.array_equal(pixels.mask, mask)
    shown = expected.astype(int) * mask[:, :, None]
    assert np.abs(pixels.array.astype(int) - shown).max() <= apart


def write(path: Path, array: np.ndarray, mask: np.ndarray | None = None, **options: Any) -> Path:
    """By rasterio; `array` is `[bands, h, w]`."""
    profile = {"driver": "GTiff", "count": array.shape[0], "dtype": array.dtype.name}
    sides = {"height": array.shape[1], "width": array.shape[2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **profile | sides | options) as image,
        ):
            image.write(array)
            if mask is not None:
                image.write_mask(mask)
    return path


TILED: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "zstd", "packbits", "lzma", "webp"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
def test_rasterio_geotiffs(tmp_path: Path, compress: str, interleave: str, layout: dict):
    if compress == "webp":
        if interleave == "band":
            pytest.skip("WebP holds whole pixels")
        layout = layout | {"webp_lossless": True}
    array = np.moveaxis(noise_raster(*SIZE) // 8, 2, 0)
    options: dict = {"photometric": "rgb", "predictor": 2} if compress in ("deflate", "lzw") else {}
    path = write(
        tmp_path / "a.tif", array, compress=compress, interleave=interleave, **options, **layout
    )
    assert_alike(path)


@pytest.mark.parametrize("options", [{}, {"photometric": "ycbcr"}, {"interleave": "band"}], ids=str)
def test_rasterio_jpeg_geotiffs(tmp_path: Path, options: dict):
    array = np.moveaxis(coordinate_raster(*SIZE), 2, 0)
    path = write(tmp_path / "a.tif", array, compress="jpeg", quality=95, **TILED, **options)
    assert_alike(path, apart=6)


@pytest.mark.parametrize("options", [{}, {"nbits": 4}, {"photometric": "miniswhite"}], ids=str)
def test_rasterio_grey_geotiffs(tmp_path: Path, options: dict):
    array = GREY[None] % 16 if options else GREY[None]
    path = write(tmp_path / "a.tif", array, compress="deflate", **options)
    expected = by_rasterio(path)[0]
    if "nbits" in options:
        expected = expected * 17  # 15 is white
    if "photometric" in options:
        expected = 255 - expected  # GDAL leaves that to who shows it
    with open_raster(path) as raster:
        assert np.array_equal(raster.read(Box.whole(raster.size), raster.size).array, expected)


def test_masks_no_data_and_sparse_files_of_rasterio(tmp_path: Path):
    array, mask = np.moveaxis(coordinate_raster(*SIZE), 2, 0), GREY > 90
    assert_alike(write(tmp_path / "mask.tif", array, mask, compress="deflate", **TILED))
    assert_alike(write(tmp_path / "raw-mask.tif", array, mask))
    assert_alike(write(tmp_path / "nodata.tif", array, nodata=0, **TILED))
    array = array.copy()
    array[:, :128] = 0
    assert_alike(write(tmp_path / "sparse.tif", array, sparse_ok=True, nodata=0, **TILED))
    alpha = np.concatenate([array, mask[None] * np.uint8(255)])
    assert_alike(write(tmp_path / "alpha.tif", alpha, photometric="rgb", alpha="yes"))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_depths_of_rasterio(tmp_path: Path, dtype: str, predictor: int):
    if (predictor == 3) == (np.dtype(dtype).kind != "f") and predictor > 1:
        pytest.skip("another kind of numbers")
    array = (np.moveaxis(coordinate_raster(*SIZE), 2, 0).astype(dtype) * 11)[:2]
    path = write(tmp_path / "a.tif", array, compress="zstd", predictor=predictor, **TILED)
    low, high = (float(value) for value in np.percentile(array[0].astype(float), [2, 98]))
    expected = np.floor(np.clip((array[0] - low) * 255 / (high - low), 0, 255) + 0.5)
    with open_raster(path, Reading(bands=(1,), stretch=(2.0, 98.0))) as raster:
        shown = raster.read(Box.whole(raster.size), raster.size).array[..., 0]
    assert np.abs(shown - expected).max() <= 1


def test_cogs_of_gdal(tmp_path: Path):
    array = np.moveaxis(coordinate_raster(900, 1100), 2, 0)
    path = write(tmp_path / "a.tif", array, driver="COG", compress="deflate", blocksize=256)
    with open_raster(path) as raster:
        assert len(raster.levels) > 1
    assert_alike(path)


def test_tiffs_of_pillow_and_tifffile(tmp_path: Path):
    picture = Image.fromarray(coordinate_raster(*SIZE))
    for number, compression in enumerate(["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]):
        picture.save(tmp_path / f"{number}.tif", compression=compression)
        assert_alike(tmp_path / f"{number}.tif")
    options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "t.tif", coordinate_raster(*SIZE), compression="zstd", **options)
    assert_alike(tmp_path / "t.tif")


@pytest.mark.parametrize(
    "options",
    [{}, {"tile": True, "compression": "deflate"}, {"compression": "lzw", "predictor": 2},
     {"tile": True, "pyramid": True, "subifd": True, "compression": "deflate"}, {"bigtiff": True}],
    ids=str,
)  # fmt: skip
def test_tiffs_of_pyvips(tmp_path: Path, options: dict):
    pyvips = pytest.importorskip("pyvips")
    image = pyvips.Image.new_from_array(coordinate_raster(600, 700))
    named = {"predictor": "horizontal"} if "predictor" in options else {}
    image.tiffsave(str(tmp_path / "a.tif"), **options | named)
    assert_alike(tmp_path / "a.tif")


@pytest.mark.parametrize("driver", ["zarr", "zarr3"])
def test_stores_of_tensorstore(tmp_path: Path, driver: str):
    tensorstore = pytest.importorskip("tensorstore")
    array = coordinate_raster(*SIZE)
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(tmp_path / "a.zarr")}}
    created = tensorstore.open(spec, create=True, dtype="uint8", shape=array.shape).result()
    created[...] = array
    with open_raster(tmp_path / "a.zarr") as raster:
        assert np.array_equal(raster.read(Box.whole(raster.size), raster.size).array, array)


@pytest.mark.skipif(not AERIAL, reason="UHRQA_TEST_IMAGES names no folder")
def test_aerial_images():
    paths = sorted(Path(AERIAL or "").glob("*.tif"))
    assert paths
    for path in paths:
        assert_alike(path)


def test_overviews_and_masks_beside_a_file(tmp_path: Path):
    array, mask = np.moveaxis(coordinate_raster(600, 700), 2, 0), np.zeros((600, 700), bool)
    mask[:300, 100:] = True
    path = write(tmp_path / "a.tif", array, **TILED)
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        warnings.simplefilter("ignore")
        with rasterio.open(path, "r+") as image:
            image.write_mask(mask)
        with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as image:
            image.build_overviews([2, 4])
    assert {file.suffix for file in tmp_path.iterdir()} >= {".tif", ".msk", ".ovr"}
    assert_alike(path)
    with open_raster(path) as raster:
        assert raster.levels == (Size(600, 700), Size(300, 350), Size(150, 175))
        small = raster.read(Box.whole(raster.size), Size(150, 175))
        assert raster.bytes_read < 0.3 * path.stat().st_size
    assert np.array_equal(small.mask, mask[::4, ::4])
    (tmp_path / "a.tif.msk").write_bytes(b"II*\0")
    with pytest.raises(RasterError, match=r"a\.tif\.msk: .*write it again, or remove it"):
        open_raster(path)


def test_overviews_without_the_mask_of_their_image_are_not_used(tmp_path: Path):
    array, mask = np.moveaxis(coordinate_raster(600, 700), 2, 0), np.zeros((600, 700), bool)
    path = write(tmp_path / "a.tif", array, **TILED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as image:
            image.build_overviews([2])
    with open_raster(path) as raster:
        assert len(raster.levels) == 2
    tifffile.imwrite(tmp_path / "a.tif.msk", mask.astype(np.uint8), metadata=None)
    with open_raster(path) as raster:
        assert len(raster.levels) == 1
        assert not raster.read(Box.whole(raster.size), Size(60, 70)).mask.any()


@pytest.mark.parametrize(
    "options",
    [
        {"endianness": "BIG", "compress": "lzw", "predictor": 2},
        {"endianness": "BIG", "interleave": "band"},
        {"bigtiff": "YES", "compress": "zstd", "predictor": 2, **TILED},
        {"compress": "deflate", "predictor": 2, "interleave": "band", **TILED},
        {"compress": "lerc", **TILED},
        {"compress": "lerc_deflate", **TILED},
        {"compress": "lerc_zstd", "interleave": "band", **TILED},
        {"compress": "deflate", "blockysize": 7},
        {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 256},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_layouts_of_rasterio_at_every_depth(tmp_path: Path, options: dict, dtype: str):
    array = np.moveaxis(coordinate_raster(*SIZE), 2, 0).astype(dtype)
    if dtype == "float32" and "predictor" in options:
        options = options | {"predictor": 3}
    path = write(tmp_path / "a.tif", array * (9 if dtype != "uint8" else 1), **options)
    bands, _ = by_rasterio(path)
    if dtype == "uint8":
        assert_alike(path)
        return
    limits = np.percentile(bands.reshape(-1, 3).astype(float), [0, 100], axis=0)
    expected = np.floor((bands - limits[0]) * 255 / (limits[1] - limits[0]).clip(1) + 0.5)
    with open_raster(path, Reading(stretch=(0.0, 100.0))) as raster:
        shown = raster.read(Box.whole(raster.size), raster.size).array
    varied = limits[1] > limits[0]  # a band of one value is middle grey
    assert np.abs(shown - expected)[..., varied].max() <= 1


def test_faxes_of_rasterio(tmp_path: Path):
    array = (GREY[None] > 90).astype(np.uint8)
    path = write(tmp_path / "a.tif", array, nbits=1, compress="ccittfax4")
    with open_raster(path) as raster:
        shown = raster.read(Box.whole(raster.size), raster.size).array
    assert np.array_equal(shown, by_rasterio(path)[0] * 255)


@pytest.mark.parametrize("writer", ["pillow", "pyvips", "rasterio"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_png_and_jpeg_of_others(tmp_path: Path, writer: str, suffix: str):
    array, path = coordinate_raster(*SIZE), tmp_path / f"a.{suffix}"
    if writer == "pillow":
        Image.fromarray(array).save(path)
    elif writer == "pyvips":
        pyvips = pytest.importorskip("pyvips")
        pyvips.Image.new_from_array(array).write_to_file(str(path))
    else:
        driver = {"png": "PNG", "jpg": "JPEG"}[suffix]
        write(path, np.moveaxis(array, 2, 0), driver=driver)
    assert_alike(path, apart=0 if suffix == "png" else 4)


@pytest.mark.parametrize("compress", ["NONE", "BLOSC", "ZLIB", "ZSTD"])
def test_grey_stores_of_gdal(tmp_path: Path, compress: str):  # its version 3 is that of a draft
    path, options = tmp_path / "a.zarr", {"COMPRESS": compress, "BLOCKSIZE": "64,64"}
    write(path, GREY[None], None, driver="Zarr", **options)
    with open_raster(path) as raster:
        shown = raster.read(Box.whole(raster.size), raster.size).array
    assert np.array_equal(shown[..., 0], GREY)
