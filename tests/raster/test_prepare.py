"""`prepare`: the same values at full resolution, antialiased levels, whole files or none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from tests.raster.test_shown_parts import damaged
from uhrqa.errors import ConfigError, OutputError, RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import OtherPagesWarning, open_raster, shown, tiff_copy
from uhrqa.raster.copies import level_sizes
from uhrqa.raster.ground import Ground, ground_of
from uhrqa.raster.prepare import prepare
from uhrqa.raster.reduce import shrink
from uhrqa.reading import Reading

rasterio = pytest.importorskip("rasterio")

pytestmark = pytest.mark.filterwarnings(
    "ignore::uhrqa.raster.ExtraBandsWarning",
    "ignore::uhrqa.raster.StretchWarning",
    "ignore:Dataset has no geotransform",
)
H, W = 523, 1031  # 3 levels, odd sides, several tiles and shards' edges
TARGETS = ("b.tif", "b.zarr")


def values(dtype: str, bands: int = 1) -> np.ndarray:
    """Smooth, with noise, over the type's range."""
    rng = np.random.default_rng(bands)
    slope = np.add.outer(np.linspace(0, 1, H), np.linspace(0, 2, W))[..., None] / 3.5
    part = slope + rng.uniform(0, 0.1, (H, W, bands))
    if dtype.startswith("float"):
        return (part * 100 - 20).astype(dtype)
    info = np.iinfo(dtype)
    return (info.min + part * 0.99 * (float(info.max) - float(info.min))).astype(dtype)


def save(path: Path, array: np.ndarray, **how: Any) -> Path:
    look = {"tile": (128, 128), "metadata": None, "compression": "zlib"} | how
    if array.shape[2] > 1:
        look["planarconfig"] = "contig"
    tifffile.imwrite(path, array if array.shape[2] > 1 else array[..., 0], **look)
    return path


def assert_alike(one: Path, other: Path, reading: Reading | None = None) -> None:
    """Pixels, masks and what `info` says are the same at full resolution."""
    with open_raster(one, reading) as first, open_raster(other, reading) as second:
        assert first.size == second.size
        box = Box.whole(first.size)
        a, b = first.read(box, first.size), second.read(box, first.size)
        assert np.array_equal(a.array, b.array)
        assert np.array_equal(a.mask, b.mask)
        assert shown(first) == shown(second)
        assert second.levels == level_sizes(first.size)


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


def stored(path: Path, level: int) -> np.ndarray:
    """`[h, w, bands]` as another reader sees them."""
    if path.suffix == ".zarr":
        array = np.asarray(zarr.open_group(path, mode="r")[str(level)])
        return np.moveaxis(array, 0, 2) if array.ndim == 3 else array[..., None]
    with tifffile.TiffFile(path) as tif:
        found = tif.pages[level].asarray()  # masks come last
    return found if found.ndim == 3 else found[..., None]


def even(array: np.ndarray) -> np.ndarray:
    h, w = array.shape[:2]
    return np.pad(array, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")


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


@pytest.mark.parametrize("target", TARGETS)
def test_levels_of_bytes_are_halvings_of_all(tmp_path: Path, target: str) -> None:
    array = values("uint8", 3)
    prepare(save(tmp_path / "a.tif", array, photometric="rgb"), tmp_path / target)
    for level in range(1, 3):
        array = shrink(even(array))
        assert np.array_equal(stored(tmp_path / target, level), array)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_levels_of_other_types_are_pillows_bicubic(tmp_path: Path, dtype: str, target: str) -> None:
    array = values(dtype)
    prepare(save(tmp_path / "a.tif", array), tmp_path / target)
    plane = Image.fromarray(even(array)[..., 0].astype(np.float32))
    expected = np.asarray(plane.resize((plane.width // 2, plane.height // 2), 3))
    made = stored(tmp_path / target, 1)[..., 0].astype(np.float64)
    assert np.abs(made - expected).max() <= (1 if dtype != "float32" else 1e-3)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("int16", -9999), ("float32", np.nan)])
def test_no_data_stays_and_bleeds_into_no_level(
    tmp_path: Path, dtype: str, nodata: float, target: str
) -> None:
    array = np.full((H, W, 1), 100, dtype)
    array[:, 301:] = nodata
    tags = [] if np.isnan(nodata) else [(42113, "s", 0, str(nodata), True)]
    source = save(tmp_path / "a.tif", array, extratags=tags)
    prepare(source, tmp_path / target)
    assert_alike(source, tmp_path / target, Reading(stretch=(0, 100)))
    for level, edge in ((1, 150), (2, 75)):
        made = stored(tmp_path / target, level)[..., 0]
        assert np.allclose(made[:, :edge], 100)
        beyond = made[:, edge + 1 :]
        assert np.isnan(beyond).all() if np.isnan(nodata) else (beyond == nodata).all()


def test_no_mean_of_image_becomes_no_data(tmp_path: Path) -> None:
    array = np.zeros((H, W, 1), "uint8")
    array[::2, ::2] = 1
    array[:, 900:] = 7
    tags = [(42113, "s", 0, "2", True)]
    array[array == 1] = 4  # a mean of 0 and 4 in the middle of the image is about 1 to 2
    prepare(save(tmp_path / "a.tif", array, extratags=tags), tmp_path / "b.tif")
    assert (stored(tmp_path / "b.tif", 1) != 2).all()


def test_alpha_stays_and_hidden_colours_do_not_bleed(tmp_path: Path) -> None:
    array = np.full((H, W, 4), 200, np.uint8)
    array[:, 300:] = 0
    source = save(tmp_path / "a.tif", array, photometric="rgb", extrasamples=[2])
    prepare(source, tmp_path / "b.tif")
    assert np.array_equal(stored(tmp_path / "b.tif", 0), array)
    assert_alike(source, tmp_path / "b.tif")
    made = stored(tmp_path / "b.tif", 1)
    assert (made[:, :150] == 200).all()
    assert (made[:, 150:] == 0).all()
    with pytest.raises(RasterError, match=r"transparency.*write a \.tif"):
        prepare(source, tmp_path / "b.zarr")


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


@pytest.mark.parametrize("target", TARGETS)
def test_damage_leaves_nothing_behind(tmp_path: Path, target: str) -> None:
    source = save(tmp_path / "a.tif", values("uint8", 3), photometric="rgb")
    data = source.read_bytes()
    with tifffile.TiffFile(source) as tif:
        at = tif.pages[0].dataoffsets[-1]
    source.write_bytes(data[: at + 2] + b"\xff" * 40 + data[at + 42 :])
    (tmp_path / "kept").mkdir()
    with pytest.raises(RasterError, match="cannot be decoded"):
        prepare(source, tmp_path / "kept" / target)
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_there_is_replaced_only_where_that_was_asked_for(
    tmp_path: Path, target: str
) -> None:
    source = save(tmp_path / "a.tif", values("uint8"))
    prepare(source, tmp_path / target)
    other = save(tmp_path / "c.tif", values("uint8", 3), photometric="rgb")
    with pytest.raises(OutputError, match="--overwrite"):
        prepare(other, tmp_path / target)
    assert stored(tmp_path / target, 0).shape[2] == 1
    prepare(other, tmp_path / target, overwrite=True)
    assert stored(tmp_path / target, 0).shape[2] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.tif", "c.tif", target])


def test_nothing_else_is_replaced_and_bad_names_are_one_line(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", values("uint8"))
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "diary.txt").write_text("x")
    (tmp_path / "folder.tif").mkdir()
    cases: list[tuple[str, type[Exception], str]] = [
        ("mine.zarr", OutputError, "is no Zarr store"),
        ("folder.tif", OutputError, "is a directory"),
        ("a.tif", OutputError, "is the image itself"),
        ("b.png", ConfigError, "name a .tif"),
        ("no/b.tif", OutputError, "there is no directory"),
    ]
    for name, kind, text in cases:
        with pytest.raises(kind, match=text):
            prepare(source, tmp_path / name, overwrite=True)
    with pytest.raises(ConfigError, match="give zstd, none"):
        prepare(source, tmp_path / "b.zarr", compression="deflate")
    with pytest.raises(RasterError, match="no such file"):
        prepare(tmp_path / "none.tif", tmp_path / "b.tif")
    assert (tmp_path / "mine.zarr" / "diary.txt").read_text() == "x"


def test_a_thumbnail_of_the_copy_reads_a_small_part(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", values("uint8", 3), photometric="rgb")
    prepare(source, tmp_path / "b.tif")
    with warnings.catch_warnings(), open_raster(tmp_path / "b.tif") as raster:
        warnings.simplefilter("error")
        raster.read(Box.whole(raster.size), Size(50, 84))
        assert raster.bytes_read < (tmp_path / "b.tif").stat().st_size / 8


@pytest.mark.parametrize("how", [{}, {"nodata": True}, {"photometric": "palette"}])
def test_tiles_that_cannot_be_decoded_may_become_holes(tmp_path: Path, how: dict) -> None:
    look: dict[str, Any] = {}
    if "nodata" in how:
        look["extratags"] = [(42113, "s", 0, "7", True)]
    if "photometric" in how:
        look |= {"photometric": "palette", "colormap": np.full((3, 256), 2**15, np.uint16)}
    source = damaged(save(tmp_path / "a.tif", values("uint8"), **look), 3)
    target = tmp_path / "b.tif"
    with pytest.raises(RasterError, match="--on-bad-tile mask"):
        prepare(source, target)
    assert not target.exists()
    done = prepare(source, target, on_bad_tile="mask")
    assert done.notes == ("tiles that could not be decoded are masked: 1",)
    seen = []
    for path in (source, target):
        with open_raster(path, Reading(on_bad_tile="mask")) as raster:
            seen.append(raster.read(Box.whole(raster.size), raster.size))
    assert np.array_equal(seen[0].array, seen[1].array)
    assert np.array_equal(seen[0].mask, seen[1].mask)
    assert not seen[1].mask[:128, 384:512].any()
    assert seen[1].mask[128:].any()


@pytest.mark.parametrize("target", TARGETS)
def test_views_of_a_copy_with_odd_sides_lie_where_the_image_does(
    tmp_path: Path, target: str
) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (131, 259, 3), np.uint8)).resize((2067, 1043))
    prepare(save(tmp_path / "a.tif", np.asarray(image), photometric="rgb"), tmp_path / target)
    out = Size(96, 192)
    with open_raster(tmp_path / target) as raster:
        seen = raster.read(Box.whole(raster.size), out).array
    expected = image.resize((out.w, out.h), Image.Resampling.BICUBIC)
    error = np.asarray(expected) - seen.astype(float)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 50


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_is_not_replaced_by_its_own_level(tmp_path: Path, overwrite: bool) -> None:
    store, array = tmp_path / "z.zarr", values("uint8")
    prepare(save(tmp_path / "a.tif", array), store)
    (tmp_path / "link").symlink_to(store / "1")
    for source in (store / "1", tmp_path / "link"):
        with pytest.raises(OutputError, match=r"z\.zarr: holds the image itself.*name another"):
            prepare(source, store, overwrite=overwrite)
    with pytest.raises(OutputError, match=r"b\.tif: lies in the image itself.*name another"):
        prepare(store, store / "b.tif", overwrite=overwrite)
    assert np.array_equal(stored(store, 0), array)
    assert not (store / "b.tif").exists()


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_a_store_that_cannot_be_replaced_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    array = values("uint8")
    source = save(tmp_path / "a.tif", array)
    prepare(source, tmp_path / "z.zarr")
    other = save(tmp_path / "b.tif", values("uint8", 3), photometric="rgb")

    move = Path.replace

    def fails(draft: Path, target: Path) -> Path:
        if Path(target).suffix == ".zarr":
            raise error
        return move(draft, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        prepare(other, tmp_path / "z.zarr", overwrite=True)
    assert np.array_equal(stored(tmp_path / "z.zarr", 0), array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif", "z.zarr"]


def test_a_link_to_a_store_is_refused_before_the_image_is_read(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", values("uint8"))
    prepare(source, tmp_path / "z.zarr")
    (tmp_path / "link.zarr").symlink_to("z.zarr")
    with pytest.raises(OutputError, match=r"link\.zarr: is a link.*name .*z\.zarr"):
        prepare(
            source,
            tmp_path / "link.zarr",
            overwrite=True,
            started=lambda _: pytest.fail("it is read"),
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


@pytest.mark.parametrize("suffix", [".ovr", ".msk", ".msk.ovr"])
def test_files_beside_a_tiff_are_not_read_with_its_successor(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / "a.tif", values("uint8"))
    beside = tmp_path / f"b.tif{suffix}"
    tifffile.imwrite(beside, np.zeros((H, W), bool), photometric="mask", subfiletype=4)
    old = beside.read_bytes()
    with pytest.raises(OutputError, match=rf"b\.tif{suffix}: would be read.*--overwrite"):
        prepare(source, tmp_path / "b.tif")
    with pytest.raises(OutputError, match="is the image itself"):
        prepare(beside, tmp_path / "b.tif", overwrite=True)
    (tmp_path / "b.tif").mkdir()  # so that it cannot be written
    with pytest.raises(OutputError, match="is a directory"):
        prepare(source, tmp_path / "b.tif", overwrite=True)
    assert beside.read_bytes() == old
    (tmp_path / "b.tif").rmdir()
    prepare(source, tmp_path / "b.tif", overwrite=True)
    assert not beside.exists()
    assert_alike(source, tmp_path / "b.tif")


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


@pytest.mark.parametrize(("image", "shown"), [(1, False), (3, True)])
def test_a_pixel_is_image_where_half_of_it_is(tmp_path: Path, image: int, *, shown: bool) -> None:
    array = np.zeros((600, 600, 1), np.uint8)  # of each 2 x 2 pixels, `image` are image
    for y, x in ((0, 0), (0, 1), (1, 0))[:image]:
        array[y::2, x::2] = 100
    source = save(tmp_path / "a.tif", array, extratags=[(42113, "s", 0, "0", True)])
    prepare(source, tmp_path / "b.tif")
    assert (stored(tmp_path / "b.tif", 1)[8:-8, 8:-8] == (100 if shown else 0)).all()


@pytest.mark.parametrize(("a", "e", "code"), [(1, -1, 33550), (1, 1, 34264), (-1, -1, 34264)])
def test_images_that_are_not_north_up_have_a_matrix(a: float, e: float, code: int) -> None:
    ground = Ground("EPSG:32633", (a, 0.0, 4e5, 0.0, e, 5e6))
    tags = {tag[0]: tag[3] for tag in tiff_copy.ground_tags(ground)}
    assert code in tags
    assert len(tags) == (3 if code == 33550 else 2)
    if code == 34264:
        assert (tags[code][0], tags[code][5]) == (a, e)
