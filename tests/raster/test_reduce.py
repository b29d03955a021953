"""Coarse views of large images without overviews: one pass, bounded memory, no drift."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.fixtures_raster import coordinate_raster, noise_raster
from uhrqa.errors import NoOverviewWarning
from uhrqa.geometry import Box, Size
from uhrqa.raster import derived_levels, levels, open_raster, serving
from uhrqa.raster.blocks import Window, flat, read_once
from uhrqa.raster.derived_levels import ArrayLevel, HalvedLevel
from uhrqa.raster.reduce import Halving, halvings, shrink


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code, as if memory were small: images of 300 px count as large."""
    monkeypatch.setattr(levels, "WINDOW_PIXELS", 2**14)
    monkeypatch.setattr(serving, "WHOLE_PIXELS", 2**14)


def save(path: Path, array: np.ndarray) -> Path:
    tifffile.imwrite(
        path, array, photometric="rgb", tile=(64, 64), compression="zlib", metadata=None
    )
    return path


def noise(size: Size, channels: int) -> np.ndarray:
    rng = np.random.default_rng(size.w)
    return rng.integers(0, 256, (*size, channels), np.uint8)


def even(array: np.ndarray) -> np.ndarray:
    h, w = array.shape[:2]
    return np.pad(array, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")


SIZES = [Size(64, 80), Size(77, 33), Size(1, 9), Size(5, 2), Size(9, 1), Size(2, 2)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("band", [1, 2, 7, 100])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_halving_in_bands_is_halving_at_once(size: Size, band: int, channels: int):
    source = noise(size, channels)
    halving = Halving(size)
    rows = [halving.push(source[top : top + band]) for top in range(0, size.h, band)]
    assert np.array_equal(np.concatenate(rows), shrink(even(source)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_window_of_a_half_is_cut_from_the_half_of_all(
    size: Size, channels: int, monkeypatch: pytest.MonkeyPatch
):
    source, rng = noise(size, channels), np.random.default_rng(1)
    whole = shrink(even(source))
    quarter = shrink(even(whole))
    once = HalvedLevel(ArrayLevel(source))
    for pixels in (derived_levels.HALVED_PIXELS, 64):
        monkeypatch.setattr(derived_levels, "HALVED_PIXELS", pixels)
        for level, expected in ((once, whole), (HalvedLevel(once), quarter)):
            assert level.size == expected.shape[:2]
            for _ in range(8):
                y0, x0 = (int(rng.integers(0, side)) for side in level.size)
                y1, x1 = (
                    rng.integers(y0 + 1, level.size.h + 1),
                    rng.integers(x0 + 1, level.size.w + 1),
                )
                window = Window(y0, int(y1), x0, int(x1))
                assert np.array_equal(level.window(window), expected[y0:y1, x0:x1]), window


def test_halving_is_pillows_bicubic_but_for_rounding():
    source = noise_raster(300, 202)
    expected = Image.fromarray(source).resize((101, 150), Image.Resampling.BICUBIC)
    off = np.abs(shrink(source).astype(int) - np.asarray(expected))
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_halved_has_its_samples_side_by_side(channels: int):
    """Else each paste of it would sort them, which costs as much as halving."""
    assert shrink(noise(Size(64, 80), channels)).flags.c_contiguous


def test_five_halvings_do_not_change_the_brightness():
    source = noise_raster(512, 512)
    sizes = [Size(512 >> k, 512 >> k) for k in range(6)]
    last = np.concatenate([rows for number, rows in halvings([source], sizes) if number == 5])
    assert last.shape == (16, 16, 3)
    assert last.mean() == pytest.approx(source.mean(), abs=0.5)


@pytest.mark.usefixtures("small_windows")
def test_a_large_image_is_read_once_for_all_its_coarse_views(tmp_path: Path):
    source = noise_raster(320, 384)
    with open_raster(save(tmp_path / "a.tif", source)) as raster:
        with pytest.warns(NoOverviewWarning, match="uhrqa prepare") as caught:
            first = raster.read(Box.whole(raster.size), Size(40, 48))
        after = raster.bytes_read
        second = raster.read(Box.whole(raster.size), Size(40, 48))
        raster.read(Box(100, 100, 200, 200), Size(10, 10))
        assert raster.bytes_read == after
    assert len(caught) == 1
    assert np.array_equal(first.array, second.array)
    assert after == pytest.approx((tmp_path / "a.tif").stat().st_size, rel=0.02)


def test_rows_of_one_colour_are_halved_as_others():
    size, red, blue = Size(96, 64), *np.array([[255, 3, 77], [9, 0, 200]], np.uint8)
    noise = noise_raster(16, 64)
    rows = [flat(red, Size(16, 64)), flat(red, Size(16, 64)), noise, flat(red, Size(16, 64)),
            flat(blue, Size(16, 64)), flat(blue, Size(16, 64))]  # fmt: skip
    sizes = [size, Size(48, 32), Size(24, 16)]
    flats = list(halvings(rows, sizes))
    plain = list(halvings([np.array(band) for band in rows], sizes))
    for number in (1, 2):
        made, expected = (
            np.concatenate([part for n, part in given if n == number]) for given in (flats, plain)
        )
        assert np.array_equal(made, expected)


@pytest.mark.usefixtures("small_windows")
def test_tiles_that_were_never_written_cost_nothing(tmp_path: Path):
    dense, sparse = tmp_path / "dense.tif", tmp_path / "sparse.tif"
    source = np.zeros((4096, 2048, 3), np.uint8)
    source[:256, :256] = noise_raster(256, 256)
    for path in (dense, sparse):
        tifffile.imwrite(path, source, photometric="rgb", tile=(256, 256), compression="zlib")
    with tifffile.TiffFile(sparse, mode="r+") as tif:
        tags = tif.pages.first.tags
        tags["TileOffsets"].overwrite([tags["TileOffsets"].value[0], *[0] * 127])
        tags["TileByteCounts"].overwrite([tags["TileByteCounts"].value[0], *[0] * 127])
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoOverviewWarning)
        for path in (dense, sparse):
            with open_raster(path) as raster:
                seen.append(raster.read(Box.whole(raster.size), Size(64, 32)).array)
    assert np.array_equal(seen[0], seen[1])
    assert seen[0].any()
    with open_raster(sparse) as raster:
        level = raster.finest  # type: ignore[attr-defined]
        band = read_once(level, Window(256, 4096, 0, 2048))
    assert band.strides[:2] == (0, 0), "all pixels are one"


@pytest.mark.usefixtures("small_windows")
def test_what_a_read_shows_does_not_depend_on_the_reads_before(tmp_path: Path):
    path = save(tmp_path / "a.tif", noise_raster(320, 384))
    box, out = Box(30, 40, 230, 240), Size(20, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoOverviewWarning)
        with open_raster(path) as raster:
            alone = raster.read(box, out).array
        with open_raster(path) as raster:
            raster.read(Box.whole(raster.size), Size(5, 6))
            raster.read(Box.whole(raster.size), raster.size)
            later = raster.read(box, out).array
    assert np.array_equal(alone, later)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.filterwarnings("ignore::uhrqa.errors.NoOverviewWarning")
@pytest.mark.parametrize("size", [Size(320, 384), Size(321, 383)])
def test_made_levels_show_each_place_where_it_is(tmp_path: Path, size: Size):
    source = np.asarray(Image.fromarray(coordinate_raster(8, 8) * 30).resize(size[::-1]))
    with open_raster(save(tmp_path / "a.tif", source)) as raster:
        made = raster.read(Box.whole(size), Size(40, 48)).array
    expected = np.asarray(Image.fromarray(source).resize((48, 40), Image.Resampling.BICUBIC))
    assert np.abs(made.astype(int) - expected).max() <= 2


@pytest.mark.usefixtures("small_windows")
def test_a_full_read_in_bands_is_still_exact(tmp_path: Path):
    source = noise_raster(700, 500)
    with open_raster(save(tmp_path / "a.tif", source)) as raster:
        assert np.array_equal(raster.read(Box.whole(raster.size), raster.size).array, source)
        out = Size(630, 450)
        banded = raster.read(Box.whole(raster.size), out).array
    expected = np.asarray(Image.fromarray(source).resize((450, 630), Image.Resampling.BICUBIC))
    assert np.abs(banded.astype(int) - expected).max() <= 1


@pytest.mark.filterwarnings("ignore::uhrqa.errors.NoOverviewWarning")
def test_a_thumbnail_without_overviews_never_holds_the_image(tmp_path: Path):
    path = tmp_path / "large.tif"
    side = 8192  # 201 MB decoded
    blank = tifffile.memmap(
        path, shape=(side, side, 3), dtype="uint8", photometric="rgb", metadata=None
    )
    blank[::512] = 255
    blank.flush()
    del blank
    tracemalloc.start()
    with open_raster(path) as raster:
        raster.read(Box.whole(raster.size), Size(336, 336))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 130e6


@pytest.mark.filterwarnings("ignore::uhrqa.errors.NoOverviewWarning")
def test_images_that_fit_in_a_window_get_no_made_levels(tmp_path: Path):
    source = noise_raster(2048, 300)
    with open_raster(save(tmp_path / "a.tif", source)) as raster:
        thumbnail = raster.read(Box.whole(raster.size), Size(336, 49)).array
    expected = np.asarray(Image.fromarray(source).resize((49, 336), Image.Resampling.BICUBIC))
    assert np.array_equal(thumbnail, expected)
