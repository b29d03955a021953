"""Files of overviews and masks beside an image on a server: used, at few requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.fixtures_raster import level_raster
from tests.servers import Server, serving
from uhrqa.errors import RasterError
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster, requests_made

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
    [(404, b""), (403, b"denied"), (401, b""), (200, b"<html>Nothing is here</html>")],
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


def refuse_beside(monkeypatch: pytest.MonkeyPatch, server: Server, code: int, body: bytes) -> None:
    """Let a server answer so whoever asks for anything but images."""
    from tests import servers

    send = servers._Handler._send

    def answer(self: servers._Handler, path: Path) -> None:
        if path.suffix == ".tif":
            send(self, path)
        else:
            self._answer(code, body)

    monkeypatch.setattr(servers._Handler, "_send", answer)
