"""Label rasters: what is read as one, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from uhrqa.errors import LabelsWarning, RasterError
from uhrqa.geometry import Size
from uhrqa.raster.ground import Ground
from uhrqa.raster.labels import read_labels

SIZE = Size(200, 300)
LABELS = np.random.default_rng(0).integers(0, 70_000, (20, 30)).astype(np.int32)


def write(path: Path, array: Any) -> str:
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    elif path.suffix == ".zarr":
        zarr.save_array(path, array)
    else:
        Image.fromarray(array).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("a.tif", LABELS),
        ("a.tif", LABELS[None]),
        ("a.tif", LABELS.astype(np.uint16)),
        ("a.png", LABELS.astype(np.uint8)),
        ("a.png", LABELS.astype(np.uint16)),
        ("a.zarr", LABELS),
        ("a.zarr", LABELS.astype(np.int64)[:, :, None]),
        ("a.zarr", LABELS > 9),
    ],
)
def test_integers_come_back_as_they_were_written(tmp_path: Path, name: str, array) -> None:
    found = read_labels(write(tmp_path / name, array), SIZE)
    assert found.shape == (20, 30)
    assert np.array_equal(found, array.squeeze())


def test_a_palette_gives_its_indices(tmp_path: Path) -> None:
    labels = (LABELS % 9).astype(np.uint8)
    image = Image.new("P", (30, 20))
    image.frombytes(labels.tobytes())
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_labels(str(tmp_path / "a.png"), SIZE), labels)


def test_a_zarr_group_gives_its_array_of_labels(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    group.create_array("a", data=np.zeros((5, 5), np.int32))
    group.create_array("labels", data=LABELS)
    assert np.array_equal(read_labels(str(tmp_path / "g.zarr"), SIZE), LABELS)


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("a.tif", LABELS / 2, "labels of type float64, not integers"),
        ("a.zarr", LABELS.astype(np.float32), "labels of type float32, not integers"),
        ("a.tif", LABELS[:, :20], "labels of 20 x 20 px for an image of 300 x 200 px"),
        ("a.png", LABELS[:, :20].astype(np.uint8), "another shape"),
        ("a.png", np.zeros((20, 30, 3), np.uint8), "a PNG of colours"),
        ("a.tif", np.zeros((20, 30, 3), np.uint8), r"labels of shape \[20, 30, 3\]"),
        ("a.jpg", LABELS.astype(np.uint8), "labels are read from PNG, TIFF or Zarr, not jpeg"),
    ],
)
def test_what_is_no_raster_of_labels_is_one_line(tmp_path: Path, name, array, fault) -> None:
    path = write(tmp_path / name, array)
    with pytest.raises(RasterError, match=fault) as caught:
        read_labels(path, SIZE)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_damaged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="no such file"):
        read_labels(str(tmp_path / "none.tif"), SIZE)
    path = Path(write(tmp_path / "a.png", LABELS.astype(np.uint8)))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(RasterError, match="not a readable raster of labels"):
        read_labels(str(path), SIZE)


@pytest.mark.parametrize("value", [0, -3])
def test_labels_of_nothing_are_taken_with_a_warning(tmp_path: Path, value: int) -> None:
    path = write(tmp_path / "a.tif", np.full((20, 30), value, np.int32))
    with pytest.warns(LabelsWarning, match=rf"a.tif: no label above 0 \({value} to {value}\)"):
        assert read_labels(path, SIZE).shape == (20, 30)


def test_a_side_may_be_rounded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", LABELS[:, :29])
    assert read_labels(path, SIZE).shape == (20, 29)


GROUND = Ground("EPSG:32633", (2, 0, 500_000, 0, -2, 5_500_000))  # 300 x 200 px of 2 m


def placed(path: Path, affine: list[float], code: int = 32633) -> str:
    """Labels of 30 x 20 with a transform, as GeoZarr writes it."""
    array = zarr.create_array(path, data=LABELS)
    array.attrs.update({"proj:code": f"EPSG:{code}", "spatial:transform": affine})
    return str(path)


@pytest.mark.parametrize(
    ("affine", "code"),
    [
        ([20, 0, 500_000, 0, -20, 5_500_000], 32633),  # the same
        ([20, 0, 500_015, 0, -20, 5_500_000], 32633),  # less than a label off
        ([2, 0, 700_000, 0, -2, 5_500_000], 5_000_000),  # a code nobody knows is no place
    ],
)
def test_labels_of_the_images_place_are_taken(tmp_path: Path, affine, code) -> None:
    path = placed(tmp_path / "a.zarr", affine, code)
    assert read_labels(path, SIZE, GROUND).shape == (20, 30)


@pytest.mark.parametrize(
    ("affine", "code", "corners"),
    [
        ([20, 0, 600_000, 0, -20, 5_500_000], 32633, r"\(50000, 0\) and \(50300, 200\)"),
        (
            [10, 0, 500_000, 0, -10, 5_500_000],
            32633,
            r"\(0, 0\) and \(150, 100\)",
        ),  # a quarter of it
        ([20, 0, 500_000, 0, 20, 5_499_600], 32633, r"\(0, 200\) and \(300, 0\)"),
        ([0.001, 0, 8.5, 0, -0.001, 53.5], 4326, "lie elsewhere"),  # another system
    ],
)
def test_labels_of_another_place_are_refused(tmp_path: Path, affine, code, corners) -> None:
    path = placed(tmp_path / "a.zarr", affine, code)
    with pytest.raises(RasterError, match=corners) as caught:
        read_labels(path, SIZE, GROUND)
    assert "\n" not in str(caught.value)
    assert read_labels(path, SIZE).shape == (20, 30)  # an image that says nothing takes them
