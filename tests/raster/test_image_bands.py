"""Large PNG and JPEG images in bands: the pixels they have when decoded whole."""

from __future__ import annotations

import errno
import os
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fixtures_raster import coordinate_raster, noise_raster
from uhrqa.errors import RasterError, StorageError, WholeImageWarning
from uhrqa.geometry import Box, Size
from uhrqa.raster import Pixels, Raster, image, image_bands, image_level, open_raster
from uhrqa.raster.foreseen import decoder_of

pytest.importorskip("pyvips")
PICTURE = coordinate_raster(333, 421)
ROWS = 48  # of a band, in these tests


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch):
    """Every image is large, and bands are low."""
    monkeypatch.setattr(image, "WARN_PIXELS", 1000)
    monkeypatch.setattr(image_level, "BAND_ROWS", ROWS)


def opened(path: Path) -> Raster:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_raster(path)


def whole(raster: Raster) -> Pixels:
    return raster.read(Box.whole(raster.size), raster.size)


def is_banded(raster: Raster) -> bool:
    return decoder_of(raster).endswith(" in bands")


def save(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def palette(picture: Image.Image) -> Image.Image:
    return picture.quantize(200)


def clear(mode: str) -> Image.Image:
    picture = Image.fromarray(PICTURE).convert(mode)
    picture.putalpha(Image.fromarray(PICTURE[..., 0]))
    return picture


RGB = Image.fromarray(PICTURE)
NOISE = Image.fromarray(noise_raster(333, 421))
KINDS: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "rgb.png": (RGB, {}),
    "grey.png": (RGB.convert("L"), {}),
    "bits.png": (RGB.convert("1"), {}),
    "alpha.png": (clear("RGB"), {}),
    "grey-alpha.png": (clear("L"), {}),
    "palette.png": (palette(RGB), {}),
    "clear-palette.png": (palette(RGB), {"transparency": 3}),
    "half-clear-palette.png": (palette(RGB), {"transparency": bytes(range(200))}),
    "one-colour-clear.png": (RGB, {"transparency": (5, 6, 0)}),
    "one-grey-clear.png": (RGB.convert("L"), {"transparency": 77}),
    "rgb.jpg": (NOISE, {"quality": 90}),
    "whole-chroma.jpg": (NOISE, {"quality": 90, "subsampling": 0}),
    "narrow-chroma.jpg": (NOISE, {"quality": 50, "subsampling": 1}),
    "grey.jpg": (NOISE.convert("L"), {"quality": 90}),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_pixels_are_those_of_the_image_decoded_whole(
    tmp_path: Path, name: str, request: pytest.FixtureRequest
):
    picture, options = KINDS[name]
    path = save(tmp_path / name, picture, **options)
    with opened(path) as raster:
        assert not is_banded(raster)
        expected = whole(raster)
    request.getfixturevalue("small_bands")
    with opened(path) as raster:
        assert is_banded(raster)
        pixels = whole(raster)
        assert raster.bytes_read == path.stat().st_size
    assert np.array_equal(pixels.array, expected.array)
    assert np.array_equal(pixels.mask, expected.mask)


def test_sixteen_bits(tmp_path: Path, small_bands: None):
    from imagecodecs import png_encode

    deep = PICTURE.astype(np.uint16) * 200
    (tmp_path / "a.png").write_bytes(png_encode(deep))
    with opened(tmp_path / "a.png") as raster:
        assert is_banded(raster)
        shown = whole(raster).array
    low, high = np.percentile(deep[..., 0], [2, 98])
    expected = np.clip((deep[..., 0] - low) * 255 / (high - low), 0, 255)
    assert np.abs(shown[..., 0] - expected).max() <= 0.51


def test_windows_anywhere_and_back_again(tmp_path: Path, small_bands: None):
    with opened(save(tmp_path / "a.png", RGB)) as raster:
        for x, y, w, h in [(5, 3, 60, 20), (0, 300, 421, 33), (100, 10, 300, 200), (9, 0, 1, 333)]:
            part = raster.read(Box(x, y, x + w, y + h), Size(h, w)).array
            assert np.array_equal(part, PICTURE[y : y + h, x : x + w])


def test_nothing_below_what_is_asked_for_is_decoded(
    tmp_path: Path, small_bands: None, monkeypatch: pytest.MonkeyPatch
):
    written: list[int] = []
    pwrite = os.pwrite

    def write(descriptor: int, data: memoryview, offset: int) -> int:
        written.append(offset)
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", write)
    with opened(save(tmp_path / "a.png", RGB)) as raster:
        raster.read(Box(0, 0, 50, 50), Size(50, 50))
        assert len(written) == 2
        whole(raster)
        whole(raster)
    row = 421 * 3
    assert written == [top * row for top in range(0, 333, ROWS)]  # each band once


def test_bands_end_where_strips_do():
    assert [image_level.band_of(width) for width in (1, 421, 40_000, 10**7)] == [512, 512, 416, 16]


@pytest.mark.parametrize("turn", range(1, 9))
def test_photographs_stay_upright(tmp_path: Path, turn: int, request: pytest.FixtureRequest):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / "a.jpg", NOISE, exif=exif)
    with opened(path) as raster:
        expected = whole(raster).array
    request.getfixturevalue("small_bands")
    with opened(path) as raster:
        assert raster.size == ((421, 333) if turn > 4 else (333, 421))
        assert np.array_equal(whole(raster).array, expected)


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.jpg", "RGB", {"progressive": True}),
        ("a.jpg", "CMYK", {}),
        ("interlaced.png", "RGB", {}),
    ],
)
def test_what_no_decoder_gives_in_bands_is_decoded_whole(
    tmp_path: Path, small_bands: None, name: str, mode: str, options: dict
):
    path = tmp_path / name
    if name == "interlaced.png":
        import pyvips

        pyvips.Image.new_from_array(PICTURE).pngsave(str(path), interlace=True)
    else:
        save(path, RGB.convert(mode), **options)
    with opened(path) as raster:
        assert not is_banded(raster)
        assert np.abs(whole(raster).array.astype(int) - PICTURE).mean() < 5


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_truncated_image_is_an_error_each_time(tmp_path: Path, small_bands: None, name: str):
    path = save(tmp_path / name, NOISE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with opened(path) as raster:
        assert raster.read(Box(0, 0, 50, 50), Size(50, 50)).mask.all()  # what stands before it
        for _ in range(2):
            with pytest.raises(RasterError, match="truncated or damaged"):
                whole(raster)


def test_a_full_disk_says_what_is_needed(
    tmp_path: Path, small_bands: None, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    with (
        opened(save(tmp_path / "a.png", RGB)) as raster,
        pytest.raises(StorageError, match=r"pixels cannot be kept in .*TMPDIR"),
    ):
        whole(raster)


def test_the_warning_tells_of_the_file_and_without_pyvips_of_memory(
    tmp_path: Path, small_bands: None, monkeypatch: pytest.MonkeyPatch
):
    path = save(tmp_path / "a.png", RGB)
    with pytest.warns(WholeImageWarning, match="into a file of 0 MiB; prepare it once"):
        open_raster(path).close()
    monkeypatch.setattr(image, "has_pyvips", lambda: False)
    with pytest.warns(WholeImageWarning, match=r"0 MiB \(less with uhrqa\[vips\]\); prepare it"):
        open_raster(path).close()
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(RasterError, match="GiB of memory"):
        open_raster(path)


def test_a_pass_over_a_large_image_holds_a_band_of_it(tmp_path: Path):
    import pyvips

    pyvips.Image.black(5000, 4000, bands=3).pngsave(str(tmp_path / "a.png"))
    with opened(tmp_path / "a.png") as raster:
        tracemalloc.start()
        raster.read(Box.whole(raster.size), Size(40, 50))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 0.7 * 5000 * 4000 * 3
    assert image_bands.has_pyvips()
