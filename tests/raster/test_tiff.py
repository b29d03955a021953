"""TIFF: which stored level serves a read, what is read from the file, which bands are shown."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.fixtures_raster import coordinate_raster, level_raster, noise_raster
from uhrqa.geometry import Box, Size
from uhrqa.raster import ExtraBandsWarning, OtherPagesWarning, has_mask, open_raster, serving
from uhrqa.raster.reduce import shrink

WHOLE = Size(515, 1031)
CEILED = [(Size(258, 516), 20), (Size(129, 258), 30), (Size(65, 129), 40)]  # as gdaladdo writes
FLOORED = [(Size(257, 515), 20), (Size(128, 257), 30), (Size(64, 128), 40)]  # as the COG driver


def value_read(path: Path, out: Size, box: Box | None = None) -> int:
    with open_raster(path) as raster:
        values = np.unique(raster.read(box or Box.whole(raster.size), out).array)
    assert len(values) == 1, "levels are never mixed"
    return int(values[0])


@pytest.mark.parametrize("sub_ifds", [False, True], ids=["later-images", "sub-ifds"])
@pytest.mark.parametrize("levels", [CEILED, FLOORED], ids=["ceiled", "floored"])
@pytest.mark.parametrize(
    ("out", "value"),
    [
        (Size(515, 1031), 10),
        (Size(300, 600), 10),
        (Size(258, 516), 20),  # half: both writers' rounding serves it
        (Size(200, 400), 20),
        (Size(128, 257), 30),
        (Size(129, 258), 30),
        (Size(64, 128), 40),
        (Size(20, 40), 40),
        (Size(66, 130), 30),  # one pixel short, but that is more than 1 %
        (Size(260, 520), 10),  # less than 1 % short, but more than one pixel
        (Size(20, 600), 10),  # the axis that needs more decides
    ],
)
def test_the_coarsest_level_with_the_asked_resolution_is_read(
    tmp_path: Path, levels: list, sub_ifds: bool, out: Size, value: int, monkeypatch
):
    monkeypatch.setattr(serving, "WHOLE_GAP", 1)  # as for parts of an image
    path = tmp_path / "levels.tif"
    level_raster(path, WHOLE, levels, sub_ifds=sub_ifds)
    assert value_read(path, out) == value


@pytest.mark.parametrize(
    ("out", "value"),
    [
        (Size(258, 516), 20),  # a level's own size
        (Size(129, 258), 30),
        (Size(110, 220), 10),
        (Size(100, 200), 20),
        (Size(60, 120), 20),
        (Size(51, 102), 30),
        (Size(20, 40), 40),
    ],
)
def test_a_view_of_all_is_made_of_a_level_some_times_as_fine(tmp_path: Path, out: Size, value: int):
    level_raster(tmp_path / "levels.tif", WHOLE, CEILED)
    assert value_read(tmp_path / "levels.tif", out) == value


def test_a_view_of_all_is_near_to_resizing_all_of_the_image(tmp_path: Path):
    level = noise_raster(1024, 1024)
    whole = Image.fromarray(level)
    with tifffile.TiffWriter(tmp_path / "levels.tif") as tif:
        for number in range(3):
            kind: dict[str, Any] = {"photometric": "rgb", "tile": (128, 128), "metadata": None}
            tif.write(level, subfiletype=int(number > 0), **kind)
            level = shrink(level)
    with open_raster(tmp_path / "levels.tif") as raster:
        seen = raster.read(Box.whole(raster.size), Size(200, 200)).array
    error = np.asarray(whole.resize((200, 200), Image.Resampling.BICUBIC)) - seen.astype(float)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 50


def test_a_view_of_all_takes_no_large_level(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(serving, "WHOLE_PIXELS", 258 * 516)
    level_raster(tmp_path / "levels.tif", WHOLE, CEILED)
    assert value_read(tmp_path / "levels.tif", Size(110, 220)) == 20


def test_levels_are_listed_finest_first(tmp_path: Path):
    level_raster(tmp_path / "levels.tif", WHOLE, CEILED)
    with open_raster(tmp_path / "levels.tif") as raster:
        assert raster.levels == (WHOLE, *(size for size, _ in CEILED))


def test_a_window_reads_the_level_of_its_scale(tmp_path: Path):
    level_raster(tmp_path / "levels.tif", WHOLE, CEILED)
    assert value_read(tmp_path / "levels.tif", Size(50, 50), Box(200, 100, 400, 300)) == 30


def test_a_level_of_another_shape_is_no_overview(tmp_path: Path):
    level_raster(tmp_path / "levels.tif", WHOLE, [(Size(200, 200), 99)])
    with open_raster(tmp_path / "levels.tif") as raster:
        assert raster.levels == (WHOLE,)


def test_a_later_image_that_is_not_marked_as_reduced_is_no_overview(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "pages.tif") as tif:
        tif.write(noise_raster(200, 300), photometric="rgb", metadata=None)
        tif.write(noise_raster(100, 150), photometric="rgb", metadata=None)
    with open_raster(tmp_path / "pages.tif") as raster:
        assert raster.levels == (Size(200, 300),)


def save_pages(path: Path, *sizes: tuple[int, int], **options: Any) -> Path:
    """Pages that are not marked as reduced, each flat: 10, 20, ..."""
    with tifffile.TiffWriter(path) as tif:
        for index, size in enumerate(sizes):
            flat = np.full((*size, 3), 10 * (index + 1), np.uint8)
            tif.write(flat, photometric="rgb", metadata=None, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "zlib"}])
def test_a_larger_page_after_its_thumbnail_is_the_image(tmp_path: Path, options: dict):
    path = save_pages(tmp_path / "slide.tif", (50, 75), (400, 600), (200, 300), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(path) as raster:
            assert raster.levels == (Size(400, 600), Size(200, 300), Size(50, 75))
    assert value_read(path, Size(400, 600)) == 20
    assert value_read(path, Size(200, 300)) == 30
    assert value_read(path, Size(50, 75)) == 10


def test_a_thumbnail_of_roughly_the_same_shape_is_no_level(tmp_path: Path):
    with open_raster(save_pages(tmp_path / "t.tif", (102, 150), (400, 600))) as raster:
        assert raster.levels == (Size(400, 600),)


@pytest.mark.parametrize(
    ("sizes", "page", "count"),
    [
        ([(200, 300)] * 3, 1, 3),  # a stack
        ([(200, 300), (210, 314), (205, 308)], 1, 3),  # scans of much the same size
        ([(100, 300), (400, 600), (50, 60)], 1, 3),  # another shape
        ([(50, 75), (200, 300), (200, 300)], 2, 2),  # a stack after its thumbnail
        ([(40, 60), (400, 600), (300, 300)], 2, 2),  # a label beside the image
    ],
)
def test_of_several_full_pages_one_is_read_with_one_warning(
    tmp_path: Path, sizes: list[tuple[int, int]], page: int, count: int
):
    path = save_pages(tmp_path / "pages.tif", *sizes)
    words = rf"pages\.tif: {count} full images; page {page} is read"
    with pytest.warns(OtherPagesWarning, match=words) as caught:
        raster = open_raster(path)
    with raster:
        assert raster.size == Size(*sizes[page - 1])
        assert (raster.read(Box.whole(raster.size), raster.size).array == 10 * page).all()
    assert len(caught) == 1


def test_a_larger_page_of_another_depth_is_not_the_image(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "depth.tif") as tif:
        tif.write(noise_raster(100, 150), photometric="rgb", metadata=None)
        tif.write(np.zeros((200, 300), np.uint16), photometric="minisblack", metadata=None)
    with (
        pytest.warns(OtherPagesWarning, match="2 full images; page 1"),
        open_raster(tmp_path / "depth.tif") as raster,
    ):
        assert raster.size == Size(100, 150)


def test_overview_pixels_lie_where_their_sizes_say(tmp_path: Path):
    # The overview of 101 px is 50 px: its scale is 50/101, not 1/2. Half of the overview's ramp
    # must be half of the source's, to well under a pixel.
    ramp = np.broadcast_to(np.linspace(0, 250, 101)[None, :, None], (101, 101, 3))
    half = np.broadcast_to(np.linspace(0, 250, 50)[None, :, None], (50, 50, 3))
    with tifffile.TiffWriter(tmp_path / "ramp.tif") as tif:
        tif.write(ramp.round().astype(np.uint8), photometric="rgb", metadata=None)
        tif.write(half.round().astype(np.uint8), photometric="rgb", subfiletype=1, metadata=None)
    with open_raster(tmp_path / "ramp.tif") as raster:
        left = raster.read(Box(0, 0, 50.5, 101), Size(50, 25)).array
        whole = raster.read(Box.whole(raster.size), Size(50, 50)).array
    assert np.array_equal(left, whole[:, :25])


def test_a_window_reads_only_the_tiles_under_it(tmp_path: Path):
    path = tmp_path / "tiles.tif"
    tifffile.imwrite(path, noise_raster(640, 640), photometric="rgb", tile=(64, 64), metadata=None)
    with open_raster(path) as raster:
        before = raster.bytes_read
        raster.read(Box(70, 70, 120, 120), Size(50, 50))
        assert raster.bytes_read - before == 64 * 64 * 3
        raster.read(Box(64, 64, 128, 128), Size(64, 64))  # the same tile, at hand
        assert raster.bytes_read - before == 64 * 64 * 3
        raster.read(Box(100, 100, 200, 200), Size(100, 100))  # 3 x 3 tiles, one at hand
        assert raster.bytes_read - before == 9 * 64 * 64 * 3


def test_a_window_of_a_raw_strip_reads_only_its_rows_and_columns(tmp_path: Path):
    path = tmp_path / "strip.tif"
    tifffile.imwrite(path, noise_raster(300, 400), photometric="rgb", metadata=None)
    with open_raster(path) as raster:
        before = raster.bytes_read
        raster.read(Box(10, 20, 60, 50), Size(30, 50))
        assert raster.bytes_read - before == 30 * 50 * 3


def test_jpeg_in_ycbcr_decodes_to_rgb(tmp_path: Path):
    path = tmp_path / "jpeg.tif"
    flat = np.full((64, 128, 3), (200, 120, 40), np.uint8)
    tile = io.BytesIO()
    Image.fromarray(flat[:, :64]).save(tile, "JPEG")  # Pillow encodes in YCbCr
    tifffile.imwrite(
        path,
        iter([tile.getvalue()] * 2),
        shape=flat.shape,
        dtype="uint8",
        photometric="ycbcr",
        subsampling=(2, 2),
        tile=(64, 64),
        compression="jpeg",
        metadata=None,
    )
    with open_raster(path) as raster:
        array = raster.read(Box.whole(raster.size), raster.size).array
    assert np.abs(array.astype(int) - flat).max() <= 2


def test_jpeg_tiles_in_rgb_decode_to_rgb(tmp_path: Path):
    path = tmp_path / "jpeg.tif"
    flat = np.full((128, 192, 3), (200, 120, 40), np.uint8)
    tifffile.imwrite(
        path, flat, photometric="rgb", tile=(64, 64), compression="jpeg", metadata=None
    )
    with open_raster(path) as raster:
        array = raster.read(Box.whole(raster.size), raster.size).array
    assert np.abs(array.astype(int) - flat).max() <= 2


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_transparent_pixels_are_masked_and_black(tmp_path: Path, planar: str):
    rgba = np.dstack([coordinate_raster(90, 80), np.full((90, 80), 255, np.uint8)])
    rgba[:30, :20, 3] = 0
    path = tmp_path / "rgba.tif"
    tifffile.imwrite(
        path,
        np.moveaxis(rgba, 2, 0) if planar == "separate" else rgba,
        photometric="rgb",
        extrasamples=["unassalpha"],
        planarconfig=planar,
        tile=(32, 32),
        metadata=None,
    )
    with open_raster(path) as raster:
        pixels = raster.read(Box.whole(raster.size), raster.size)
    shown = rgba[..., 3] > 0
    assert np.array_equal(pixels.mask, shown)
    assert np.array_equal(pixels.array[shown], rgba[..., :3][shown])
    assert not pixels.array[~shown].any()


def test_a_fourth_band_that_is_not_alpha_is_left_out_with_one_warning(tmp_path: Path):
    bands = np.dstack([coordinate_raster(90, 80), np.zeros((90, 80), np.uint8)])
    path = tmp_path / "naip.tif"
    tifffile.imwrite(
        path, bands, photometric="rgb", extrasamples=["unspecified"], tile=(32, 32), metadata=None
    )
    with pytest.warns(ExtraBandsWarning, match=r"naip\.tif: 4 bands; the first 3") as caught:
        raster = open_raster(path)
    with raster:
        pixels = raster.read(Box.whole(raster.size), raster.size)
    assert len(caught) == 1
    assert pixels.mask.all()
    assert np.array_equal(pixels.array, bands[..., :3])


def test_a_second_band_that_is_not_alpha_is_left_out_with_one_warning(tmp_path: Path):
    path = tmp_path / "two.tif"
    tifffile.imwrite(
        path,
        noise_raster(90, 80)[..., :2],
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"],
        metadata=None,
    )
    words = r"2 bands; the first is shown; .*--bands 2$"
    with pytest.warns(ExtraBandsWarning, match=words):
        open_raster(path).close()


def test_a_tile_that_was_never_written_is_black(tmp_path: Path):
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(
        path, shape=(128, 128, 3), dtype="uint8", photometric="rgb", tile=(64, 64), metadata=None
    )
    with tifffile.TiffFile(path, mode="r+") as tif:
        tags = tif.pages.first.tags
        tags["TileOffsets"].overwrite([0, 0, 0, 0])
        tags["TileByteCounts"].overwrite([0, 0, 0, 0])
    with open_raster(path) as raster:
        assert not raster.read(Box.whole(raster.size), Size(128, 128)).array.any()


def test_an_ordinary_file_gives_no_warning(tmp_path: Path):
    level_raster(tmp_path / "levels.tif", WHOLE, CEILED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value_read(tmp_path / "levels.tif", Size(30, 60))


@pytest.mark.parametrize("how", [{"tile": (64, 64)}, {"rowsperstrip": 20}, {"compression": "zlib"}])
@pytest.mark.parametrize("shape", [(200, 300, 3), (200, 300)])
def test_pixels_of_gdals_nodata_value_are_masked(tmp_path, how, shape) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, shape, np.uint8)
    pixels[:, 180:] = 0
    pixels[50, 50] = 0 if len(shape) == 2 else (0, 9, 0)  # one band alone is no nodata
    tag = [(42113, "s", 0, "0\0", True)]
    file = tmp_path / "nodata.tif"
    kind = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(file, pixels, photometric=kind, extratags=tag, **how)
    with open_raster(file) as raster:
        assert has_mask(raster)
        mask = raster.read(Box.whole(raster.size), raster.size).mask
    expected = np.ones(shape[:2], bool)
    expected[:, 180:] = False
    expected[50, 50] = len(shape) == 3
    assert (mask == expected).all()


@pytest.mark.parametrize("value", ["nan", "-9999", "256", "0.5", "none"])
def test_a_nodata_value_that_no_pixel_can_have_masks_nothing(tmp_path, value) -> None:
    file = tmp_path / "none.tif"
    tag = [(42113, "s", 0, value, True)]
    tifffile.imwrite(file, np.zeros((64, 64, 3), np.uint8), photometric="rgb", extratags=tag)
    with open_raster(file) as raster:
        assert not has_mask(raster)
