"""Images on servers: the same pixels, few requests, clear errors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.fixtures_raster import CONTAINERS, coordinate_raster, noise_raster
from tests.servers import Server, serving
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import expect, open_raster, requests_made
from uhrqa.raster.files import GAP, merged

SIDES = (331, 517)
SMALL = Size(110, 100)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each container, each with the same picture."""
    base = tmp_path_factory.mktemp("served")
    for name, write in CONTAINERS.items():
        if name != "array":
            (base / name).mkdir()
            write(base / name, coordinate_raster(*SIDES))
    noise = noise_raster(1500, 2000)
    options: Any = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"}
    tifffile.imwrite(base / "noise.tif", noise, metadata=None, **options)
    return base


@pytest.fixture
def server(root: Path):
    with serving(root) as running:
        yield running


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT", server.url)
    return server


def address(root: Path, container: str) -> str:
    return f"{container}/{next((root / container).iterdir()).name}"


STORED = [name for name in CONTAINERS if name != "array"]


@pytest.mark.parametrize("container", STORED)
def test_every_format_reads_the_same_over_http(server: Server, root: Path, container: str) -> None:
    with open_raster(f"{server.url}/{address(root, container)}") as raster:
        assert raster.size == SIDES
        pixels = raster.read(Box.whole(raster.size), raster.size)
        assert np.array_equal(pixels.array, coordinate_raster(*SIDES))
        part = raster.read(Box(100, 50, 200, 150), Size(100, 100)).array
        assert np.array_equal(part, coordinate_raster(*SIDES)[50:150, 100:200])
        assert requests_made(raster) > 0
        assert raster.bytes_read > 1000


@pytest.mark.parametrize("container", ["tiff-tiles-deflate", "zarr-2", "zarr-3-shards", "png"])
def test_and_over_s3_without_credentials(s3: Server, root: Path, container: str) -> None:
    with open_raster(f"s3://{address(root, container)}") as raster:
        pixels = raster.read(Box.whole(raster.size), raster.size)
    assert np.array_equal(pixels.array, coordinate_raster(*SIDES))


def test_s3_requests_are_signed_where_the_environment_has_a_key(
    s3: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.signed = True
    place = f"s3://{address(root, 'tiff-tiles-zstd')}"
    with pytest.raises(RasterError, match=r"access denied.*AWS_ACCESS_KEY_ID"):
        open_raster(place)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with open_raster(place) as raster:
        assert raster.size == SIDES


def test_a_group_of_arrays_on_s3_is_listed(s3: Server, root: Path) -> None:
    import zarr

    group = zarr.open_group(root / "many" / "levels.zarr", mode="w")
    for name, side in (("0", 256), ("1", 128)):
        group.create_array(name, data=np.full((side, side, 3), side // 2, np.uint8))
    with open_raster("s3://many/levels.zarr") as raster:
        assert raster.levels == ((256, 256), (128, 128))
        assert raster.read(Box(0, 0, 256, 256), Size(128, 128)).array.max() == 64
    with pytest.raises(RasterError, match="does not list files; name an array"):
        open_raster(f"{s3.url}/many/levels.zarr")
    with open_raster(f"{s3.url}/many/levels.zarr/1") as raster:
        assert raster.size == (128, 128)


def test_the_head_of_a_tiff_is_one_request(server: Server) -> None:
    with open_raster(f"{server.url}/noise.tif") as raster:
        assert server.asked[0] == ("GET", "/noise.tif", "bytes=0-65535")
        assert {place for _, place, _ in server.asked[1:]} == {"/noise.tif.ovr", "/noise.tif.msk"}
        assert requests_made(raster) == len(server.asked) == 3


def test_what_is_told_beforehand_comes_at_once_and_only_once(server: Server, root: Path) -> None:
    reads = [(Box(x, y, x + 200, y + 200), Size(200, 200)) for x in (0, 900) for y in (100, 700)]
    with (
        open_raster(f"{server.url}/noise.tif") as raster,
        open_raster(root / "noise.tif") as local,
    ):
        before = raster.bytes_read, local.bytes_read
        expect(raster, reads)
        for box, out in reads:
            assert np.array_equal(raster.read(box, out).array, local.read(box, out).array)
        # A request for each of the 3 rows of 2 tiles that a window touches; they lie side by side.
        assert len(server.asked) == requests_made(raster) == 3 + 4 * 3
        spent = raster.bytes_read - before[0], local.bytes_read - before[1]
        assert spent[1] <= spent[0] <= 1.02 * spent[1]
        assert raster.bytes_read == server.sent


def test_the_bytes_counted_are_those_sent(server: Server, root: Path) -> None:
    for container in STORED:
        server.sent, server.asked[:] = 0, []
        with open_raster(f"{server.url}/{address(root, container)}") as raster:
            raster.read(Box(0, 0, 300, 300), Size(300, 300))
            gets = [entry for entry in server.asked if entry[0] == "GET"]
            if not container.startswith("zarr"):  # there, what is not found is sent, too
                assert (raster.bytes_read, requests_made(raster)) == (server.sent, len(gets))


def test_a_tiff_on_a_server_without_ranges_is_refused(root: Path) -> None:
    message = r"does not send parts of a file.*download"
    with serving(root, ranges=False) as server, pytest.raises(RasterError, match=message):
        open_raster(f"{server.url}/noise.tif")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_png_or_jpeg_needs_no_ranges(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image"
    Image.fromarray(noise_raster(1100, 1000)).save(path, kind, quality=95)
    with (
        serving(tmp_path, ranges=False) as server,
        open_raster(f"{server.url}/image") as raster,
        open_raster(path) as local,
    ):
        box = Box.whole(raster.size)
        assert path.stat().st_size > 2**20  # in several pieces
        assert np.array_equal(raster.read(box, SMALL).array, local.read(box, SMALL).array)
        assert [entry[2] for entry in server.asked] == ["bytes=0-65535", None]
        assert requests_made(raster) == 2
        assert raster.bytes_read == path.stat().st_size


def test_a_server_that_does_not_say_how_long_a_file_is_is_refused_with_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    with serving(root, ranges=False, unsized=True) as server:
        message = r"does not send parts of a file.*download"
        with pytest.raises(RasterError, match=message):
            open_raster(f"{server.url}/{address(root, 'png')}")


def test_without_ranges_too_a_large_png_is_refused_and_a_short_answer_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(noise_raster(700, 600)).save(tmp_path / "image.png")  # more than the first MiB
    with serving(tmp_path, ranges=False) as server:
        place = f"{server.url}/image.png"
        monkeypatch.setattr("uhrqa.raster.stores.MAX_WHOLE_BYTES", 1000)
        with pytest.raises(RasterError, match=r"without random access.*download it"):
            open_raster(place)
        monkeypatch.undo()
        monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
        server.cut = 100
        with pytest.raises(RasterError, match=r"cannot be read|ended at byte"):
            open_raster(place)


def test_a_slow_server_may_take_its_time_and_one_that_stalls_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(noise_raster(600, 700)).save(path)  # more than the first MiB
    monkeypatch.setattr("uhrqa.raster.stores.TIMEOUT", timedelta(seconds=0.3))
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    with serving(tmp_path, ranges=False) as server:
        server.piece, server.pause = path.stat().st_size // 10 + 1, 0.05
        with open_raster(f"{server.url}/image.png") as raster:  # in half a second
            assert raster.size == (600, 700)
        server.piece, server.pause = path.stat().st_size - 1000, 0.6
        with pytest.raises(RasterError, match="cannot be read"):
            open_raster(f"{server.url}/image.png")


def test_a_file_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    options: Any = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, noise_raster(600, 600), **options)
    with serving(tmp_path) as server, open_raster(f"{server.url}/image.tif") as raster:
        raster.read(Box(0, 0, 64, 64), Size(64, 64))
        tifffile.imwrite(path, noise_raster(600, 600, seed=1), **options)
        with pytest.raises(RasterError, match="replaced while it was read"):
            raster.read(Box(300, 300, 364, 364), Size(64, 64))


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.failures = 2
    with open_raster(f"{server.url}/noise.tif") as raster:
        assert raster.size == (1500, 2000)
    assert len(server.asked) == 5  # and for two files beside it


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{url}/missing.tif", "no such file on the server"),
        ("{url}/words.txt", "not a TIFF, Zarr, PNG or JPEG"),
        ("{url}/image.jp2", "or download the file: what only GDAL reads is read from a disk"),
        ("s3://bucket", "write for example s3://bucket/image.tif"),
        ("http://", "not an address"),
        ("ftp://host/image.tif", "only http://, https://, s3://, gs://, az:// are read"),
        ("http://127.0.0.1:9/image.tif", "server not reachable"),
    ],
)
def test_what_is_not_an_image_is_told_in_a_line(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch, place: str, message: str
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    (root / "words.txt").write_text("only words here")
    (root / "image.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n")
    with pytest.raises(RasterError, match=message) as caught:
        open_raster(place.format(url=server.url))
    assert "\n" not in str(caught.value)


def test_a_signature_in_an_address_is_sent_but_never_shown(server: Server) -> None:
    with open_raster(f"{server.url}/noise.tif?key=secret%2F1") as raster:
        assert server.asked[0][1] == "/noise.tif?key=secret%2F1"
        assert raster.path == f"{server.url}/noise.tif"
    with pytest.raises(RasterError) as caught:
        open_raster(f"{server.url}/missing.tif?key=secret")
    assert "secret" not in str(caught.value)


def test_a_png_too_large_to_fetch_is_refused(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.MAX_WHOLE_BYTES", 1000)
    with pytest.raises(RasterError, match=r"without random access.*download it"):
        open_raster(f"{server.url}/{address(root, 'png')}")


def test_ranges_are_merged_across_small_gaps_only() -> None:
    near, far = (110, 10), (120 + GAP + 1, 5)
    assert merged([far, (100, 10), near, near]) == [
        ((100, 20), [(100, 10), near]),
        (far, [far]),
    ]
