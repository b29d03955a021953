"""Made levels on disk: the same pixels, no second pass, and damage costs a pass."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.fixtures_raster import noise_raster
from uhrqa.errors import KeptLevelWarning, NoOverviewWarning, RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import levels, open_raster
from uhrqa.raster.foreseen import bytes_to_read, decoded_pixels
from uhrqa.raster.kept_levels import KeptLevels

pytestmark = pytest.mark.filterwarnings("ignore::uhrqa.errors.NoOverviewWarning")
READS = (  # what each level shows: stored, where it is read, in memory
    (Box(10, 20, 74, 84), Size(64, 64)),
    (Box(30, 40, 430, 440), Size(100, 100)),
    (Box(0, 0, 700, 601), Size(150, 175)),
    (Box(100, 0, 700, 600), Size(75, 75)),
    (Box(0, 0, 700, 601), Size(20, 24)),
)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if memory were small: of 601 x 700 px, the quarter is too large for it."""
    monkeypatch.setattr(levels, "WINDOW_PIXELS", 2**14)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    save(path, noise_raster(601, 700))
    return path


def save(path: Path, array: np.ndarray) -> None:
    tifffile.imwrite(
        path, array, photometric="rgb", tile=(64, 64), compression="zlib", metadata=None
    )


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*"))


def looks(
    path: Path, kept: KeptLevels | None, roi: str | None = None
) -> tuple[list[np.ndarray], int]:
    """What reads show, coarsest first, and the bytes they took from the image."""
    with open_raster(path, kept=kept, roi=roi) as raster:
        opened = raster.bytes_read
        found = [raster.read(box, out).array for box, out in reversed(READS)]
        return found, raster.bytes_read - opened


@pytest.mark.parametrize("roi", [None, "0,0,690,600"])
def test_pixels_are_the_same_without_a_cache_with_a_new_one_and_with_a_full_one(
    image: Path, tmp_path: Path, roi: str | None
) -> None:
    plain, all_bytes = looks(image, None, roi)
    first, _ = looks(image, KeptLevels(tmp_path / "kept", lambda: "me"), roi)
    again, few_bytes = looks(image, KeptLevels(tmp_path / "kept", lambda: "me"), roi)
    for one, other, third in zip(plain, first, again, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, third)
    assert few_bytes < all_bytes / 10
    assert len(files_in(tmp_path / "kept")) == 1


def test_only_what_a_level_lacks_is_read_and_nothing_is_said(image: Path, tmp_path: Path) -> None:
    looks(image, KeptLevels(tmp_path / "kept", lambda: "me"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(image, kept=KeptLevels(tmp_path / "kept", lambda: "me")) as raster:
            assert bytes_to_read(raster, READS[1:]) == 0
            opened = raster.bytes_read
            for box, out in READS[1:]:
                raster.read(box, out)
            assert raster.bytes_read == opened


def test_a_large_level_is_made_where_it_is_read_alone(image: Path) -> None:
    box, out = Box(100, 100, 200, 200), Size(25, 25)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoOverviewWarning)
        with open_raster(image) as raster:
            foreseen = bytes_to_read(raster, [(box, out)])
            opened = raster.bytes_read
            raster.read(box, out)
            assert raster.bytes_read - opened == foreseen
            assert foreseen < image.stat().st_size / 10


@pytest.mark.parametrize("owners", [("me", "other"), (None, None)])
def test_another_owner_or_none_takes_nothing(
    image: Path, tmp_path: Path, owners: tuple[str | None, str | None]
) -> None:
    _, first = looks(image, KeptLevels(tmp_path / "kept", lambda: owners[0]))
    _, second = looks(image, KeptLevels(tmp_path / "kept", lambda: owners[1]))
    assert second == first


def test_an_image_that_changes_during_the_pass_is_not_kept(image: Path, tmp_path: Path) -> None:
    names = iter(["before", "before", "after"])
    looks(image, KeptLevels(tmp_path / "kept", lambda: next(names, "after")))
    assert files_in(tmp_path / "kept") == []


def cut(data: bytes) -> bytes:
    return data[:-7]


def other_pixel(data: bytes) -> bytes:
    return data[:-7] + bytes([data[-7] ^ 1]) + data[-6:]


def no_head(data: bytes) -> bytes:
    return b"x" * 4096 + data[4096:]


@pytest.mark.parametrize("harm", [cut, other_pixel, no_head])
def test_damage_is_told_and_the_levels_are_made_anew(
    image: Path, tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    plain, _ = looks(image, KeptLevels(tmp_path / "kept", lambda: "me"))
    (file,) = files_in(tmp_path / "kept")
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    with pytest.warns(KeptLevelWarning, match="left out"):
        found, _ = looks(image, KeptLevels(tmp_path / "kept", lambda: "me"))
    assert all(map(np.array_equal, plain, found))
    assert file.read_bytes() == whole


def test_a_full_disk_is_told_once_and_ends_nothing(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = looks(image, None)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(KeptLevelWarning, match="No space left") as told:
        found, _ = looks(image, KeptLevels(tmp_path / "kept", lambda: "me"))
    assert len([one for one in told if one.category is KeptLevelWarning]) == 1
    assert all(map(np.array_equal, plain, found))
    assert files_in(tmp_path / "kept") == []


def test_what_would_not_fit_is_not_written_and_the_oldest_goes(image: Path, tmp_path: Path) -> None:
    looks(image, KeptLevels(tmp_path / "kept", lambda: "me", limit=50_000))
    assert files_in(tmp_path / "kept") == []
    limit = 4096 + 150_000
    for name in ("first", "second"):
        looks(image, KeptLevels(tmp_path / "kept", partial(str, name), limit=limit))
        (left,) = files_in(tmp_path / "kept")
    _, taken = looks(image, KeptLevels(tmp_path / "kept", lambda: "second", limit=limit))
    assert taken < image.stat().st_size / 10
    assert left.stat().st_size < limit


def test_several_at_once_agree(image: Path, tmp_path: Path) -> None:
    plain, _ = looks(image, None)
    found: list[list[np.ndarray]] = []

    def look() -> None:
        found.append(looks(image, KeptLevels(tmp_path / "kept", lambda: "me"))[0])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(a, b) for one in found for a, b in zip(one, plain, strict=True))
    assert len(files_in(tmp_path / "kept")) == 1


def test_a_directory_that_cannot_be_is_told_and_ends_nothing(image: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.warns(KeptLevelWarning, match="--pyramid-cache DIR, or off"):
        found, _ = looks(image, KeptLevels(tmp_path / "file" / "kept", lambda: "me"))
    assert len(found) == len(READS)


def test_two_regions_of_one_size_do_not_share_levels(image: Path, tmp_path: Path) -> None:
    for roi in ("0,0,650,560", "50,40,700,600"):
        plain, _ = looks(image, None, roi)
        found, _ = looks(image, KeptLevels(tmp_path / "kept", lambda: "me"), roi)
        for one, other in zip(found, plain, strict=True):
            np.testing.assert_allclose(one.astype(int), other.astype(int), atol=1)
    assert len(files_in(tmp_path / "kept")) == 2


def test_an_owner_that_cannot_be_told_in_the_end_leaves_no_draft(
    image: Path, tmp_path: Path
) -> None:
    names = iter(["me", "me"])

    def owner() -> str:
        try:
            return next(names)
        except StopIteration:
            raise RasterError("a.tif: gone") from None

    with pytest.raises(RasterError, match="gone"):
        looks(image, KeptLevels(tmp_path / "kept", owner))
    assert files_in(tmp_path / "kept") == []


def test_a_forecast_counts_no_pass_where_levels_are_kept(image: Path, tmp_path: Path) -> None:
    coarse = [(Box(0, 0, 700, 601), Size(20, 24))]
    kept = KeptLevels(tmp_path / "kept", lambda: "me")
    with open_raster(image, kept=kept) as raster:
        assert decoded_pixels(raster, coarse) == (601 * 700, 601 * 700, 601 * 700 // 12)
        raster.read(*coarse[0])
    with open_raster(image, kept=KeptLevels(tmp_path / "kept", lambda: "me")) as raster:
        assert decoded_pixels(raster, coarse) == (0, 0, 0)
