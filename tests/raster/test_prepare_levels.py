"""`prepare`: antialiased levels that no-data and hidden colours do not bleed into."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.raster.copied import TARGETS, H, W, assert_alike, save, stored, values
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster
from uhrqa.raster.prepare import prepare
from uhrqa.raster.reduce import shrink
from uhrqa.reading import Reading

pytestmark = pytest.mark.filterwarnings(
    "ignore::uhrqa.raster.ExtraBandsWarning",
    "ignore::uhrqa.raster.StretchWarning",
)


def even(array: np.ndarray) -> np.ndarray:
    h, w = array.shape[:2]
    return np.pad(array, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")


@pytest.mark.parametrize("target", TARGETS)
def test_levels_of_bytes_are_halvings_of_all(tmp_path: Path, target: str) -> None:
    array = values("uint8", 3)
    prepare(save(tmp_path / "a.tif", array, photometric="rgb"), tmp_path / target)
    for level in range(1, 3):
        array = shrink(even(array))
        assert np.array_equal(stored(tmp_path / target, level), array)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_levels_of_other_types_are_pillows_bicubic(tmp_path: Path, dtype: str, target: str) -> None:
    array = values(dtype)
    prepare(save(tmp_path / "a.tif", array), tmp_path / target)
    plane = Image.fromarray(even(array)[..., 0].astype(np.float32))
    expected = np.asarray(plane.resize((plane.width // 2, plane.height // 2), 3))
    made = stored(tmp_path / target, 1)[..., 0].astype(np.float64)
    assert np.abs(made - expected).max() <= (1 if dtype != "float32" else 1e-3)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("int16", -9999), ("float32", np.nan)])
def test_no_data_stays_and_bleeds_into_no_level(
    tmp_path: Path, dtype: str, nodata: float, target: str
) -> None:
    array = np.full((H, W, 1), 100, dtype)
    array[:, 301:] = nodata
    tags = [] if np.isnan(nodata) else [(42113, "s", 0, str(nodata), True)]
    source = save(tmp_path / "a.tif", array, extratags=tags)
    prepare(source, tmp_path / target)
    assert_alike(source, tmp_path / target, Reading(stretch=(0, 100)))
    for level, edge in ((1, 150), (2, 75)):
        made = stored(tmp_path / target, level)[..., 0]
        assert np.allclose(made[:, :edge], 100)
        beyond = made[:, edge + 1 :]
        assert np.isnan(beyond).all() if np.isnan(nodata) else (beyond == nodata).all()


def test_no_mean_of_image_becomes_no_data(tmp_path: Path) -> None:
    array = np.zeros((H, W, 1), "uint8")
    array[::2, ::2] = 1
    array[:, 900:] = 7
    tags = [(42113, "s", 0, "2", True)]
    array[array == 1] = 4  # a mean of 0 and 4 in the middle of the image is about 1 to 2
    prepare(save(tmp_path / "a.tif", array, extratags=tags), tmp_path / "b.tif")
    assert (stored(tmp_path / "b.tif", 1) != 2).all()


def test_alpha_stays_and_hidden_colours_do_not_bleed(tmp_path: Path) -> None:
    array = np.full((H, W, 4), 200, np.uint8)
    array[:, 300:] = 0
    source = save(tmp_path / "a.tif", array, photometric="rgb", extrasamples=[2])
    prepare(source, tmp_path / "b.tif")
    assert np.array_equal(stored(tmp_path / "b.tif", 0), array)
    assert_alike(source, tmp_path / "b.tif")
    made = stored(tmp_path / "b.tif", 1)
    assert (made[:, :150] == 200).all()
    assert (made[:, 150:] == 0).all()
    with pytest.raises(RasterError, match=r"transparency.*write a \.tif"):
        prepare(source, tmp_path / "b.zarr")


def test_a_thumbnail_of_the_copy_reads_a_small_part(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", values("uint8", 3), photometric="rgb")
    prepare(source, tmp_path / "b.tif")
    with warnings.catch_warnings(), open_raster(tmp_path / "b.tif") as raster:
        warnings.simplefilter("error")
        raster.read(Box.whole(raster.size), Size(50, 84))
        assert raster.bytes_read < (tmp_path / "b.tif").stat().st_size / 8


@pytest.mark.parametrize("target", TARGETS)
def test_views_of_a_copy_with_odd_sides_lie_where_the_image_does(
    tmp_path: Path, target: str
) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (131, 259, 3), np.uint8)).resize((2067, 1043))
    prepare(save(tmp_path / "a.tif", np.asarray(image), photometric="rgb"), tmp_path / target)
    out = Size(96, 192)
    with open_raster(tmp_path / target) as raster:
        seen = raster.read(Box.whole(raster.size), out).array
    expected = image.resize((out.w, out.h), Image.Resampling.BICUBIC)
    error = np.asarray(expected) - seen.astype(float)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 50


@pytest.mark.parametrize(("image", "shown"), [(1, False), (3, True)])
def test_a_pixel_is_image_where_half_of_it_is(tmp_path: Path, image: int, *, shown: bool) -> None:
    array = np.zeros((600, 600, 1), np.uint8)  # of each 2 x 2 pixels, `image` are image
    for y, x in ((0, 0), (0, 1), (1, 0))[:image]:
        array[y::2, x::2] = 100
    source = save(tmp_path / "a.tif", array, extratags=[(42113, "s", 0, "0", True)])
    prepare(source, tmp_path / "b.tif")
    assert (stored(tmp_path / "b.tif", 1)[8:-8, 8:-8] == (100 if shown else 0)).all()
