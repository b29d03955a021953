"""Bands, contrast, masks and damage, of regions and of images on servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.fixtures_raster import CONTAINERS, noise_raster
from tests.raster.test_radiometry import deep_raster
from tests.servers import serving
from uhrqa.errors import RasterError, StorageError
from uhrqa.features import FeatureCache
from uhrqa.geometry import Box
from uhrqa.raster import Pixels, Raster, has_mask, open_raster, requests_made, shown
from uhrqa.reading import MINMAX, Reading

QUIET = Reading(stretch=(2, 98))
HOLES = Reading(stretch=(2, 98), on_bad_tile="mask")
ROI = "30,20,130,90"
SIDE = 64


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


def whole(raster: Raster) -> Pixels:
    return raster.read(Box.whole(raster.size), raster.size)


def damaged(path: Path, tile: int = 1) -> Path:
    """The same file with one tile that cannot be decoded."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        offset, count = page.dataoffsets[tile], page.databytecounts[tile]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\xff" * count
    path.write_bytes(data)
    return path


def deep_tiff(folder: Path, **options: Any) -> Path:
    kinds = {"photometric": "rgb", "tile": (SIDE, SIDE), "compression": "zlib"}
    return save(folder / "deep.tif", deep_raster(), **(kinds | options))


# ------------------------------------------------------------------ on servers


STORED = [name for name in CONTAINERS if name != "array" and "jpeg" not in name]


@pytest.mark.parametrize("name", STORED)
def test_sixteen_bits_look_on_a_server_as_on_a_disk(tmp_path: Path, name: str) -> None:
    path: Any = CONTAINERS[name](tmp_path, deep_raster())
    with serving(tmp_path) as server:
        address = f"{server.url}/{path.name}"
        with open_raster(path, QUIET) as local, open_raster(address, QUIET) as remote:
            assert np.array_equal(whole(remote).array, whole(local).array)
            assert shown(remote) == shown(local)
            assert requests_made(remote) > 0


def test_what_the_contrast_needs_is_asked_for_together(tmp_path: Path) -> None:
    grey = noise_raster(1024, 1024)[..., 0].astype(np.uint16) * 200
    save(tmp_path / "a.tif", grey, tile=(256, 256), compression="zlib")
    with serving(tmp_path) as server, open_raster(f"{server.url}/a.tif", QUIET) as raster:
        shown(raster)
        # The head, two files beside it that are not there, and 16 tiles that lie side by side.
        assert requests_made(raster) == 4


@pytest.mark.parametrize(
    "name", ["tiff-tiles-deflate", "tiff-strips-lzw", "zarr-3", "zarr-3-shards"]
)
@pytest.mark.parametrize("remote", [False, True])
def test_what_the_contrast_is_found_from_is_read_once(
    tmp_path: Path, name: str, remote: bool
) -> None:
    deep: Any = noise_raster(500, 600).astype(np.uint16) * 200
    path: Any = CONTAINERS[name](tmp_path, deep)
    files = [path, *path.rglob("*")]
    stored = sum(file.stat().st_size for file in files if file.is_file())
    with serving(tmp_path) as server:
        place = f"{server.url}/{path.name}" if remote else path
        with open_raster(place, QUIET) as raster:
            raster.read(Box.whole(raster.size), raster.size)
            assert stored * 0.95 < raster.bytes_read < stored * 1.1 + 2**16 * remote
            if remote:
                assert raster.bytes_read == pytest.approx(server.sent, abs=2000)


def test_bands_stored_apart_are_chosen_on_a_server(tmp_path: Path) -> None:
    bands = np.ascontiguousarray(np.moveaxis(deep_raster(), 2, 0))
    path = save(
        tmp_path / "a.tif", bands, photometric="rgb", planarconfig="separate",
        tile=(SIDE, SIDE), compression="zlib",
    )  # fmt: skip
    reading = Reading(bands=(3, 1, 2), stretch=MINMAX)
    with serving(tmp_path) as server, open_raster(f"{server.url}/a.tif", reading) as raster:
        found = whole(raster).array
    with open_raster(path, Reading(stretch=MINMAX)) as raster:
        assert np.array_equal(found, whole(raster).array[..., [2, 0, 1]])


def test_damage_is_a_hole_on_a_server_too(tmp_path: Path) -> None:
    path = damaged(deep_tiff(tmp_path))
    with serving(tmp_path) as server:
        address = f"{server.url}/{path.name}"
        with open_raster(address, QUIET) as raster, pytest.raises(RasterError, match="column 1"):
            whole(raster)
        with open_raster(address, HOLES) as raster:
            mask = whole(raster).mask
            assert shown(raster)["masked_tiles"] == 1
    assert not mask[:SIDE, SIDE : 2 * SIDE].any()
    assert mask.sum() == mask.size - SIDE * min(SIDE, mask.shape[1] - SIDE)


@pytest.mark.parametrize("container", ["tiff-tiles-deflate", "zarr-3"])
def test_a_server_that_fails_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    path: Any = CONTAINERS[container](tmp_path, noise_raster(300, 400))
    reading = Reading(on_bad_tile="mask")
    with serving(tmp_path) as server, open_raster(f"{server.url}/{path.name}", reading) as raster:
        server.failures = 10**6
        with pytest.raises(StorageError):
            whole(raster)


def test_a_file_that_is_replaced_is_no_damage(tmp_path: Path) -> None:
    options: Any = {"tile": (SIDE, SIDE), "photometric": "rgb"}
    path = save(tmp_path / "a.tif", noise_raster(600, 600), **options)
    reading = Reading(on_bad_tile="mask")
    with serving(tmp_path) as server, open_raster(f"{server.url}/a.tif", reading) as raster:
        save(path, noise_raster(600, 600, seed=1), **options)
        with pytest.raises(StorageError, match="replaced while it was read"):
            raster.read(Box(300, 300, 364, 364), raster.size)


# ------------------------------------------------------------------ regions


@pytest.mark.parametrize("levels", [1, 2])
def test_a_region_has_the_contrast_of_its_image(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "a.tif"
    options: Any = {"photometric": "rgb", "tile": (SIDE, SIDE), "metadata": None}
    with tifffile.TiffWriter(path) as tif:
        tif.write(deep_raster(), **options)
        if levels == 2:
            tif.write(deep_raster()[::2, ::2], subfiletype=1, **options)
    with open_raster(path, QUIET) as raster, open_raster(path, QUIET, roi=ROI) as region:
        assert len(region.levels) == levels
        assert np.array_equal(whole(region).array, whole(raster).array[20:90, 30:130])
        assert shown(region) == shown(raster)


def test_holes_in_a_region_are_counted(tmp_path: Path) -> None:
    with open_raster(damaged(deep_tiff(tmp_path)), HOLES, roi=ROI) as region:
        mask = whole(region).mask
        assert shown(region)["masked_tiles"] == 1
    assert not mask[: SIDE - 20, SIDE - 30 : 2 * SIDE - 30].any()
    assert mask[SIDE - 20 :].all()


def test_one_cache_is_for_one_region_in_one_contrast(tmp_path: Path) -> None:
    path, model = deep_tiff(tmp_path), object()
    cache = FeatureCache()
    with open_raster(path, QUIET, roi=ROI) as first, open_raster(path, QUIET, roi=ROI) as again:
        cache.belong_to(first, model)
        cache.belong_to(again, model)
    with (
        open_raster(path, Reading(stretch=MINMAX), roi=ROI) as other,
        pytest.raises(ValueError, match="another image"),
    ):
        cache.belong_to(other, model)


# ------------------------------------------------------------------ whether anything may be masked

FOUR = np.dstack([noise_raster(70, 90), np.full((70, 90), 255, np.uint8)])
PLAIN: dict[str, Any] = {"photometric": "rgb"}
NODATA = (42113, "s", 0, "0", True)


@pytest.mark.parametrize(
    ("array", "options", "reading", "masked"),
    [
        (noise_raster(70, 90), PLAIN, Reading(), False),
        (FOUR, PLAIN | {"extrasamples": ["unspecified"]}, Reading(bands=(1, 2, 3)), False),
        (FOUR, PLAIN | {"extrasamples": ["unassalpha"]}, Reading(), True),
        (noise_raster(70, 90), PLAIN | {"extratags": [NODATA]}, Reading(), True),
        (noise_raster(70, 90).astype(np.float32), PLAIN, QUIET, True),
        (noise_raster(70, 90), PLAIN, Reading(on_bad_tile="mask"), True),
    ],
    ids=["plain", "fourth-band", "alpha", "no-data", "float", "bad-tiles"],
)
def test_whether_there_may_be_places_without_image_is_known_at_once(
    tmp_path: Path, array: np.ndarray, options: dict, reading: Reading, masked: bool
) -> None:
    path = save(tmp_path / "a.tif", array, **options)
    with serving(tmp_path) as server:
        for place in (path, f"{server.url}/a.tif"):
            for roi in (None, "5,5,60,60"):
                with open_raster(place, reading, roi=roi) as raster:
                    assert has_mask(raster) == masked


def test_a_mask_image_is_told_and_read_on_a_server(tmp_path: Path) -> None:
    image, mask = noise_raster(130, 150), np.zeros((130, 150), bool)
    mask[:, :70] = True
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        options: Any = {"tile": (SIDE, SIDE), "compression": "zlib", "metadata": None}
        tif.write(image, photometric="rgb", **options)
        tif.write(mask, subfiletype=4, photometric="minisblack", **options)
    with serving(tmp_path) as server, open_raster(f"{server.url}/a.tif") as raster:
        assert has_mask(raster)
        assert np.array_equal(whole(raster).mask, mask)
