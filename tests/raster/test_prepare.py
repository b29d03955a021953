"""`prepare`: the same values at full resolution, whatever the kind of image."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.raster.copied import TARGETS, H, W, assert_alike, save, stored, values
from uhrqa.errors import OutputError, RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import OtherPagesWarning, open_raster, tiff_copy
from uhrqa.raster.copies import level_sizes
from uhrqa.raster.ground import Ground, ground_of
from uhrqa.raster.prepare import prepare
from uhrqa.reading import Reading

rasterio = pytest.importorskip("rasterio")

pytestmark = pytest.mark.filterwarnings(
    "ignore::uhrqa.raster.ExtraBandsWarning",
    "ignore::uhrqa.raster.StretchWarning",
    "ignore:Dataset has no geotransform",
)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("dtype", "bands"),
    [
        ("uint8", 1), ("uint8", 3), ("uint16", 5), ("int16", 1), ("uint32", 1), ("int32", 1),
        ("float16", 1), ("float32", 3), ("float64", 1),
    ],
)  # fmt: skip
def test_values_of_every_type_and_band_stay(
    tmp_path: Path, dtype: str, bands: int, target: str
) -> None:
    array = values(dtype, bands)
    source = save(tmp_path / "a.tif", array, photometric="rgb" if bands == 3 else "minisblack")
    done = prepare(source, tmp_path / target)
    assert (done.bands, done.dtype, done.sizes[0], done.notes) == (bands, dtype, (H, W), ())
    assert np.array_equal(stored(tmp_path / target, 0), array)
    assert_alike(source, tmp_path / target)
    if bands == 5:
        assert_alike(source, tmp_path / target, Reading(bands=(5, 1, 4)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("roles", "how"),
    [
        ("gray undefined undefined", {"photometric": "minisblack"}),
        ("gray undefined undefined undefined undefined", {"photometric": "minisblack"}),
        ("red green blue", {"photometric": "rgb"}),
        ("red green blue undefined", {"photometric": "rgb", "alpha": "no"}),
        ("red green blue alpha", {"photometric": "rgb", "alpha": "premultiplied"}),
        ("blue green red undefined", {"photometric": "minisblack"}),
    ],
)
def test_bands_are_named_as_the_image_names_them(
    tmp_path: Path, roles: str, how: dict[str, str], dtype: str
) -> None:
    names = roles.split()
    bands = np.moveaxis(values(dtype, len(names))[:40, :50], 2, 0)
    profile = {"width": 50, "height": 40, "count": len(names), "dtype": dtype, "driver": "GTiff"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **how) as image:
        image.write(bands)
        image.colorinterp = [rasterio.enums.ColorInterp[name] for name in names]
    prepare(tmp_path / "a.tif", tmp_path / "b.tif")
    seen: list[Any] = []
    for name in ("a.tif", "b.tif"):
        with rasterio.open(tmp_path / name) as image:
            kind = image.tags(4, ns="IMAGE_STRUCTURE").get("ALPHA") if len(names) == 4 else None
            seen.append((" ".join(role.name for role in image.colorinterp), kind))
        with tifffile.TiffFile(tmp_path / name) as tif:
            seen[-1] = (*seen[-1], tif.pages.first.photometric, tif.pages.first.extrasamples)
    assert seen[0] == seen[1]
    assert seen[0][0] == roles
    assert_alike(tmp_path / "a.tif", tmp_path / "b.tif")


def test_a_mask_stays_and_another_program_sees_it(tmp_path: Path) -> None:
    array, mask = values("uint16", 3), np.ones((H, W), bool)
    mask[100:300, 200:900] = False
    source = tmp_path / "a.tif"
    with tifffile.TiffWriter(source) as tif:
        tif.write(array, tile=(128, 128), photometric="rgb", metadata=None)
        tif.write(mask, tile=(128, 128), photometric="mask", subfiletype=4, metadata=None)
    prepare(source, tmp_path / "b.tif")
    assert_alike(source, tmp_path / "b.tif")
    with rasterio.open(tmp_path / "b.tif") as other:
        assert np.array_equal(other.dataset_mask() > 0, mask)
        assert np.array_equal(np.moveaxis(other.read(), 0, 2), array)
        assert other.overviews(1) == [2, 4]
    with pytest.raises(RasterError, match=r"a mask.*write a \.tif"):
        prepare(source, tmp_path / "b.zarr")


@pytest.mark.parametrize("compression", ["zstd", "deflate", "none"])
def test_other_programs_read_every_compression(tmp_path: Path, compression: str) -> None:
    array = values("uint8", 3)
    source = save(tmp_path / "a.tif", array, photometric="rgb")
    prepare(source, tmp_path / "b.tif", compression=compression)
    with rasterio.open(tmp_path / "b.tif") as other:
        assert np.array_equal(np.moveaxis(other.read(), 0, 2), array)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("affine", [(0.5, 0, 4e5, 0, -0.5, 5e6), (0.4, 0.1, 4e5, 0.1, -0.4, 5e6)])
def test_the_place_on_the_ground_stays(
    tmp_path: Path, affine: tuple[float, ...], target: str
) -> None:
    source = tmp_path / "a.tif"
    profile = {"width": W, "height": H, "count": 1, "dtype": "uint8"}
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(*affine)}
    with rasterio.open(source, "w", driver="GTiff", **profile, **where) as file:
        file.write(values("uint8")[..., 0], 1)
    prepare(source, tmp_path / target)
    with open_raster(tmp_path / target) as raster:
        ground = ground_of(raster)
        assert isinstance(ground, Ground)
        assert ground.crs == "EPSG:32633"
        assert ground.affine == pytest.approx(affine)
    if target == "b.tif":
        with rasterio.open(tmp_path / target) as other:
            assert other.crs.to_epsg() == 32633
            assert tuple(other.transform)[:6] == pytest.approx(affine)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "kind", ["palette.png", "grey.png", "rgb16.png", "photo.jpg", "cmyk.tif", "bits.tif"]
)
def test_other_kinds_are_copied_as_they_are_shown(tmp_path: Path, kind: str, target: str) -> None:
    rgb, source = values("uint8", 3), tmp_path / kind
    if kind == "palette.png":
        Image.fromarray(rgb).quantize(16).save(source)
    elif kind == "rgb16.png":
        from imagecodecs import png_encode

        source.write_bytes(png_encode(values("uint16", 3)))
    elif kind == "bits.tif":
        tifffile.imwrite(source, rgb[..., 0] > 100, tile=(128, 128), metadata=None)
    else:
        mode = {"grey.png": "L", "photo.jpg": "RGB", "cmyk.tif": "CMYK"}[kind]
        Image.fromarray(rgb).convert(mode).save(source)
    prepare(source, tmp_path / target)
    with open_raster(source) as first, open_raster(tmp_path / target) as second:
        box = Box.whole(first.size)
        assert np.array_equal(first.read(box, first.size).array, second.read(box, first.size).array)


def test_a_zarr_becomes_a_tiff(tmp_path: Path) -> None:
    array = values("uint16", 3)
    prepare(save(tmp_path / "a.tif", array, photometric="rgb"), tmp_path / "b.zarr")
    prepare(tmp_path / "b.zarr", tmp_path / "c.tif")
    assert np.array_equal(stored(tmp_path / "c.tif", 0), array)


def test_colours_in_another_order_stay(tmp_path: Path) -> None:
    items = "".join(
        f'<Item name="COLORINTERP" sample="{2 - index}" role="colorinterp">{name}</Item>'
        for index, name in enumerate(("Red", "Green", "Blue"))
    )
    tags = [(42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]
    source = save(tmp_path / "a.tif", values("uint8", 4), photometric="minisblack", extratags=tags)
    prepare(source, tmp_path / "b.tif")
    assert_alike(source, tmp_path / "b.tif")
    assert prepare(source, tmp_path / "b.zarr").notes == (
        "which bands are its colours was left out: --bands 3,2,1",
    )


@pytest.mark.parametrize("roles", ["ARGB", "RGAB", "RAGBN", "AY", "BAGR"])
def test_an_alpha_before_colours_goes_behind_them(tmp_path: Path, roles: str) -> None:
    array = values("uint8", len(roles))
    array[..., roles.index("A")] = 255
    array[:, 400:, roles.index("A")] = 0
    names = dict(zip("ARGBYN", ("alpha", "red", "green", "blue", "gray", "undefined"), strict=True))
    source = tmp_path / "a.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}">'
        f"<ColorInterp>{names[role].title()}</ColorInterp>"
        f'<SimpleSource><SourceFilename relativeToVRT="1">s.tif</SourceFilename>'
        f"<SourceBand>{n}</SourceBand></SimpleSource></VRTRasterBand>"
        for n, role in enumerate(roles, 1)
    )
    save(tmp_path / "s.tif", array, photometric="minisblack")
    size = f'rasterXSize="{W}" rasterYSize="{H}"'
    source.write_text(f"<VRTDataset {size}>{bands}</VRTDataset>")
    before = (tmp_path / "s.tif").read_bytes()
    with pytest.raises(OutputError, match=r"s\.tif: .*a\.vrt is read from it"):
        prepare(source, tmp_path / "s.tif", overwrite=True)
    assert (tmp_path / "s.tif").read_bytes() == before
    prepare(source, tmp_path / "b.tif")
    box = Box(0, 0, W, H)
    with open_raster(source) as first, open_raster(tmp_path / "b.tif") as second:
        a, b = first.read(box, first.size), second.read(box, first.size)
        assert not a.mask.all()
        assert np.array_equal(a.mask, b.mask)
        assert np.array_equal(a.array, b.array)
        small = second.read(box, second.levels[1])
        assert small.mask[:, :200].all()
        assert not small.mask[:, 200:].any()


def test_white_is_zero_stays_in_a_tiff_and_is_refused_for_zarr(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", values("uint8"), photometric="miniswhite")
    prepare(source, tmp_path / "b.tif")
    assert_alike(source, tmp_path / "b.tif")
    with pytest.raises(RasterError, match=r"zero is white.*write a \.tif"):
        prepare(source, tmp_path / "b.zarr")


def test_padded_tiles_count_for_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tiff_copy.tile_bytes([Size(513, 512), Size(257, 256)], 3) == 3 * 3 * 512**2
    sizes = level_sizes(Size(19_750, 19_750))
    assert sum(size.area for size in sizes) * 8 < tiff_copy.CLASSIC
    assert tiff_copy.tile_bytes(sizes, 8) > 2**32
    source = save(tmp_path / "a.tif", values("uint8"))
    whole = tiff_copy.tile_bytes(level_sizes(Size(H, W)), 1)
    for limit in (whole, whole - 1):
        monkeypatch.setattr(tiff_copy, "CLASSIC", limit)
        prepare(source, tmp_path / "b.tif", overwrite=True)
        with tifffile.TiffFile(tmp_path / "b.tif") as tif:
            assert tif.is_bigtiff == (limit < whole)


@pytest.mark.parametrize("colour", ["palette", "minisblack"])
def test_that_other_pages_are_left_out_is_told_once(tmp_path: Path, colour: str) -> None:
    how: dict[str, Any] = {}
    if colour == "palette":
        how = {"colormap": np.full((3, 256), 2**15, np.uint16)}
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for _ in range(2):
            tif.write(values("uint8")[..., 0], photometric=colour, metadata=None, **how)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        prepare(tmp_path / "a.tif", tmp_path / "b.tif")
    assert [warning.category for warning in told] == [OtherPagesWarning]


def test_twenty_bands_become_a_zarr(tmp_path: Path) -> None:
    array = values("uint8", 20)
    source = save(tmp_path / "a.tif", array, photometric="minisblack")
    prepare(source, tmp_path / "b.zarr")
    assert np.array_equal(stored(tmp_path / "b.zarr", 0), array)
    assert_alike(source, tmp_path / "b.zarr", Reading(bands=(20, 1, 7)))


@pytest.mark.parametrize("target", TARGETS)
def test_twelve_bits_become_sixteen_with_a_note(tmp_path: Path, target: str) -> None:
    array = values("uint16")[..., 0] >> 4
    source = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "width": W, "height": H, "count": 1, "dtype": "uint16"}
    with rasterio.open(source, "w", nbits=12, **profile) as file:
        file.write(array, 1)
    (note,) = prepare(source, tmp_path / target).notes
    assert note.startswith("its 12-bit values are 16-bit ones now")
    assert "16 times darker; give --stretch minmax" in note
    assert np.array_equal(stored(tmp_path / target, 0)[..., 0], array)


@pytest.mark.parametrize(("a", "e", "code"), [(1, -1, 33550), (1, 1, 34264), (-1, -1, 34264)])
def test_images_that_are_not_north_up_have_a_matrix(a: float, e: float, code: int) -> None:
    ground = Ground("EPSG:32633", (a, 0.0, 4e5, 0.0, e, 5e6))
    tags = {tag[0]: tag[3] for tag in tiff_copy.ground_tags(ground)}
    assert code in tags
    assert len(tags) == (3 if code == 33550 else 2)
    if code == 34264:
        assert (tags[code][0], tags[code][5]) == (a, e)
