"""Zarr: layouts, multiscale groups, and what is counted as read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.fixtures_raster import coordinate_raster, noise_raster
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import ExtraBandsWarning, open_raster


def save(path: Path, values: np.ndarray, chunks: tuple, **options: Any) -> Path:
    array = zarr.create_array(
        store=str(path), shape=values.shape, chunks=chunks, dtype=values.dtype, **options
    )
    array[...] = values
    return path


def flat(size: Size, value: int) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def all_of(path: Path) -> np.ndarray:
    with open_raster(path) as raster:
        return raster.read(Box.whole(raster.size), raster.size).array


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("hwc", (100, 90, 3)),
        ("chw", (3, 100, 90)),
        ("tchw", (1, 3, 100, 90)),
        ("tczyx", (1, 3, 1, 100, 90)),
        ("thwc", (1, 100, 90, 3)),
        ("one row", (1, 90, 3)),
    ],
)
def test_axes_are_found_by_their_lengths(tmp_path: Path, axes: str, shape: tuple):
    rows = 1 if axes == "one row" else 100
    picture = coordinate_raster(rows, 90)
    values = picture if shape[-1] == 3 else np.moveaxis(picture, 2, 0)
    path = save(tmp_path / "a.zarr", values.reshape(shape), tuple(min(s, 40) for s in shape))
    if axes == "tczyx":  # the length-1 axis lies between bands and rows
        zarr.open_array(str(path))[...] = np.moveaxis(picture, 2, 0)[None, :, None]
    assert np.array_equal(all_of(path), picture)


def test_grey_arrays_are_repeated(tmp_path: Path):
    grey = noise_raster(70, 50)[..., 0]
    assert np.array_equal(all_of(save(tmp_path / "a.zarr", grey, (32, 32)))[..., 2], grey)


def test_more_than_three_bands_give_the_first_three_and_a_warning(tmp_path: Path):
    bands = np.dstack([noise_raster(70, 50), noise_raster(70, 50, seed=1)])
    save(tmp_path / "a.zarr", bands, (32, 32, 6))
    with pytest.warns(ExtraBandsWarning, match="6 bands; the first 3"):
        shown = all_of(tmp_path / "a.zarr")
    assert np.array_equal(shown, bands[..., :3])


def test_two_bands_give_the_first_and_a_warning(tmp_path: Path):
    bands = noise_raster(70, 50)[..., :2]
    save(tmp_path / "a.zarr", bands, (32, 32, 2))
    with pytest.warns(ExtraBandsWarning, match="2 bands; the first is shown"):
        assert np.array_equal(all_of(tmp_path / "a.zarr")[..., 1], bands[..., 0])


@pytest.mark.parametrize("version", ["0.4", "0.5", "plain"])
def test_the_levels_of_a_group(tmp_path: Path, version: str):
    path = tmp_path / "scene.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    sizes = [Size(301, 401), Size(150, 200), Size(75, 100)]
    for index, size in enumerate(sizes):
        array = group.create_array(f"s{index}", shape=(*size, 3), chunks=(64, 64, 3), dtype="u1")
        array[...] = flat(size, 10 * (index + 1))
    scales = [{"datasets": [{"path": f"s{index}"} for index in range(3)]}]
    if version == "0.4":
        group.attrs["multiscales"] = scales
    elif version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    with open_raster(path) as raster:
        assert raster.levels == tuple(sizes)
        for out, value in [(sizes[0], 10), (sizes[1], 20), (Size(30, 40), 30)]:
            assert np.unique(raster.read(Box.whole(raster.size), out).array) == [value]


def plain_group(path: Path, **shapes: tuple[int, ...]) -> Path:
    """A group without metadata; `height` is of a kind that is not read."""
    group = zarr.open_group(str(path), mode="w")
    for name, shape in shapes.items():
        kind = "f4" if name == "height" else "u1"
        group.create_array(name, shape=shape, chunks=tuple(min(n, 64) for n in shape), dtype=kind)
    return path


@pytest.mark.parametrize(
    "shapes",
    [
        {"rgb": (200, 300, 3), "mask": (200, 300)},
        {"mask": (400, 600), "rgb": (200, 300, 3)},
        {"red": (200, 300), "green": (200, 300), "blue": (200, 300)},
        {"image": (200, 300, 3), "other": (100, 100, 3)},
        {"image": (200, 300, 3), "half": (100, 150, 3), "twin": (100, 150, 3)},
        {"image": (220, 330, 3), "nearly": (200, 300, 3)},
        {"image": (200, 300, 3), "first": (3, 100, 150)},
        {f"band{index:02}": (200, 300) for index in range(40)},
    ],
    ids=lambda shapes: ",".join(shapes)[:20],
)
def test_a_group_of_several_images_is_refused(tmp_path: Path, shapes: dict):
    path = plain_group(tmp_path / "g.zarr", **shapes)
    with pytest.raises(RasterError, match=f"{len(shapes)} images that are not one") as caught:
        open_raster(path)
    line = str(caught.value)
    assert all(f"{name}: " in line for name in list(shapes)[:8])
    assert len(line) < 600
    named = Path(line.split("for example ")[1])
    with open_raster(named) as raster:
        assert raster.size in [Size(200, 300), Size(220, 330), Size(400, 600)]


def test_the_one_image_of_a_group_is_read(tmp_path: Path):
    path = plain_group(tmp_path / "g.zarr", rgb=(200, 300, 3), height=(400, 600), x=(300,))
    with open_raster(path) as raster:
        assert raster.levels == (Size(200, 300),)


def test_small_levels_of_a_plain_group_keep_the_axes_of_the_largest(tmp_path: Path):
    shapes = {f"s{n}": (3, 256 >> n, 128 >> n) for n in range(5)}  # the last is 16 x 8
    with open_raster(plain_group(tmp_path / "g.zarr", **shapes)) as raster:
        assert raster.levels == tuple(Size(256 >> n, 128 >> n) for n in range(5))


def chunk_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path / "c").rglob("*") if file.is_file())


@pytest.mark.parametrize("shards", [None, (512, 512, 3), (1024, 1024, 3)])
def test_bytes_read_are_those_of_the_chunks(tmp_path: Path, shards: tuple | None):
    path = save(tmp_path / "a.zarr", noise_raster(1100, 1024), (256, 256, 3), shards=shards)
    with open_raster(path) as raster:
        raster.read(Box(0, 0, 100, 100), Size(100, 100))
        assert raster.bytes_read == pytest.approx(512 * 512 * 3, rel=0.01)  # noise: no gain
        raster.read(Box.whole(raster.size), raster.size)
        assert raster.bytes_read == pytest.approx(chunk_bytes(path), rel=0.01)


def test_a_chunk_never_written_reads_as_the_fill_value(tmp_path: Path):
    path = tmp_path / "a.zarr"
    zarr.create_array(
        store=str(path), shape=(64, 64, 3), chunks=(32, 32, 3), dtype="u1", fill_value=7
    )
    assert (all_of(path) == 7).all()
