"""Which files an image consists of, and that a change of any of them makes it another image."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.raster.test_gdal import need_rasterio, vrt, write
from uhrqa.batch.entries import digest
from uhrqa.batch.stamp import stamp_image
from uhrqa.raster.image_files import image_files

PICTURE = np.zeros((20, 30, 3), np.uint8)
ENVI = {"driver": "ENVI"}


def changes(image: Path, file: Path) -> bool:
    """Whether the stamp of an image changes when a file is written, and when it is again."""
    stamps = [stamp_image(image)]
    for time in (1, 2):
        file.touch()
        os.utime(file, ns=(time, time))
        stamps.append(stamp_image(image))
    return len(set(stamps)) == 3


@pytest.mark.parametrize("suffix", [".ovr", ".msk", ".msk.ovr"])
def test_of_a_tiff_those_beside_it(tmp_path: Path, suffix: str):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    assert changes(path, tmp_path / f"a.tif{suffix}")
    assert not changes(path, tmp_path / "b.tif.ovr")


def test_of_a_plain_image_itself_alone(tmp_path: Path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    os.utime(path, ns=(5, 5))
    assert stamp_image(path) == digest("4 5")
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert image_files(str(path)) == [path]


def test_of_a_vrt_all_it_names_and_what_is_beside_them(tmp_path: Path):
    need_rasterio()
    for name in ("a.tif", "b.bin"):
        write(tmp_path / name, PICTURE, **(ENVI if name == "b.bin" else {}))
    vrt(tmp_path / "inner.vrt", "b.bin", PICTURE.shape[:2])
    vrt(tmp_path / "tif.vrt", "a.tif", PICTURE.shape[:2])
    path = vrt(tmp_path / "a.vrt", "inner.vrt", PICTURE.shape[:2])
    for name in ("inner.vrt", "b.bin", "b.hdr", "a.vrt.ovr", "b.bin.aux.xml"):
        before = stamp_image(path)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(1, 1))
        assert stamp_image(path) != before, name
    assert changes(tmp_path / "tif.vrt", tmp_path / "a.tif")
    assert changes(tmp_path / "tif.vrt", tmp_path / "a.tif.msk")


def test_of_a_vrt_the_chunks_of_a_zarr_store_that_it_names(tmp_path: Path):
    store = zarr.create_array(tmp_path / "z.zarr", shape=(20, 30), chunks=(10, 10), dtype="u1")
    store[:10] = 1
    path = vrt(tmp_path / "a.vrt", "z.zarr", PICTURE.shape[:2])
    assert changes(path, tmp_path / "z.zarr" / "c" / "0" / "0")
    assert tmp_path / "z.zarr" in image_files(str(path))  # `prepare` does not write over it
    before = stamp_image(path)
    store[10:] = 1  # a chunk that was absent
    assert stamp_image(path) != before


def test_of_a_vrt_that_names_itself_or_a_server(tmp_path: Path):
    path = vrt(tmp_path / "a.vrt", "a.vrt")
    assert image_files(str(path))[0] == path
    assert stamp_image(vrt(tmp_path / "a.vrt", "/vsicurl/http://127.0.0.1:9/a.tif"))


def test_of_what_gdal_reads_its_side_files(tmp_path: Path):
    path = write(tmp_path / "a.bin", PICTURE, **ENVI)
    before = stamp_image(path)
    os.utime(tmp_path / "a.hdr", ns=(1, 1))
    assert stamp_image(path) != before
