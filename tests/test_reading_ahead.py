"""Tiles read ahead of the encoder: the same tokens, counts and errors, and no thread left."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch.overrides import TorchFunctionMode

from tests.clip import make_clip
from tests.fixtures_raster import noise_raster
from tests.servers import serving
from uhrqa.ahead import made_ahead
from uhrqa.budget import Budget
from uhrqa.errors import RasterError, SmallerBatchWarning
from uhrqa.plan import plan
from uhrqa.raster import Pixels, open_raster
from uhrqa.scene import Scene
from uhrqa.strategies import make_strategy
from uhrqa.tile_batches import reads_ahead
from uhrqa.vlm.batching import TILE_BATCH, Batching
from uhrqa.vlm.paired import load_paired

SHAPE = (900, 700)  # 221 tiles of 56 px: seven batches


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Every test here ends with the threads it began with."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if not thread.daemon]  # as those of a test's server are


def write(place: Path, *, alpha: bool) -> Path:
    """A tiled image, perhaps with a corner without image."""
    pixels, options = noise_raster(*SHAPE), dict[str, Any]()
    if alpha:
        pixels = np.dstack([pixels, np.full(SHAPE, 255, np.uint8)])
        pixels[:400, :300, 3] = 0
        options = {"extrasamples": ["unassalpha"]}
    tifffile.imwrite(place, pixels, photometric="rgb", tile=(128, 128), compression="zlib",
                     metadata=None, **options)  # fmt: skip
    return place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """With a corner without image."""
    return write(tmp_path / "a.tif", alpha=True)


def reading(raster: Any, before: Callable[[], None]) -> list[str]:
    """Have a raster do something before each read; the names of threads that read."""
    read, names = raster.read, list[str]()

    def noted(*args: Any) -> Pixels:
        names.append(threading.current_thread().name)
        before()
        found: Pixels = read(*args)
        return found

    raster.read = noted
    return names


def in_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def is_ahead() -> bool:
    """Whether this is the thread that reads ahead."""
    return threading.current_thread().name.startswith("uhrqa-ahead")


def until(made: list[int], count: int) -> None:
    """Wait for what another thread makes, and fail where it does not come."""
    end = time.monotonic() + 30
    while len(made) < count:
        assert time.monotonic() < end, f"{len(made)} of {count} were made in 30 s"
        time.sleep(0.001)


def test_results_come_in_order_and_few_are_made_ahead() -> None:
    made, taken = list[int](), 0

    def make(item: int, stopped: threading.Event) -> int:
        assert len(made) - taken <= 3  # the one in use, and two ahead
        made.append(item)
        return item * item

    with closing(made_ahead(make, range(30), 2)) as results:
        for index, result in enumerate(results):
            assert result == index * index
            until(made, min(30, index + 3))  # they come without being asked for
            taken = index + 1
    assert made == list(range(30))


def test_without_depth_there_is_no_thread() -> None:
    made = made_ahead(lambda item, _: (item, in_main()), "abc", 0)
    assert list(made) == [("a", True), ("b", True), ("c", True)]


def test_an_error_comes_in_the_place_of_its_result() -> None:
    def make(item: int, stopped: threading.Event) -> int:
        if item == 2:
            raise RasterError("damaged")
        return item

    results = made_ahead(make, range(9), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(RasterError, match="damaged"):
        next(results)


VIEWS = {"scales": (112, 672), "shares": (1, 1), "iterations": 2}


@pytest.mark.parametrize(
    ("name", "options", "alpha"),
    [
        ("rfm-dip", {"zoom_ratio": 0.5}, True),
        # of an image with a mask these read a view as a whole before they encode it
        ("downsample", {}, False),
        ("region-merge", VIEWS, False),
    ],
)
def test_tokens_and_counts_are_the_same(tmp_path, vlm, name, options, alpha) -> None:
    path, found = write(tmp_path / "a.tif", alpha=alpha), []
    for depth in (0, 2):
        with open_raster(path) as raster:
            names = reading(raster, lambda: None)
            scene = Scene(raster, vlm, "how many?", ahead=depth)
            kept = make_strategy(name, options).select(scene, Budget(2000)).tokens
            assert any(name.startswith("uhrqa-ahead") for name in names) == (depth > 0)
            assert all(name.startswith(("uhrqa-", "MainThread")) for name in names)
        told = scene.ledger
        counts = (told.encoded, told.blank, told.seen, told.bytes_read, told.passes)
        found.append((kept.embed, kept.box, kept.level, counts))
    (*plain, counted), (*ahead, counted_ahead) = found
    assert all(map(torch.equal, plain, ahead))
    assert counted == counted_ahead
    assert (counted[1].total() > 0) == alpha  # tiles without image were left out


def test_a_damaged_tile_is_the_same_error(path: Path, vlm) -> None:
    with tifffile.TiffFile(path) as tif:
        last = tif.pages.first.dataoffsets[-1]
    with path.open("r+b") as file:
        file.seek(last)
        file.write(b"\xff" * 40)
    errors = []
    for depth in (0, 2):
        with open_raster(path) as raster:
            scene = Scene(raster, vlm, "how many?", ahead=depth)
            with pytest.raises(RasterError) as caught:
                scene.tokens(scene.pyramid[-1])
        errors.append((type(caught.value), str(caught.value), scene.ledger.encoded))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("error", [ValueError("shapes"), KeyboardInterrupt()])
def test_reading_ends_where_the_encoder_does(path: Path, vlm, monkeypatch, error) -> None:
    begun, behind = threading.Event(), list[int]()

    def slow() -> None:
        if is_ahead():
            begun.set()
        if begun.is_set():
            behind.append(1)
            time.sleep(0.05)

    def failing(pixels: Any) -> None:
        assert begun.wait(30)
        raise error

    monkeypatch.setattr(vlm, "features", failing)
    with open_raster(path) as raster:
        reading(raster, slow)
        scene = Scene(raster, vlm, "how many?", ahead=2)
        with pytest.raises(type(error)) as caught:
            scene.tokens(scene.pyramid[-1], masked=True)
        left = threading.enumerate()  # while the error, and with it every frame, is alive
    assert caught.value is error
    assert not [thread for thread in left if thread.name.startswith("uhrqa-ahead")]
    assert len(behind) < TILE_BATCH // 2  # not even the batch that was being read was finished


def test_ctrl_c_ends_the_wait_for_tiles(path: Path, vlm) -> None:
    reads = count()

    def interrupting() -> None:
        if next(reads) == TILE_BATCH + 3:
            os.kill(os.getpid(), signal.SIGINT)

    with open_raster(path) as raster:
        reading(raster, interrupting)
        scene = Scene(raster, vlm, "how many?", ahead=2)
        with pytest.raises(KeyboardInterrupt):
            scene.tokens(scene.pyramid[-1], masked=True)
    assert next(reads) < 221


def test_smaller_batches_of_the_tower_keep_the_same_tokens(path, vlm, monkeypatch) -> None:
    def kept(ahead: int) -> tuple[torch.Tensor, Any]:
        with open_raster(path) as raster:
            scene = Scene(raster, vlm, "how many?", ahead=ahead)
            tokens = make_strategy("rfm-dip", {"zoom_ratio": 0.5}).select(scene, Budget(300)).tokens
        return tokens.box, scene.ledger.encoded

    plain, real = kept(0), vlm.features

    def cramped(pixels: Any) -> Any:
        if len(pixels) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pixels)

    monkeypatch.setattr(vlm, "features", cramped)
    monkeypatch.setattr(vlm, "batching", Batching())
    with pytest.warns(SmallerBatchWarning):
        small = kept(2)
    assert vlm.batching.size <= 5
    assert torch.equal(small[0], plain[0])
    assert small[1] == plain[1]


def test_the_stage_of_reading_is_the_time_that_is_waited(tmp_path, vlm, monkeypatch) -> None:
    """A clock that goes on with each tile read: those read while others are encoded cost none."""
    clock, encoding = list[int](), threading.Event()

    def tick() -> None:
        if is_ahead():
            encoding.wait(30)
        clock.append(1)

    real = vlm.features

    def patient(pixels: Any) -> Any:
        encoding.set()
        until(clock, 3 * TILE_BATCH)
        return real(pixels)

    monkeypatch.setattr(time, "perf_counter", lambda: float(len(clock)))
    monkeypatch.setattr(vlm, "features", patient)
    with open_raster(noise_raster(56 * 8, 56 * 12)) as raster:
        reading(raster, tick)
        scene = Scene(raster, vlm, "how many?", ahead=2)
        scene.tokens(scene.pyramid[-1])
    assert len(clock) == 3 * TILE_BATCH
    assert scene.ledger.seconds == {"read": TILE_BATCH, "encode": 2 * TILE_BATCH}


class Moves(TorchFunctionMode):
    """What is moved to a device: dtype, and whether it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.dtype, bool]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.to and isinstance(args[-1], torch.device):
            self.seen.append((args[0].dtype, kwargs.get("non_blocking", False)))
        return func(*args, **kwargs)


def test_pixels_go_to_the_device_as_bytes(vlm, tmp_path: Path) -> None:
    towers = load_paired(make_clip(tmp_path / "clip"), torch.device("cpu"), torch.float32)
    pixels = torch.zeros(2, 3, 56, 56, dtype=torch.uint8)
    for encode in (vlm.encode_tiles, towers.encode):
        with Moves() as moves:
            encode(pixels)
        assert moves.seen[0] == (torch.uint8, True)


def test_of_a_server_tiles_are_read_ahead_on_a_cpu_too(tmp_path: Path, vlm) -> None:
    write(tmp_path / "a.tif", alpha=False)
    held, kept = [], []
    with serving(tmp_path) as server:
        for place in (str(tmp_path / "a.tif"), f"{server.url}/a.tif"):
            with open_raster(place) as raster:
                held.append(plan(raster, vlm.card, "full", 8000).work.reads.held)
                names = reading(raster, lambda: None)
                scene = Scene(raster, vlm, "how many?")
                kept.append(scene.tokens(scene.pyramid[-1]).embed)
            is_ahead = any(name.startswith("uhrqa-ahead") for name in names)
            assert is_ahead == place.startswith("http")
    assert torch.equal(*kept)
    assert held[1] == held[0] + 2 * TILE_BATCH * 56 * 56 * 4  # colour and mask


def test_a_device_of_any_kind_is_read_ahead_for() -> None:
    with open_raster(noise_raster(60, 60)) as raster:
        assert [reads_ahead(raster, kind) for kind in ("cpu", "cuda", "mps")] == [0, 2, 2]
