"""What every format must do, whatever the container."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.fixtures_raster import coordinate_raster, noise_raster
from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Pyramid
from uhrqa.raster import Raster, open_raster
from uhrqa.raster.array import open_array


def resized(array: np.ndarray, size: Size) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize((size.w, size.h), Image.Resampling.BICUBIC))


def grey_levels_apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_the_whole_image_at_its_own_size_is_what_was_stored(raster: Raster, picture: np.ndarray):
    pixels = raster.read(Box.whole(raster.size), raster.size)
    assert np.array_equal(pixels.array, picture)
    assert pixels.mask.all()
    assert pixels.array.dtype == np.uint8


def test_the_size_and_the_levels_are_those_of_the_file(raster: Raster, picture: np.ndarray):
    assert raster.size == picture.shape[:2]
    assert raster.levels == (raster.size,)


def test_a_window_at_scale_one_is_a_slice(raster: Raster, picture: np.ndarray):
    pixels = raster.read(Box(60, 130, 60 + 200, 130 + 100), Size(100, 200))
    assert np.array_equal(pixels.array, picture[130:230, 60:260])


def test_a_thumbnail_is_pillows_resize_of_the_whole(raster: Raster, picture: np.ndarray):
    out = Size(43, 67)
    thumbnail = raster.read(Box.whole(raster.size), out)
    assert np.array_equal(thumbnail.array, resized(picture, out))


def test_beyond_the_edge_is_black_and_masked(raster: Raster, picture: np.ndarray):
    pixels = raster.read(Box(500, -10, 530, 20), Size(30, 30))
    inside = np.zeros((30, 30), bool)
    inside[10:, :17] = True
    assert np.array_equal(pixels.mask, inside)
    assert np.array_equal(pixels.array[10:, :17], picture[:20, 500:])
    assert not pixels.array[~inside].any()


def test_a_box_outside_the_image_is_all_masked(raster: Raster):
    pixels = raster.read(Box(600, 400, 700, 500), Size(8, 8))
    assert not pixels.mask.any()
    assert not pixels.array.any()


def test_threads_get_the_same_pixels(raster: Raster, picture: np.ndarray):
    corners = [(x, y) for y in range(0, 250, 25) for x in range(0, 450, 50)]

    def is_slice(corner: tuple[int, int]) -> bool:
        x, y = corner
        array = raster.read(Box(x, y, x + 60, y + 60), Size(60, 60)).array
        return np.array_equal(array, picture[y : y + 60, x : x + 60])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(is_slice, corners))


def test_a_pixel_tells_its_place_after_a_two_fold_reduction():
    # A ramp has no detail to lose: away from its wraps, a reduced pixel is the mean of its four.
    raster = open_array(coordinate_raster(200, 200))
    reduced = raster.read(Box(40, 60, 140, 160), Size(50, 50)).array
    assert reduced[10, 20, 0] == pytest.approx(40 + 2 * 20 + 0.5, abs=1)
    assert reduced[10, 20, 1] == pytest.approx(60 + 2 * 10 + 0.5, abs=1)


@pytest.mark.parametrize("size", [Size(900, 1400), Size(1501, 333), Size(301, 1999), Size(50, 70)])
def test_the_tiles_of_a_level_are_one_resize_of_the_whole(size: Size):
    source = noise_raster(*size)
    with open_raster(source) as raster:
        for level in Pyramid.build(size, tile=112, min_side=336):
            rows, cols = level.grid
            whole = np.zeros((rows * 112, cols * 112, 3), np.uint8)
            shown = np.zeros((rows * 112, cols * 112), bool)
            for tile in level.tiles():
                place = (
                    slice(tile.row * 112, tile.row * 112 + 112),
                    slice(tile.col * 112, tile.col * 112 + 112),
                )
                pixels = raster.read(level.box(tile), Size(112, 112))
                whole[place], shown[place] = pixels.array, pixels.mask
            h, w = level.size
            assert grey_levels_apart(whole[:h, :w], resized(source, level.size)) <= 1
            assert shown[:h, :w].all()
            assert shown.sum() == h * w


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_whole_window_is_a_slice_with_its_outside_masked(data: st.DataObject):
    h, w = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    x, y = data.draw(st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
    out = Size(*data.draw(st.tuples(st.integers(1, 60), st.integers(1, 60))))
    source = noise_raster(h, w)
    pixels = open_array(source).read(Box(x, y, x + out.w, y + out.h), out)
    padded = np.zeros((200, 200, 3), np.uint8)
    padded[60 : 60 + h, 60 : 60 + w] = source
    inside = np.zeros((200, 200), bool)
    inside[60 : 60 + h, 60 : 60 + w] = True
    window = slice(60 + y, 60 + y + out.h), slice(60 + x, 60 + x + out.w)
    assert np.array_equal(pixels.array, padded[window])
    assert np.array_equal(pixels.mask, inside[window])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_box_at_any_scale_shows_a_flat_image_as_flat(data: st.DataObject):
    h, w = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    x, y = data.draw(st.tuples(st.floats(-100, 100), st.floats(-100, 100)))
    box_w, box_h = data.draw(st.tuples(st.floats(0.01, 200), st.floats(0.01, 200)))
    out = Size(*data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40))))
    pixels = open_array(np.full((h, w), 77, np.uint8)).read(Box(x, y, x + box_w, y + box_h), out)
    assert pixels.array.shape == (*out, 3)
    assert (pixels.array[pixels.mask] == 77).all()
    assert not pixels.array[~pixels.mask].any()


def test_the_mask_shows_the_pixels_whose_centre_is_on_the_image():
    rng = np.random.default_rng(0)
    raster = open_array(noise_raster(9, 50))
    for _ in range(300):
        x0, w, count = rng.uniform(-90, 60), rng.uniform(1, 200), int(rng.integers(1, 40))
        mask = raster.read(Box(x0, 0, x0 + w, 9), Size(3, count)).mask[1]
        centres = x0 + (np.arange(count) + 0.5) * w / count
        assert np.array_equal(mask, (centres > 0) & (centres < 50))


def test_a_closed_raster_is_not_read(container: Path | np.ndarray):
    raster = open_raster(container)
    raster.close()
    raster.close()
    with pytest.raises(ValueError, match="closed"):
        raster.read(Box(0, 0, 5, 5), Size(5, 5))


@pytest.mark.parametrize("box", [Box(0, 0, 0, 5), Box(5, 5, 1, 9), Box(0, 0, float("nan"), 5)])
def test_a_box_without_area_is_a_mistake_of_the_caller(box: Box):
    with pytest.raises(ValueError, match="area"):
        open_array(noise_raster(9, 9)).read(box, Size(4, 4))


def test_grey_is_repeated_in_three_channels():
    grey = noise_raster(40, 50)[..., 0]
    pixels = open_array(grey).read(Box(0, 0, 50, 40), Size(40, 50))
    assert np.array_equal(pixels.array, np.repeat(grey[:, :, None], 3, axis=2))


def test_opening_the_package_loads_nothing_heavier_than_numpy():
    code = "import uhrqa.raster, sys; print([m for m in sys.modules if m in %r])"
    heavy = ["tifffile", "zarr", "PIL", "imagecodecs", "torch"]
    done = subprocess.run(
        [sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
