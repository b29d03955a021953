"""What reads will take from storage is told beforehand, to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures_raster import level_raster, noise_raster
from uhrqa.geometry import Box, Size
from uhrqa.raster import Raster, levels, open_raster, serving
from uhrqa.raster.clip import clip
from uhrqa.raster.foreseen import bytes_to_read, decoded_pixels, held_bytes

READS = [
    (Box(10, 20, 210, 150), Size(130, 200)),
    (Box(100, 100, 300, 300), Size(100, 100)),
    (Box(450, 300, 600, 400), Size(100, 150)),  # beyond the edges
    (Box(600, 0, 700, 50), Size(10, 10)),  # outside
]


def taken(raster: Raster, reads: list[tuple[Box, Size]]) -> int:
    before = raster.bytes_read
    for box, out in reads:
        raster.read(box, out)
    return raster.bytes_read - before


def test_every_format_tells_what_it_then_reads(raster: Raster) -> None:
    told = bytes_to_read(raster, READS)
    assert told == taken(raster, READS)
    assert bytes_to_read(raster, READS[3:]) == 0


def test_each_block_counts_once_and_of_the_level_that_serves(tmp_path: Path) -> None:
    path = tmp_path / "levels.tif"
    level_raster(path, Size(512, 512), [(Size(256, 256), 20), (Size(128, 128), 30)])
    with open_raster(path) as raster:
        coarse = [(Box.whole(raster.size), Size(128, 128))]
        fine = [(Box(0, 0, 64, 64), Size(64, 64))]
        twice = bytes_to_read(raster, [*coarse, *coarse])
        assert twice == bytes_to_read(raster, coarse)
        both = bytes_to_read(raster, [*coarse, *fine])
        assert both == taken(raster, [*coarse, *fine])
        assert both is not None
        assert both < path.stat().st_size / 4


def test_levels_made_in_memory_need_all_of_the_coarsest_and_are_not_made(
    stored: dict, monkeypatch
) -> None:
    monkeypatch.setattr(levels, "WINDOW_PIXELS", 40_000)
    monkeypatch.setattr(serving, "WHOLE_PIXELS", 40_000)
    reads = [(Box.whole(Size(331, 517)), Size(40, 60))]
    with open_raster(stored["tiff-tiles-deflate"]) as r:
        before = r.bytes_read
        told = bytes_to_read(r, reads)
        assert r.bytes_read == before
        with pytest.warns(UserWarning, match="no overview"):
            assert told == taken(r, reads)
        assert told


def test_a_region_counts_what_lies_under_it(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "noise.tif"
    tifffile.imwrite(path, noise_raster(512, 512), tile=(64, 64), photometric="rgb")
    with open_raster(path) as raster:
        window = clip(raster, "64,64,192,128")
        told = bytes_to_read(window, [(Box(0, 0, 128, 64), Size(64, 128))])
        assert told == 2 * 64 * 64 * 3
        assert told == taken(window, [(Box(0, 0, 128, 64), Size(64, 128))])


def test_a_raster_that_does_not_tell_is_not_guessed() -> None:
    class Plain:
        size = Size(8, 8)

    assert bytes_to_read(Plain(), READS) is None  # type: ignore[arg-type]
    assert bytes_to_read(open_raster(np.zeros((8, 8, 3), np.uint8)), READS) == 0


def test_a_region_of_an_image_that_is_decoded_whole_holds_all_of_it(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(noise_raster(256, 512)).save(tmp_path / "a.png")
    with open_raster(tmp_path / "a.png") as raster:
        assert held_bytes(clip(raster, "0,0,64,64")) >= 256 * 512 * 3


def test_decoded_pixels_are_those_of_blocks_each_once(tmp_path: Path) -> None:
    path = tmp_path / "levels.tif"
    level_raster(path, Size(512, 512), [(Size(256, 256), 20), (Size(128, 128), 30)])
    with open_raster(path) as raster:
        whole = [(Box(0, 0, 512, 512), Size(512, 512))]
        assert decoded_pixels(raster, whole) == (512 * 512, 0, 512 * 512)
        assert decoded_pixels(raster, whole * 2) == (512 * 512, 0, 512 * 512)
        coarse = [(Box(0, 0, 512, 512), Size(100, 100))]
        both = 512 * 512 + 256 * 256
        assert decoded_pixels(raster, whole + coarse) == (both, 0, both)
        some = decoded_pixels(raster, [(Box(0, 0, 100, 100), Size(100, 100))])
        assert some is not None
        assert 100 * 100 <= some[0] < 512 * 512


def test_a_level_that_is_halved_in_memory_counts_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(levels, "WINDOW_PIXELS", 2**14)
    monkeypatch.setattr(serving, "WHOLE_PIXELS", 2**14)
    path = tmp_path / "flat.tif"
    level_raster(path, Size(512, 512), [])
    coarse = (Box(0, 0, 512, 512), Size(100, 100))
    with open_raster(path) as raster:
        every = 512 * 512
        assert decoded_pixels(raster, [coarse, coarse]) == (every, every, every // 12)
        fine = coarse[0], Size(300, 300)
        assert decoded_pixels(raster, [fine]) == (every, 0, every)
        few = Box(0, 0, 100, 100), Size(100, 100)
        found = decoded_pixels(raster, [coarse, few])
        assert found is not None  # blocks of the pass are not kept, those of other reads are
        assert every // 12 + 100 * 100 <= found.kept < every
