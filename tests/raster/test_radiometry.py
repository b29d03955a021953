"""Depths, bands, contrast, colour models, masks: the same pixels whichever container."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from tests.fixtures_raster import CONTAINERS, coordinate_raster, noise_raster
from uhrqa.errors import ConfigError, RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import (
    ExtraBandsWarning,
    NoDataWarning,
    Pixels,
    StretchWarning,
    open_raster,
    shown,
)
from uhrqa.raster.painter import cmyk_to_rgb
from uhrqa.reading import MINMAX, Reading, parse_bands, parse_stretch

SIZE = Size(150, 210)
PLAIN = Reading(stretch="none")
QUIET = Reading(stretch=(2.0, 98.0))


def deep_raster(dtype: Any = np.uint16) -> np.ndarray:
    """`[h, w, 3]`: smooth, each band with a range of its own, none of them the type's."""
    y, x = np.mgrid[: SIZE.h, : SIZE.w]
    bands = np.stack([100 + 40 * x, 3000 + 10 * y, 500 + 7 * x + 13 * y], axis=-1)
    return bands.astype(dtype)


def stretched(values: np.ndarray, low: float = 2, high: float = 98) -> np.ndarray:
    """What must be shown, computed at once and band by band."""
    out = np.empty(values.shape, np.uint8)
    for band in range(values.shape[2]):
        one = values[..., band].astype(np.float64)
        a, b = np.percentile(one[np.isfinite(one)], [low, high])
        out[..., band] = np.floor(np.clip((one - a) * 255 / (b - a), 0, 255) + 0.5)
    return out


def read(source: Any, reading: Reading | None = None) -> Pixels:
    with open_raster(source, reading) as raster:
        return raster.read(Box.whole(raster.size), raster.size)


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


# ------------------------------------------------------------------ depths and contrast


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name != "array"])
def test_sixteen_bits_look_alike_in_every_container(tmp_path: Path, name: str):
    array = deep_raster()
    pixels = read(CONTAINERS[name](tmp_path, array), QUIET)
    assert np.array_equal(pixels.array, stretched(array))
    assert pixels.mask.all()


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int32", "float16", "float32", "f8"])
@pytest.mark.parametrize("container", ["tiff-tiles", "tiff-strips", "tiff-big-endian", "zarr"])
def test_every_depth_is_stretched_by_its_values(tmp_path: Path, dtype: str, container: str):
    array = (deep_raster() // 80 - 20 if dtype == "int8" else deep_raster()).astype(dtype)
    if container == "zarr":
        path = tmp_path / "a.zarr"
        zarr.create_array(store=str(path), data=array, chunks=(64, 64, 3))
    else:
        kinds: dict[str, dict] = {
            "tiff-tiles": {"tile": (64, 64), "compression": "zstd"},
            "tiff-strips": {"rowsperstrip": 40},
            "tiff-big-endian": {"tile": (64, 64), "byteorder": ">"},
        }
        path = save(tmp_path / "a.tif", array, photometric="rgb", **kinds[container])
    pixels = read(path, QUIET)
    apart = np.abs(pixels.array.astype(int) - stretched(array))
    assert apart.max() <= 1  # halves may round either way
    assert np.mean(apart > 0) < 0.02
    assert pixels.mask.all()


def test_unasked_contrast_is_told_in_one_line_and_is_two_to_ninety_eight(tmp_path: Path):
    path = save(tmp_path / "deep.tif", deep_raster(), photometric="rgb", tile=(64, 64))
    words = r"deep\.tif: uint16 samples, shown from the 2nd to the 98th .* --stretch"
    with pytest.warns(StretchWarning, match=words) as caught:
        pixels = read(path)
    assert len(caught) == 1
    assert np.array_equal(pixels.array, stretched(deep_raster()))


def test_minmax_shows_the_darkest_black_and_the_brightest_white(tmp_path: Path):
    path = save(tmp_path / "a.tif", deep_raster(), photometric="rgb")
    pixels = read(path, Reading(stretch=MINMAX))
    assert np.array_equal(pixels.array, stretched(deep_raster(), 0, 100))
    assert (pixels.array.min(), pixels.array.max()) == (0, 255)


def test_no_stretch_shows_the_range_of_the_type(tmp_path: Path):
    wide = np.array([[0, 257, 32768, 65535]], np.uint16)
    assert read(save(tmp_path / "a.tif", wide), PLAIN).array[0, :, 0].tolist() == [0, 1, 128, 255]
    signed = np.array([[-32768, 0, 32767]], np.int16)
    assert read(save(tmp_path / "b.tif", signed), PLAIN).array[0, :, 0].tolist() == [0, 128, 255]
    twelve = np.array([[0, 4095, 2048]], np.uint16)
    path = save(tmp_path / "c.tif", twelve, bitspersample=12, photometric="minisblack")
    assert read(path, PLAIN).array[0, :, 0].tolist() == [0, 255, 128]


def test_eight_bits_are_left_alone_unless_asked(tmp_path: Path):
    array = noise_raster(60, 70) // 4
    path = save(tmp_path / "a.tif", array, photometric="rgb")
    assert np.array_equal(read(path).array, array)
    assert np.array_equal(read(path, QUIET).array, stretched(array))


def test_floats_have_no_range_of_their_own(tmp_path: Path):
    path = save(tmp_path / "a.tif", deep_raster(np.float32), photometric="rgb")
    with pytest.raises(RasterError, match="must be stretched"):
        open_raster(path, PLAIN)


def test_a_flat_band_is_grey_not_black(tmp_path: Path):
    path = save(tmp_path / "a.tif", np.full((40, 50), 900, np.uint16))
    assert np.unique(read(path, QUIET).array) == [128]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fewer_than_eight_bits_span_black_to_white(tmp_path: Path, bits: int):
    values = np.arange(70 * 64, dtype=np.uint8).reshape(70, 64) % 2**bits
    stored = values.astype(bool) if bits == 1 else values
    options: dict = {} if bits == 1 else {"bitspersample": bits}
    path = save(tmp_path / "a.tif", stored, photometric="minisblack", **options)
    assert np.array_equal(read(path).array[..., 0], values * (255 // (2**bits - 1)))


def test_what_a_read_shows_does_not_depend_on_the_reads_before(tmp_path: Path):
    path = save(tmp_path / "a.tif", deep_raster(), photometric="rgb", tile=(64, 64))
    box, out = Box(150, 20, 200, 70), Size(50, 50)
    with open_raster(path, QUIET) as raster:
        alone = raster.read(box, out).array
    with open_raster(path, QUIET) as raster:
        raster.read(Box(0, 0, 30, 30), Size(30, 30))
        later = raster.read(box, out).array
    assert np.array_equal(alone, later)


@pytest.mark.filterwarnings("ignore::uhrqa.errors.NoOverviewWarning")
def test_large_images_are_sampled_alike_whatever_their_tiles(tmp_path: Path):
    rng = np.random.default_rng(0)
    array = rng.gamma(2, 300, (2500, 2100)).astype(np.uint16)
    array[:1250] += 2000
    found = []
    kinds: dict[str, dict] = {"t": {"tile": (512, 512)}, "s": {"rowsperstrip": 100}}
    for name, options in kinds.items():
        path = save(tmp_path / f"{name}.tif", array, compression="zlib", **options)
        with open_raster(path, QUIET) as raster:
            found.append(shown(raster)["limits"])
    assert found[0] == found[1]
    low, high = np.percentile(array, [2, 98])
    assert found[0][0] == pytest.approx([low, high], abs=0.02 * (high - low))


# ------------------------------------------------------------------ bands


@pytest.mark.parametrize("container", ["contig", "separate", "zarr"])
@pytest.mark.parametrize("bands", [(4, 3, 2), (7,), (1, 1, 5)])
def test_bands_are_chosen_by_number(tmp_path: Path, container: str, bands: tuple):
    array = np.dstack([noise_raster(90, 80, seed) for seed in range(3)])[..., :7]
    if container == "zarr":
        path = tmp_path / "a.zarr"
        zarr.create_array(store=str(path), data=array, chunks=(32, 32, 2))
    else:
        planes = np.moveaxis(array, 2, 0) if container == "separate" else array
        options: dict = {"planarconfig": container, "photometric": "minisblack"}
        path = save(tmp_path / "a.tif", planes, tile=(32, 32), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = read(path, Reading(bands=bands))
    expected = array[..., [band - 1 for band in bands]]
    assert np.array_equal(pixels.array, np.broadcast_to(expected, (90, 80, 3)))


def test_a_band_that_is_not_there_is_refused(tmp_path: Path):
    path = save(tmp_path / "a.tif", coordinate_raster(40, 50), photometric="rgb")
    with pytest.raises(RasterError, match=r"--bands 4,3,2, but it has 3 bands; count from 1 to 3"):
        open_raster(path, Reading(bands=(4, 3, 2)))


def test_what_is_shown_can_be_told(tmp_path: Path):
    array = np.dstack([deep_raster(), deep_raster()[..., :1]])
    path = save(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unspecified"])
    with open_raster(path, Reading(bands=(4, 3, 2), stretch=MINMAX)) as raster:
        told = shown(raster)
    assert told["bands"] == [4, 3, 2]
    assert (told["bands_stored"], told["type"], told["stretch"]) == (4, "uint16", "0,100")
    assert told["limits"] == [[100, 100 + 40 * 209], [500, 500 + 7 * 209 + 13 * 149], [3000, 4490]]
    assert told["masked_tiles"] == 0


def roles_tag(*roles: str) -> list:
    items = [
        f'<Item name="COLORINTERP" sample="{sample}" role="colorinterp">{role}</Item>'
        for sample, role in enumerate(roles)
    ]
    return [(42112, "s", 0, "<GDALMetadata>" + "\n".join(items) + "</GDALMetadata>", True)]


def test_infrared_that_is_tagged_as_alpha_hides_nothing(tmp_path: Path):
    array = np.dstack([coordinate_raster(60, 70), np.zeros((60, 70), np.uint8)])
    options: dict = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    said = roles_tag("Gray", "Undefined", "Undefined", "Undefined")
    path = save(tmp_path / "a.tif", array, extratags=said, **options)
    with pytest.warns(ExtraBandsWarning):
        pixels = read(path)
    assert pixels.mask.all()
    assert np.array_equal(pixels.array, array[..., :3])
    said = roles_tag("Red", "Green", "Blue", "Alpha")
    assert not read(save(tmp_path / "b.tif", array, extratags=said, **options)).mask.any()


def test_colours_that_gdal_names_are_shown_as_they_are_named(tmp_path: Path):
    array = noise_raster(60, 70)
    options: dict = {"photometric": "minisblack", "planarconfig": "contig"}
    said = roles_tag("Blue", "Green", "Red")
    path = save(tmp_path / "a.tif", array, extratags=said, **options)
    assert np.array_equal(read(path).array, array[..., ::-1])


# ------------------------------------------------------------------ colour models


def test_white_is_zero_is_inverted(tmp_path: Path):
    grey = noise_raster(60, 70)[..., 0]
    path = save(tmp_path / "a.tif", grey, photometric="miniswhite", tile=(32, 32))
    assert np.array_equal(read(path).array[..., 1], 255 - grey)
    fax = save(tmp_path / "b.tif", grey > 100, photometric="miniswhite")
    assert np.array_equal(read(fax).array[..., 1], np.where(grey > 100, 0, 255))


def test_a_palette_is_looked_up(tmp_path: Path):
    palette = np.random.default_rng(1).integers(0, 65536, (3, 256)).astype(np.uint16)
    index = noise_raster(60, 70)[..., 0]
    path = save(tmp_path / "a.tif", index, photometric="palette", colormap=palette)
    assert np.array_equal(read(path).array, (palette.T >> 8)[index])


def test_cmyk_is_what_light_is_left(tmp_path: Path):
    ink = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [0, 128, 255, 128]]], np.uint8)
    path = save(tmp_path / "a.tif", ink, photometric="separated")
    light = [[255, 255, 255], [0, 255, 255], [0, 0, 0], [127, 63, 0]]
    assert read(path).array[0].tolist() == light
    assert np.array_equal(cmyk_to_rgb(ink)[0], light)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ycbcr_without_jpeg_is_converted(tmp_path: Path, compression: str | None):
    rgb = coordinate_raster(60, 70)
    ycc = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    options: dict = {"photometric": "ycbcr", "subsampling": (1, 1), "compression": compression}
    path = save(tmp_path / "a.tif", ycc, tile=(32, 32), **options)
    assert np.abs(read(path).array.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("mode", ["P", "1", "L", "LA", "RGBA", "P+", "L+"])
def test_modes_of_png_show_what_pillow_shows(tmp_path: Path, mode: str):
    image = Image.fromarray(noise_raster(60, 70)).convert("L")
    more: dict = {"transparency": int(np.asarray(image)[0, 0])} if mode.endswith("+") else {}
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(np.tri(60, 70, dtype=np.uint8) * 200))
    else:
        image = image.convert(mode.rstrip("+"))
        more = more and {"transparency": 7}
    image.save(tmp_path / "a.png", **more)
    seen = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))
    pixels = read(tmp_path / "a.png")
    visible = seen[..., 3] > 0
    assert np.array_equal(pixels.mask, visible)
    assert np.array_equal(pixels.array, seen[..., :3] * visible[:, :, None])


def test_a_cmyk_jpeg_is_converted(tmp_path: Path):
    flat = Image.new("CMYK", (50, 40), (0, 255, 0, 0))
    flat.save(tmp_path / "a.jpg")
    assert np.abs(read(tmp_path / "a.jpg").array[5, 5].astype(int) - [255, 0, 255]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_photographs_are_upright(tmp_path: Path, suffix: str, orientation: int):
    image = Image.fromarray(np.kron(coordinate_raster(8, 12) * 20, np.ones((8, 8, 1), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    stored = np.asarray(Image.open(tmp_path / f"a.{suffix}"))
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    upright = turns[orientation](stored)
    with open_raster(tmp_path / f"a.{suffix}") as raster:
        assert raster.size == upright.shape[:2]
        assert np.array_equal(raster.read(Box.whole(raster.size), raster.size).array, upright)
        part = raster.read(Box(3, 5, 33, 45), Size(40, 30)).array
    assert np.array_equal(part, upright[5:45, 3:33])


# ------------------------------------------------------------------ what is no image


def nodata_tag(text: str) -> list:
    return [(42113, "s", 0, text, True)]


@pytest.mark.parametrize("options", [{"tile": (64, 64)}, {"rowsperstrip": 50}])
def test_declared_no_data_is_masked_and_left_out_of_the_contrast(tmp_path: Path, options: dict):
    array = deep_raster(np.int16)
    array[:70, :90] = -9999
    array[100, 100, 0] = -9999  # one band alone: still a pixel
    path = save(
        tmp_path / "a.tif", array, photometric="rgb", extratags=nodata_tag("-9999"), **options
    )
    pixels = read(path, Reading(stretch=MINMAX))
    hole = np.zeros(SIZE, bool)
    hole[:70, :90] = True
    assert np.array_equal(pixels.mask, ~hole)
    assert not pixels.array[hole].any()
    inside = array[~hole].astype(float)[:, 1:]
    low, high = inside.min(0), inside.max(0)
    expected = np.floor((inside - low) * 255 / (high - low) + 0.5)
    assert np.array_equal(pixels.array[~hole][:, 1:], expected)


def test_zero_is_a_value_unless_it_is_declared(tmp_path: Path):
    array = np.zeros((40, 50, 3), np.uint8)
    array[:, 25:] = 90
    plain = save(tmp_path / "a.tif", array, photometric="rgb")
    assert read(plain).mask.all()
    declared = save(tmp_path / "b.tif", array, photometric="rgb", extratags=nodata_tag("0"))
    assert np.array_equal(read(declared).mask, array[..., 0] > 0)


@pytest.mark.parametrize("text", ["-9999", "3.5", "nan", "none", "", "1e400"])
def test_no_data_that_no_byte_can_have_masks_nothing(tmp_path: Path, text: str):
    array = coordinate_raster(40, 50)
    path = save(tmp_path / "a.tif", array, photometric="rgb", extratags=nodata_tag(text))
    pixels = read(path)
    assert pixels.mask.all()
    assert np.array_equal(pixels.array, array)


@pytest.mark.parametrize("container", ["tiff", "zarr"])
def test_what_is_no_number_is_masked(tmp_path: Path, container: str):
    array = deep_raster(np.float32)
    array[10:60, 20:70, 1] = np.nan
    array[100, 100] = np.inf
    if container == "zarr":
        path = tmp_path / "a.zarr"
        zarr.create_array(store=str(path), data=array, chunks=(64, 64, 3))
    else:
        path = save(tmp_path / "a.tif", array, photometric="rgb", tile=(64, 64))
    pixels = read(path, QUIET)
    assert np.array_equal(pixels.mask, np.isfinite(array).all(axis=2))
    assert not pixels.array[~pixels.mask].any()


def test_a_fill_value_that_zarr_declares_is_masked(tmp_path: Path):
    array = coordinate_raster(60, 70)[..., 0]
    store = zarr.create_array(store=str(tmp_path / "a.zarr"), data=array, chunks=(32, 32))
    store.attrs["_FillValue"] = 7
    assert np.array_equal(read(tmp_path / "a.zarr").mask, array != 7)


@pytest.mark.parametrize("value", ["AAAAAAAAHEA=", "7.0"])  # 7, as xarray writes it in Zarr 3
def test_a_fill_value_of_floats_is_read_from_text(tmp_path: Path, value: str):
    array = coordinate_raster(60, 70)[..., 0].astype(np.float32)
    store = zarr.create_array(store=str(tmp_path / "a.zarr"), data=array, chunks=(32, 32))
    store.attrs["_FillValue"] = value
    assert np.array_equal(read(tmp_path / "a.zarr", QUIET).mask, array != 7)


@pytest.mark.parametrize(("value", "dtype"), [("AAAA", "f4"), ("x", "f4"), ("AAAAAAAAHEA=", "u1")])
def test_a_fill_value_that_is_no_number_is_told(tmp_path: Path, value: str, dtype: str):
    array = coordinate_raster(60, 70)[..., 0].astype(dtype)
    store = zarr.create_array(store=str(tmp_path / "a.zarr"), data=array, chunks=(32, 32))
    store.attrs["_FillValue"] = value
    with pytest.warns(NoDataWarning, match="_FillValue"):
        assert read(tmp_path / "a.zarr", QUIET).mask.all()


@pytest.mark.parametrize("raw", [False, True])
def test_a_mask_image_hides_pixels_at_every_level(tmp_path: Path, raw: bool):
    array = coordinate_raster(128, 192)
    visible = np.zeros((128, 192), bool)
    visible[:64] = True
    options: dict = {"metadata": None, **({} if raw else {"tile": (64, 64), "compression": "zlib"})}
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for step in (1, 2):
            mask = visible[::step, ::step]
            kind = 4 if step == 1 else 5
            tif.write(array[::step, ::step], photometric="rgb", subfiletype=kind - 4, **options)
            tif.write(mask, photometric="mask", subfiletype=kind, tile=(32, 32), metadata=None)
    with open_raster(tmp_path / "a.tif") as raster:
        whole = raster.read(Box.whole(raster.size), raster.size)
        half = raster.read(Box.whole(raster.size), Size(64, 96))
    assert np.array_equal(whole.mask, visible)
    assert np.array_equal(whole.array, array * visible[:, :, None])
    assert np.array_equal(half.mask, visible[::2, ::2])


def test_the_rim_of_an_image_is_as_bright_as_the_rest(tmp_path: Path):
    array = np.full((400, 400), 200, np.uint8)
    y, x = np.mgrid[:400, :400]
    array[y < 0.37 * x + 50] = 0  # so that pixels show any share of image
    path = save(tmp_path / "a.tif", array, extratags=nodata_tag("0"))
    with open_raster(path) as raster:
        pixels = raster.read(Box.whole(raster.size), Size(37, 37))
    assert 0.5 < pixels.mask.mean() < 0.9
    assert (
        np.abs(pixels.array[pixels.mask].astype(int) - 200).max() <= 10
    )  # not 100: bicubic overshoots


# ------------------------------------------------------------------ words


def test_words_for_bands_and_contrast():
    assert parse_bands(" 4, 3,2") == (4, 3, 2)
    assert parse_stretch("2,98") == (2.0, 98.0)
    assert parse_stretch("0.5 , 99.5") == (0.5, 99.5)
    assert parse_stretch("minmax") == (0.0, 100.0)
    assert parse_stretch("none") == "none"


@pytest.mark.parametrize("text", ["", "1,2", "0", "a,b,c", "1,2,3,4", "-1", "1.5", "٣"])
def test_words_that_are_no_bands(text: str):
    with pytest.raises(ConfigError, match=r"4,3,2|three"):
        parse_bands(text)


@pytest.mark.parametrize("text", ["", "2", "98,2", "2,101", "5,5", "auto", "nan,98", "-2,98"])
def test_words_that_are_no_contrast(text: str):
    with pytest.raises(ConfigError, match="percentiles"):
        parse_stretch(text)


def test_extra_bands_are_told_with_the_option(tmp_path: Path):
    array = np.dstack([deep_raster(), deep_raster()[..., :1]])
    path = save(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unspecified"])
    with pytest.warns(ExtraBandsWarning, match="4 bands; the first 3 are shown; .* --bands 4,3,2"):
        open_raster(path, QUIET).close()
