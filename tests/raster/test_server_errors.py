"""Servers that give no answer, or a bad one: told in a few words, and in bounded time."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from tests.fixtures_raster import noise_raster
from tests.servers import serving
from uhrqa.errors import RasterError
from uhrqa.raster import open_raster

LATE, LATE_IN_ALL = timedelta(seconds=0.3), timedelta(seconds=0.4)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs in the order that they have, of less than a second."""
    monkeypatch.setattr("uhrqa.raster.stores.TIMEOUT", LATE)
    monkeypatch.setattr("uhrqa.raster.stores.RETRY_TIMEOUT", LATE_IN_ALL)


@pytest.mark.usefixtures("hasty")
def test_a_server_that_never_answers_is_asked_twice_and_for_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path, latency=5) as server:
        begin = time.monotonic()
        with pytest.raises(RasterError, match=r"a\.tif: cannot be read: 127.0.0.1:\d+ timed out"):
            open_raster(f"{server.url}/a.tif")
        assert time.monotonic() - begin < 4  # less than one answer takes
        assert {path for _, path, _ in server.asked} == {"/a.tif"}  # no Zarr is looked for
        assert len(server.asked) == 2


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_stops_in_the_middle_is_given_up(tmp_path: Path, ranges: bool) -> None:
    Image.fromarray(noise_raster(300, 300)).save(tmp_path / "a.png")
    with serving(tmp_path, ranges=ranges, piece=1000, pause=5) as server:
        begin = time.monotonic()
        with pytest.raises(RasterError, match=r"a\.png: cannot be read: .*(timed out|broke off)"):
            open_raster(f"{server.url}/a.png")
        assert time.monotonic() - begin < 4


def test_times_in_all_hold_what_the_pages_promise() -> None:
    from uhrqa.raster.stores import RETRY_TIMEOUT, TIMEOUT

    assert timedelta(seconds=30) == TIMEOUT < RETRY_TIMEOUT  # late once is late twice
    assert (RETRY_TIMEOUT + TIMEOUT).total_seconds() < 62


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("http://127.0.0.1:9/a.tif", "server not reachable: 127.0.0.1:9 (connection refused)"),
        ("http://u:pw@no.invalid/a.tif", "server not reachable: no.invalid (no such host)"),
        ("s3://bucket/a.tif", "server not reachable: 127.0.0.1:9 (connection refused)"),
    ],
)
def test_a_server_that_is_not_there_is_told_in_a_few_words(
    monkeypatch: pytest.MonkeyPatch, place: str, message: str
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RasterError) as caught:
        open_raster(place)
    assert str(caught.value) == f"{place.replace('u:pw@', '')}: {message}"


def test_what_a_server_answers_keeps_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    (tmp_path / "a.tif").write_bytes(bytes(100))
    with serving(tmp_path, failures=50) as server:
        with pytest.raises(RasterError) as caught:
            open_raster(f"{server.url}/a.tif")
        message = "cannot be read: the server answers 503 Service Unavailable"
        assert str(caught.value) == f"{server.url}/a.tif: {message}"
        server.failures, server.cut = 0, 10
        with pytest.raises(RasterError, match="the answer of the server broke off; ask again"):
            open_raster(f"{server.url}/a.tif")
