"""`prepare`: whole files or none, what is damaged, and what is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.raster.copied import TARGETS, H, W, assert_alike, save, stored, values
from tests.raster.test_shown_parts import damaged
from uhrqa.errors import ConfigError, OutputError, RasterError
from uhrqa.geometry import Box
from uhrqa.raster import open_raster
from uhrqa.raster.prepare import prepare
from uhrqa.reading import Reading

pytestmark = pytest.mark.filterwarnings(
    "ignore::uhrqa.raster.ExtraBandsWarning",
    "ignore::uhrqa.raster.StretchWarning",
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
