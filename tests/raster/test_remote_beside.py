"""Files of overviews and masks beside an image on a server: used, at few requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.fixtures_raster import level_raster
from tests.servers import Server, serving
from uhrqa.batch.stamp import stamp_image
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster, requests_made
from uhrqa.raster.remote import RemoteFile

WHOLE, HALF = Size(300, 400), Size(150, 200)
TILED: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "metadata": None}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image with an overview and masks beside it, and one that holds its overview."""
    level_raster(tmp_path / "a.tif", WHOLE, [])
    level_raster(tmp_path / "cog.tif", WHOLE, [(HALF, 20)])
    half = np.full((*HALF, 3), 30, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif.ovr", half, photometric="rgb", subfiletype=1, **TILED)
    return tmp_path


def add_masks(root: Path) -> None:
    for name, size, kind in (("a.tif.msk", WHOLE, 4), ("a.tif.msk.ovr", HALF, 5)):
        mask = np.zeros(size, bool)
        mask[: size.h // 2] = True
        tifffile.imwrite(root / name, mask, photometric="mask", subfiletype=kind, **TILED)


def asked(server: Server) -> list[str]:
    return sorted(place for _, place, _ in server.asked)


def test_overviews_beside_an_image_are_read(root: Path) -> None:
    with serving(root) as server, open_raster(f"{server.url}/a.tif") as raster:
        assert raster.levels == (WHOLE, HALF)
        assert asked(server) == ["/a.tif", "/a.tif.msk", "/a.tif.ovr"]
        assert (raster.read(Box.whole(WHOLE), HALF).array == 30).all()
        assert (raster.bytes_read, requests_made(raster)) == (server.sent, len(server.asked))


def test_masks_beside_an_image_are_read_as_from_a_disk(root: Path) -> None:
    add_masks(root)
    with (
        serving(root) as server,
        open_raster(f"{server.url}/a.tif") as raster,
        open_raster(root / "a.tif") as local,
    ):
        assert asked(server) == ["/a.tif", "/a.tif.msk", "/a.tif.msk.ovr", "/a.tif.ovr"]
        for size in (WHOLE, HALF):
            pixels, expected = (one.read(Box.whole(WHOLE), size) for one in (raster, local))
            assert np.array_equal(pixels.array, expected.array)
            assert np.array_equal(pixels.mask, expected.mask)
            assert pixels.mask.mean() == 0.5


def test_an_image_with_overviews_of_its_own_costs_no_request_more(root: Path) -> None:
    with serving(root) as server, open_raster(f"{server.url}/cog.tif") as raster:
        assert raster.levels == (WHOLE, HALF)
        assert asked(server) == ["/cog.tif"]


def test_a_signature_is_sent_for_files_beside_an_image_too(root: Path) -> None:
    with serving(root) as server, open_raster(f"{server.url}/a.tif?key=1"):
        assert "/a.tif.ovr?key=1" in asked(server)


@pytest.mark.parametrize(
    ("code", "body"),
    [(404, b""), (403, b"denied"), (401, b""), (200, b"<html>"), (206, b"<html>")],
)
def test_what_a_server_will_not_give_is_not_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int, body: bytes
) -> None:
    with serving(root) as server:
        refuse_beside(monkeypatch, server, code, body)
        with open_raster(f"{server.url}/a.tif") as raster:
            assert raster.levels == (WHOLE,)
            assert requests_made(raster) == 3


def test_a_server_that_fails_is_an_error_there_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    with serving(root) as server:
        refuse_beside(monkeypatch, server, 500, b"")
        with pytest.raises(RasterError, match=r"a\.tif\.(ovr|msk): cannot be read"):
            open_raster(f"{server.url}/a.tif")


def test_a_damaged_file_beside_an_image_is_an_error(root: Path) -> None:
    (root / "a.tif.msk").write_bytes(b"II*\0")
    message = r"a\.tif\.msk: .*write it again, or remove it"
    with serving(root) as server, pytest.raises(RasterError, match=message):
        open_raster(f"{server.url}/a.tif")


@pytest.fixture
def left_open(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Files on servers that were opened and not closed."""
    names: set[str] = set()
    opened, closed = RemoteFile.__init__, RemoteFile.close

    def note(self: RemoteFile, url: str, *rest: Any) -> None:
        opened(self, url, *rest)
        names.add(self.path)

    def drop(self: RemoteFile) -> None:
        closed(self)
        names.discard(self.path)

    monkeypatch.setattr(RemoteFile, "__init__", note)
    monkeypatch.setattr(RemoteFile, "close", drop)
    return names


def test_what_is_no_tiff_there_is_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch, left_open: set[str]
) -> None:
    with serving(root) as server:
        refuse_beside(monkeypatch, server, 206, b"<html>")
        with open_raster(f"{server.url}/a.tif"):
            assert left_open == {f"{server.url}/a.tif"}
        assert left_open == set()


def test_where_one_fails_the_others_are_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch, left_open: set[str]
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    with serving(root) as server:
        refuse_beside(monkeypatch, server, 500, b"", given=(".tif", ".ovr"))
        with pytest.raises(RasterError, match=r"a\.tif\.msk: cannot be read"):
            open_raster(f"{server.url}/a.tif")
        assert left_open == set()


def test_another_mask_or_overview_makes_it_another_image(root: Path) -> None:
    with serving(root) as server:
        place = f"{server.url}/a.tif"
        stamps = [stamp_image(place)]
        add_masks(root)
        stamps.append(stamp_image(place))
        for suffix in (".ovr", ".msk", ".msk.ovr"):
            tifffile.imwrite(root / f"a.tif{suffix}", np.zeros(HALF, np.uint8))
            stamps.append(stamp_image(place))
        for suffix in (".ovr", ".msk", ".msk.ovr"):
            (root / f"a.tif{suffix}").unlink()
        stamps.append(stamp_image(place))
        assert None not in stamps
        assert len(set(stamps)) == len(stamps)
        assert stamp_image(place) == stamps[-1]
        tifffile.imwrite(root / "a.tif", np.zeros(HALF, np.uint8))
        assert stamp_image(place) != stamps[-1]


@pytest.mark.parametrize("ranges", [True, False])
def test_of_what_is_no_tiff_nothing_beside_it_is_asked_for(root: Path, ranges: bool) -> None:
    (root / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with serving(root, ranges=ranges) as server:
        assert stamp_image(f"{server.url}/b.png")
        assert set(asked(server)) == {"/b.png"}
        assert len(server.asked) == 1 + (not ranges)
        if ranges:
            assert stamp_image(f"{server.url}/cog.tif")
            assert len(server.asked) == 5


def test_pages_that_stand_for_what_is_not_there_are_no_part_of_an_image(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    with serving(root) as server:
        plain = stamp_image(f"{server.url}/cog.tif")
        refuse_beside(monkeypatch, server, 206, b"<html>")
        assert stamp_image(f"{server.url}/cog.tif") == plain
        refuse_beside(monkeypatch, server, 500, b"")
        assert stamp_image(f"{server.url}/cog.tif") is None


def refuse_beside(
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    code: int,
    body: bytes,
    given: tuple[str, ...] = (".tif",),
) -> None:
    """Let a server answer so whoever asks for anything but files of some endings."""
    from tests import servers

    send = servers._Handler._send

    def answer(self: servers._Handler, path: Path) -> None:
        if path.suffix in given:
            send(self, path)
        else:
            place = {"Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"}
            self._answer(code, body, place if code == 206 else None)

    monkeypatch.setattr(servers._Handler, "_send", answer)
