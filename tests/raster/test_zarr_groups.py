"""OME-NGFF and GeoZarr: what the metadata say of axes, resolutions, colours and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import zarr

from tests.fixtures_raster import coordinate_raster
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster, shown
from uhrqa.raster.ground import Ground, NoGround, ground_of

PICTURE = coordinate_raster(150, 200)
BANDS = np.moveaxis(PICTURE, 2, 0)
SIZES = (Size(150, 200), Size(75, 100))
AFFINE = (2.0, 0.0, 500_000.0, 0.0, -2.0, 5_500_000.0)


def put(group: zarr.Group, name: str, values: np.ndarray, **options: Any) -> zarr.Array:
    chunks = tuple(min(64, side) for side in values.shape)
    array = group.create_array(
        name, shape=values.shape, chunks=chunks, dtype=values.dtype, **options
    )
    array[...] = values
    return array


def ngff(path: Path, levels: list[np.ndarray], axes: str, version: str = "0.5", **ome: Any) -> Path:
    old = version == "0.4"
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if old else 3)
    for index, level in enumerate(levels):
        put(group, f"s{index}", level)
    scales = [
        {
            "axes": [{"name": name} for name in axes],
            "datasets": [{"path": f"s{index}"} for index in range(len(levels))],
        }
    ]
    if old:
        group.attrs.update({"multiscales": scales, **ome})
    else:
        group.attrs["ome"] = {"version": version, "multiscales": scales, **ome}
    return path


def slope(count: int, step: float) -> np.ndarray:
    """`[count, count, 3]`: red and green are four times the source pixel that a pixel's middle is.

    That of an image of 61 px (`step` 1), or of a level that has `step` of its pixels in each.
    """
    place = np.clip((np.arange(count) + 0.5) * step - 0.5, 0, 60)
    return np.stack([*np.meshgrid(4 * place, 4 * place), np.zeros((count, count))], -1).round()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([(2.0, 30), (4.0, 15)], True),  # rounded down
        ([(2.0, 31), (4.0, 16)], True),  # rounded up
        ([(61 / 30, 30), (61 / 15, 15)], False),  # the whole image resized, and nothing said
        ([(61 / 30, 30), (61 / 15, 15)], True),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 0.25])
def test_levels_lie_where_their_scales_say(
    tmp_path: Path, levels: list[tuple[float, int]], said: bool, version: str, unit: float
):
    made = [(1.0, 61), *levels]
    arrays = [slope(count, step).astype(np.uint8) for step, count in made]
    path = ngff(tmp_path / "a.zarr", arrays, "yxc", version)
    if said:
        say_scales(path, [unit * step for step, _ in made])
    with open_raster(path) as raster:
        assert raster.levels == tuple(Size(count, count) for _, count in made)
        seen = raster.read(Box(8, 8, 52, 52), Size(11, 11)).array
    middles = 4 * (8 + 4 * (np.arange(11) + 0.5) - 0.5)
    assert np.abs(seen[..., 0] - middles).max() < 1.5
    assert np.abs(seen[..., 1] - middles[:, None]).max() < 1.5


def say_scales(path: Path, factors: list[float]) -> None:
    group = zarr.open_group(str(path))
    said: Any = group.attrs.asdict()
    for dataset, factor in zip(
        said.get("ome", said)["multiscales"][0]["datasets"], factors, strict=True
    ):
        scale = {"type": "scale", "scale": [factor, factor, 1.0]}
        dataset["coordinateTransformations"] = [scale]
    group.attrs.put(said)


@pytest.mark.parametrize(
    "steps",
    [
        [{"type": "scale", "scale": [7.0, 7.0, 1.0]}],  # against the sizes
        [{"type": "scale", "scale": [2.0]}],
        [{"type": "scale", "scale": [0, "x", None]}],
        [{"type": "scale", "path": "elsewhere"}],
        "none",
        [None],
    ],
)
def test_scales_that_cannot_be_are_told_from_the_sizes(tmp_path: Path, steps: Any):
    path = ngff(tmp_path / "a.zarr", [PICTURE, PICTURE[::2, ::2]], "yxc")
    group = zarr.open_group(str(path))
    said: Any = group.attrs.asdict()
    said["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"] = steps
    group.attrs.put(said)
    with open_raster(path) as raster:
        assert raster.levels == SIZES
        assert np.array_equal(
            raster.read(Box.whole(raster.size), SIZES[1]).array, PICTURE[::2, ::2]
        )


def all_of(path: Path) -> np.ndarray:
    with open_raster(path) as raster:
        return raster.read(Box.whole(raster.size), raster.size).array


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("axes", "values"),
    [
        ("cyx", BANDS),
        ("yxc", PICTURE),
        ("xyc", PICTURE.swapaxes(0, 1)),
        ("tczyx", BANDS[None, :, None]),
        ("cxy", BANDS.swapaxes(1, 2)),
        ("xcy", PICTURE.transpose(1, 2, 0)),
    ],
)
def test_axes_are_those_that_are_named(tmp_path: Path, axes: str, values: np.ndarray, version: str):
    assert np.array_equal(all_of(ngff(tmp_path / "a.zarr", [values], axes, version)), PICTURE)


@pytest.mark.filterwarnings("ignore::uhrqa.raster.ExtraBandsWarning")
def test_many_bands_are_bands_where_they_are_named(tmp_path: Path):
    path = ngff(tmp_path / "a.zarr", [np.concatenate([BANDS] * 7)], "cyx")
    with open_raster(path) as raster:
        assert raster.size == SIZES[0]
        assert shown(raster)["bands_stored"] == 21


@pytest.mark.parametrize(("axes", "axis"), [("zyx", "z"), ("tyx", "t")])
def test_depths_and_times_are_no_bands(tmp_path: Path, axes: str, axis: str):
    path = ngff(tmp_path / "a.zarr", [BANDS], axes)
    with pytest.raises(RasterError, match=f"3 images along its axis '{axis}'; store one"):
        open_raster(path)


@pytest.mark.parametrize("where", ["dimension_names", "_ARRAY_DIMENSIONS"])
def test_an_array_may_name_its_own_axes(tmp_path: Path, where: str):
    columns_first = PICTURE.swapaxes(0, 1)
    names = ("lon", "lat", "band")
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    if where == "dimension_names":
        put(group, "a", columns_first, dimension_names=names)
    else:
        put(group, "a", columns_first).attrs["_ARRAY_DIMENSIONS"] = list(names)
    assert np.array_equal(all_of(tmp_path / "g.zarr" / "a"), PICTURE)


@pytest.mark.parametrize("first", [0, 2])
def test_channels_named_red_green_and_blue(tmp_path: Path, first: int):
    colours = ["0000FF", "00ff00", "FF0000"] if first else ["FF0000", "00FF00", "0000FF"]
    omero = {"channels": [{"color": colour} for colour in colours]}
    path = ngff(tmp_path / "a.zarr", [BANDS[::-1] if first else BANDS], "cyx", omero=omero)
    assert np.array_equal(all_of(path), PICTURE)


def test_levels_of_a_few_pixels_keep_the_axes_of_the_largest(tmp_path: Path):
    path = tmp_path / "a.zarr"
    with open_raster(ngff(path, [BANDS, BANDS[:, ::50, ::50]], "cyx")) as raster:
        assert raster.levels == (SIZES[0], Size(3, 4))


def test_an_image_of_bioformats2raw(tmp_path: Path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    ngff(tmp_path / "a.zarr" / "0", [BANDS], "cyx")
    assert np.array_equal(all_of(tmp_path / "a.zarr"), PICTURE)


# ------------------------------------------------------------------ GeoZarr

PLACE: dict[str, Any] = {"proj:code": "EPSG:32633", "spatial:transform": list(AFFINE)}
LAYOUT = {"layout": [{"asset": "r10"}, {"asset": "r20", "derived_from": "r10"}]}
MATRICES = {"tile_matrix_set": {"tileMatrices": [{"id": "r10"}, {"id": "r20"}]}}


def geozarr(path: Path, scales: dict, *, grouped: bool, names: tuple[str, ...] = ("b",)) -> Path:
    group = zarr.open_group(str(path), mode="w")
    for level, values in (("r10", BANDS), ("r20", BANDS[:, ::2, ::2])):
        inside = group.create_group(level) if grouped else group
        for name in names if grouped else (level,):
            put(inside, name, values, dimension_names=("band", "y", "x"))
        if grouped:
            put(inside, "x", np.arange(values.shape[2], dtype=float))
    group.attrs.update({"multiscales": scales, **PLACE})
    return path


@pytest.mark.parametrize("scales", [LAYOUT, MATRICES], ids=["layout", "matrices"])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_levels_and_the_place_of_geozarr(tmp_path: Path, scales: dict, grouped: bool):
    with open_raster(geozarr(tmp_path / "a.zarr", scales, grouped=grouped)) as raster:
        assert raster.levels == SIZES
        assert ground_of(raster) == Ground("EPSG:32633", AFFINE)
        assert np.array_equal(raster.read(Box.whole(SIZES[0]), SIZES[0]).array, PICTURE)


def test_the_place_may_stand_at_the_level(tmp_path: Path):
    path = geozarr(tmp_path / "a.zarr", LAYOUT, grouped=True)
    group = zarr.open_group(str(path))
    group.attrs.put({"multiscales": LAYOUT, "proj:code": "EPSG:32633"})
    group["r10"].attrs["spatial:transform"] = list(AFFINE)
    with open_raster(path) as raster:
        assert ground_of(raster) == Ground("EPSG:32633", AFFINE)


def test_several_images_at_a_level_are_refused_by_name(tmp_path: Path):
    path = geozarr(tmp_path / "a.zarr", LAYOUT, grouped=True, names=("b02", "b03"))
    with pytest.raises(RasterError, match=r"holds 2 images \(b02, b03\).*a\.zarr/r10/b02"):
        open_raster(path)


@pytest.mark.parametrize("spacing", ["even", "uneven", "none", "transform"])
def test_a_grid_mapping_with_coordinates(tmp_path: Path, spacing: str):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    image = put(group, "image", BANDS)
    image.attrs.update({"_ARRAY_DIMENSIONS": ["band", "y", "x"], "grid_mapping": "spatial_ref"})
    xs, ys = 500_001.0 + 2 * np.arange(200), 5_499_999.0 - 2 * np.arange(150)
    if spacing == "uneven":
        ys[70:] -= 1
    if spacing in ("even", "uneven"):
        put(group, "x", xs)
        put(group, "y", ys)
    mapping = group.create_array("spatial_ref", shape=(), dtype="i8")
    mapping.attrs["crs_wkt"] = pyproj.CRS(32633).to_wkt()
    if spacing == "transform":
        mapping.attrs["GeoTransform"] = "500000 2 0 5500000 0 -2"
    with open_raster(tmp_path / "a.zarr") as raster:
        ground = ground_of(raster)
    if spacing in ("even", "transform"):
        assert isinstance(ground, Ground)
        assert ground.affine == pytest.approx(AFFINE)
        assert ground.name == "WGS 84 / UTM zone 33N"
    else:
        assert isinstance(ground, NoGround)
        assert "no transform" in ground.reason


@pytest.mark.parametrize(("driver", "version"), [("zarr", "0.4"), ("zarr3", "0.5")])
def test_sharded_levels_of_tensorstore(tmp_path: Path, driver: str, version: str):
    tensorstore = pytest.importorskip("tensorstore")
    path = ngff(tmp_path / "a.zarr", [BANDS, BANDS[:, ::2, ::2]], "cyx", version)
    for index, values in enumerate([BANDS, BANDS[:, ::2, ::2]]):
        spec: dict[str, Any] = {
            "driver": driver,
            "kvstore": {"driver": "file", "path": str(path / f"s{index}")},
        }
        if driver == "zarr3":
            inner = {"chunk_shape": [3, 32, 32], "codecs": [{"name": "bytes"}, {"name": "zstd"}]}
            spec["metadata"] = {
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3, 64, 64]}},
                "codecs": [{"name": "sharding_indexed", "configuration": inner}],
            }
        store = tensorstore.open(
            spec, create=True, delete_existing=True, dtype="uint8", shape=values.shape
        ).result()
        store[...] = values
    with open_raster(path) as raster:
        assert raster.levels == SIZES
    assert np.array_equal(all_of(path), PICTURE)
