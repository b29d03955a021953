"""What cannot be read is refused with one clear line, never with another exception."""

from __future__ import annotations

import gzip
import io
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
import zarr.codecs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.fixtures_raster import coordinate_raster, level_raster, noise_raster
from tests.raster.hostile_files import CORPUS
from uhrqa.errors import RasterError, WholeImageWarning
from uhrqa.geometry import Box, Size
from uhrqa.raster import image, image_pixels, open_raster, shown
from uhrqa.reading import Reading


def read_all(source: Any) -> None:
    with open_raster(source) as raster:
        raster.read(Box.whole(raster.size), Size(64, 64))
        raster.read(Box.whole(raster.size), raster.size)


def refusal(source: Any) -> str:
    """The one line with which a source is refused, at opening or at reading all of it."""
    with pytest.raises(RasterError) as caught:
        read_all(source)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    return line


def save_tiff(path: Path, array: np.ndarray, **options: Any) -> Path:
    options = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib", **options}
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


# ------------------------------------------------------------------ not an image at all


def test_a_missing_file_is_named(tmp_path: Path):
    assert refusal(tmp_path / "absent.tif") == f"{tmp_path}/absent.tif: no such file"


def test_an_empty_file(tmp_path: Path):
    (tmp_path / "empty.tif").touch()
    assert "the file is empty" in refusal(tmp_path / "empty.tif")


def test_text_with_the_name_of_an_image(tmp_path: Path):
    (tmp_path / "notes.tif").write_text("hello world")
    assert "not a TIFF, Zarr, PNG or JPEG image (it starts with b'hello wo')" in refusal(
        tmp_path / "notes.tif"
    )


def test_a_directory_that_is_no_zarr(tmp_path: Path):
    assert "without Zarr metadata" in refusal(tmp_path)


def test_a_pipe_does_not_wait(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.tif")
    assert "not a regular file" in refusal(tmp_path / "pipe.tif")


def test_a_device():
    assert "not a regular file" in refusal("/dev/zero")


@pytest.mark.parametrize("path", ["a\0b.tif", "x" * 400])
def test_a_path_no_system_accepts(path: str):
    assert "cannot be opened" in refusal(path)


@pytest.mark.parametrize("source", [None, 3, [[1, 2]], b"a.tif"])
def test_what_is_neither_path_nor_array(source: object):
    assert "give a path or a uint8 array" in refusal(source)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_arrays_of_another_kind(array: np.ndarray):
    assert "give [h, w] or [h, w, 3] uint8" in refusal(array)


def test_an_array_without_pixels():
    assert "0 x 5 px" in refusal(np.zeros((5, 0, 3), np.uint8))


def test_the_format_is_found_by_content_not_by_name(tmp_path: Path):
    array = coordinate_raster(40, 50)
    Image.fromarray(array).save(tmp_path / "really_png.tif", format="PNG")
    with open_raster(str(tmp_path / "really_png.tif")) as raster:
        assert np.array_equal(raster.read(Box(0, 0, 50, 40), Size(40, 50)).array, array)


# ------------------------------------------------------------------ TIFF


@pytest.mark.parametrize("kept", [4, 8, 9, 16])
def test_a_tiff_cut_in_its_header(tmp_path: Path, kept: int):
    path = save_tiff(tmp_path / "cut.tif", noise_raster(200, 200))
    path.write_bytes(path.read_bytes()[:kept])
    assert "cut.tif: " in refusal(path)


def test_a_tiff_cut_in_its_pixels_is_found_when_it_is_opened(tmp_path: Path):
    path = save_tiff(tmp_path / "cut.tif", noise_raster(200, 200))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(RasterError, match=r"\d of 16 tiles of level 0 .* beyond the end"):
        open_raster(path)


def test_a_cut_overview_is_found_when_the_file_is_opened(tmp_path: Path):
    path = tmp_path / "cut.tif"
    level_raster(path, Size(300, 300), [(Size(150, 150), 20)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RasterError, match=r"level 1 \(150 x 150 px\) lie beyond the end"):
        open_raster(path)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_a_damaged_tile_is_named(tmp_path: Path, compression: str):
    path = save_tiff(tmp_path / "bad.tif", noise_raster(200, 200), compression=compression)
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[6], tif.pages[0].databytecounts[6]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\xff" * count
    path.write_bytes(data)
    with open_raster(path) as raster:
        raster.read(Box(0, 0, 64, 64), Size(64, 64))  # other tiles are still served
    assert f"level 0 (200 x 200 px), tile row 1, column 2, at byte {offset}" in refusal(path)


def test_a_file_cut_after_it_was_opened(tmp_path: Path):
    path = save_tiff(tmp_path / "cut.tif", noise_raster(200, 200))
    with open_raster(path) as raster:
        os.truncate(path, 1000)
        with pytest.raises(RasterError, match="cut short after it was opened"):
            raster.read(Box.whole(raster.size), raster.size)


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros((80, 80, 3), np.uint64), {}, "uint64 samples; .*-ot Float32"),
        (np.zeros((80, 80, 3), np.complex64), {}, "complex64 samples; 8 to 32-bit integers"),
        (
            np.zeros((80, 80, 3), np.uint8),
            {"photometric": "cielab"},
            r"L\*a\*b.*: convert \S+ -colo.* rgb\.tif$",
        ),
    ],
)
def test_kinds_that_are_not_covered(tmp_path: Path, array: np.ndarray, options: dict, words: str):
    path = save_tiff(tmp_path / "kind.tif", array, **{"compression": None, **options})
    with pytest.raises(RasterError, match=words):
        open_raster(path)


def header_only(path: Path, w: int, h: int, tile: int, entries: int = 1) -> Path:
    """A TIFF whose header promises a huge image and whose tiles hold nothing."""
    tags = [
        (256, 4, 1, w),
        (257, 4, 1, h),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 4, 1, tile),
        (323, 4, 1, tile),
        (324, 4, entries, 8 if entries == 1 else 512),
        (325, 4, entries, 10 if entries == 1 else 512),
    ]
    data = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags))
    data += b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", 0)
    path.write_bytes(data.ljust(512, b"\0") + b"\0" * 4 * (entries if entries > 1 else 0))
    return path


@pytest.mark.parametrize(
    ("w", "h", "tile", "words"),
    [
        (0, 100, 64, "without any pixel"),
        (100, 0, 64, "without any pixel"),
        (100, 100, 0, "damaged|cannot be read"),
        (1_000_000, 1_000_000, 512, "more than the limit"),
        (2**32 - 1, 2**32 - 1, 512, "more than the limit"),
        (100_000, 100_000, 512, "needs 38416 tiles, the header lists 1"),
        (100_000, 100_000, 32768, "each tile is 32768 x 32768 px"),
    ],
)
def test_headers_that_promise_the_absurd(tmp_path: Path, w: int, h: int, tile: int, words: str):
    path = header_only(tmp_path / "absurd.tif", w, h, tile)
    with pytest.raises(RasterError, match=words):
        open_raster(path)


def test_a_loop_of_images_ends(tmp_path: Path):
    path = tmp_path / "loop.tif"
    level_raster(path, Size(100, 100), [])
    data = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    path.write_bytes(data)
    with open_raster(path) as raster:
        assert raster.levels == (Size(100, 100),)


@pytest.mark.parametrize("how", ["counts", "zeros"])
def test_a_jpeg_tile_without_an_end_is_no_grey(tmp_path: Path, how: str):
    path = tmp_path / "a.tif"
    array = np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8)
    tifffile.imwrite(path, array, tile=(64, 64), compression="jpeg", photometric="rgb")
    with tifffile.TiffFile(path, mode="r+") as tif:
        page = tif.pages.first
        if how == "counts":
            page.tags["TileByteCounts"].overwrite(
                [page.databytecounts[0] // 2, page.databytecounts[1]]
            )
        else:
            at, count = page.dataoffsets[0], page.databytecounts[0]
            tif.filehandle.seek(at + count // 2)
            tif.filehandle.write(bytes(count - count // 2))
    with open_raster(path) as raster, pytest.raises(RasterError, match="it has no end"):
        raster.read(Box.whole(raster.size), raster.size)
    with open_raster(path, Reading(on_bad_tile="mask")) as raster:
        pixels = raster.read(Box.whole(raster.size), raster.size)
        assert shown(raster)["masked_tiles"] == 1
    assert pixels.mask is not None
    assert pixels.mask[:, 64:].all()
    assert not pixels.mask[:, :64].any()


def test_a_jpeg_tile_that_announces_more_than_a_tile(tmp_path: Path):
    stream = io.BytesIO()
    Image.new("L", (3000, 3000)).save(stream, "JPEG")
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(
        path,
        iter([stream.getvalue()]),
        shape=(64, 64),
        dtype="uint8",
        photometric="minisblack",
        tile=(64, 64),
        compression="jpeg",
        metadata=None,
    )
    assert "it announces 3000 x 3000 px" in refusal(path)


def test_a_jpeg_2000_tile_that_announces_more_than_a_tile(tmp_path: Path):
    stream = imagecodecs.jpeg2k_encode(np.zeros((2000, 3000), np.uint8), level=1)
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(
        path,
        iter([bytes(stream)]),
        shape=(64, 64),
        dtype="uint8",
        photometric="minisblack",
        tile=(64, 64),
        compression="jpeg2000",
        metadata=None,
    )
    assert "it announces 3000 x 2000 px" in refusal(path)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_to_a_header_raises_anything_else(tmp_path: Path, data: st.DataObject):
    path = tmp_path / "fuzz.tif"
    level_raster(path, Size(130, 100), [(Size(65, 50), 20)])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(600, len(content) - 1)))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open_raster(path) as raster:
                raster.read(Box(0, 0, 50, 50), Size(50, 50))
                raster.read(Box(0, 0, 50, 50), Size(20, 20))
        except RasterError:
            pass


# ------------------------------------------------------------------ PNG and JPEG


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_damaged_image_stays_one_however_often_it_is_read(tmp_path: Path, suffix: str):
    path = tmp_path / f"bad.{suffix}"
    if suffix == "png":
        CORPUS["noise-for-pixels.png"](path)
    else:
        Image.fromarray(noise_raster(100, 100)).save(path)
        path.write_bytes(path.read_bytes()[:-3000])
    with open_raster(path) as raster:
        for _ in range(3):
            with pytest.raises(RasterError, match="truncated or damaged"):
                raster.read(Box.whole(raster.size), raster.size)


def test_opening_an_image_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(noise_raster(100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda _: pytest.fail("decoded"))
    open_raster(tmp_path / "a.png").close()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("share", [0.002, 0.5, 0.9])
def test_a_truncated_png_or_jpeg(tmp_path: Path, suffix: str, share: float):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise_raster(100, 100)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: max(12, int(len(data) * share))])
    assert "cut." in refusal(path)


def test_a_png_whose_header_promises_the_absurd(tmp_path: Path):
    path = tmp_path / "absurd.png"
    Image.new("L", (50, 40)).save(path)
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, 16, 200_000, 200_000)
    path.write_bytes(data)
    assert "absurd.png" in refusal(path)


@pytest.mark.parametrize("suffix", [".ovr", ".msk"])
def test_a_file_beside_whose_first_image_is_nowhere(tmp_path: Path, suffix: str):
    tifffile.imwrite(tmp_path / "a.tif", coordinate_raster(64, 64), tile=(16, 16))
    (tmp_path / f"a.tif{suffix}").write_bytes(struct.pack("<2sHI", b"II", 42, 10**6) + bytes(50))
    assert f"a.tif{suffix}" in refusal(tmp_path / "a.tif")


def test_pixels_beyond_the_guard_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (50, 40)).save(tmp_path / "large.png")
    assert "no random access" in refusal(tmp_path / "large.png")
    assert "gdal_translate -of COG" in refusal(tmp_path / "large.png")


def test_an_image_that_is_decoded_whole_gives_a_warning_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(image, "WARN_PIXELS", 1000)
    Image.fromarray(coordinate_raster(50, 40)).save(tmp_path / "large.png")
    with pytest.warns(WholeImageWarning, match="uhrqa prepare .*large.png fast.tif"):
        raster = open_raster(tmp_path / "large.png")
    with raster:
        pixels = raster.read(Box.whole(raster.size), raster.size)
        assert raster.bytes_read == (tmp_path / "large.png").stat().st_size
    assert np.array_equal(pixels.array, coordinate_raster(50, 40))


def test_images_above_pillows_global_limit_are_read_and_the_limit_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    array = coordinate_raster(90, 110)
    Image.fromarray(array).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")
    monkeypatch.setattr(image, "WARN_PIXELS", 1000)
    monkeypatch.setattr(image_pixels, "CUT_PIXELS", 1000)  # bands of this size are taken out
    with pytest.warns(WholeImageWarning):
        raster = open_raster(tmp_path / "a.png")
    with raster:
        pixels = raster.read(Box.whole(raster.size), raster.size)
    assert np.array_equal(pixels.array, array)
    assert Image.MAX_IMAGE_PIXELS == 1000


# ------------------------------------------------------------------ Zarr


def save_zarr(path: Path, shape: tuple, dtype: str = "uint8") -> Path:
    array = zarr.create_array(
        store=str(path), shape=shape, chunks=tuple(min(side, 32) for side in shape), dtype=dtype
    )
    array[...] = 1
    return path


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((40, 40, 3), "uint64", "is uint64; 8 to 32-bit"),
        ((40, 40, 40), "uint8", r"has shape \(40, 40, 40\)"),
        ((2, 3, 40, 40), "uint8", "has shape"),
        ((40,), "uint8", "has shape"),
    ],
)
def test_zarr_arrays_that_are_no_image(tmp_path: Path, shape: tuple, dtype: str, words: str):
    with pytest.raises(RasterError, match=words):
        open_raster(save_zarr(tmp_path / "a.zarr", shape, dtype))


def test_zarr_without_pixels(tmp_path: Path):
    zarr.create_array(store=str(tmp_path / "a.zarr"), shape=(0, 5), chunks=(1, 5), dtype="uint8")
    assert "without any pixel" in refusal(tmp_path / "a.zarr")


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"zarr_format": 3}'])
def test_damaged_zarr_metadata(tmp_path: Path, text: str):
    path = save_zarr(tmp_path / "a.zarr", (40, 40, 3))
    (path / "zarr.json").write_text(text)
    assert "Zarr metadata cannot be read" in refusal(path)


def test_a_damaged_zarr_chunk_is_named(tmp_path: Path):
    path = save_zarr(tmp_path / "a.zarr", (40, 40, 3))
    (path / "c" / "1" / "0" / "0").write_bytes(b"broken")
    assert "a chunk cannot be decoded" in refusal(path)


def test_zarr_chunks_too_large_to_decode(tmp_path: Path):
    path = tmp_path / "a.zarr"
    zarr.create_array(
        store=str(path), shape=(100_000, 100_000), chunks=(100_000, 100_000), dtype="uint8"
    )
    assert "each chunk is 100000 x 100000 px" in refusal(path)


def endless_zstd(blocks: int) -> bytes:
    """A zstd frame that announces no size: blocks that repeat one byte 2**17 times."""
    block = (2**17 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (1 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * blocks + last


ZEROS = bytes(10**7)
BOMBS = {
    "zstd": (zarr.codecs.ZstdCodec(), numcodecs.Zstd().encode(ZEROS)),
    "zstd without a size": (zarr.codecs.ZstdCodec(), endless_zstd(100)),
    "zstd behind a harmless frame": (
        zarr.codecs.ZstdCodec(),
        numcodecs.Zstd().encode(bytes(3072)) + numcodecs.Zstd().encode(ZEROS),
    ),
    "blosc": (zarr.codecs.BloscCodec(), bytes(numcodecs.Blosc().encode(ZEROS))),
    "gzip": (zarr.codecs.GzipCodec(), gzip.compress(ZEROS)),
    "gzip behind a harmless member": (
        zarr.codecs.GzipCodec(),
        gzip.compress(ZEROS) + gzip.compress(bytes(3072)),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_zarr_chunk_that_unpacks_to_far_more_than_its_pixels(tmp_path: Path, name: str):
    codec, bomb = BOMBS[name]
    array = zarr.create_array(
        store=str(tmp_path / "a.zarr"),
        shape=(40, 40, 3),
        chunks=(32, 32, 3),
        dtype="uint8",
        compressors=[codec, zarr.codecs.Crc32cCodec()] if name == "zstd" else [codec],
    )
    array[...] = noise_raster(40, 40)
    read_all(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "c" / "1" / "0" / "0").write_bytes(bomb)
    assert "a chunk of 3072 bytes that unpacks to more than 8 times" in refusal(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "codec",
    [
        numcodecs.Zstd(),
        numcodecs.Blosc(),
        numcodecs.GZip(),
        numcodecs.Zlib(),
        numcodecs.LZ4(),
        numcodecs.BZ2(),
        numcodecs.LZMA(),
    ],
)
def test_a_chunk_of_zarr_version_2_that_unpacks_to_far_more(tmp_path: Path, codec: Any):
    path = tmp_path / "a.zarr"
    options: Any = {"shape": (40, 40, 3), "chunks": (32, 32, 3), "dtype": "uint8"}
    array = zarr.create_array(store=str(path), zarr_format=2, compressors=codec, **options)
    array[...] = noise_raster(40, 40)
    read_all(path)
    (path / "1.0.0").write_bytes(bytes(codec.encode(ZEROS)))
    assert "a chunk of 3072 bytes that unpacks" in refusal(path)


@pytest.mark.parametrize("place", ["start", "end"])
def test_a_chunk_inside_a_shard_that_unpacks_to_far_more(tmp_path: Path, place: str):
    path = tmp_path / "a.zarr"
    shards: Any = {"shape": (64, 64, 3), "index_location": place}
    array = zarr.create_array(
        store=str(path),
        shape=(100, 70, 3),
        shards=shards,
        chunks=(32, 32, 3),
        dtype="uint8",
        compressors=zarr.codecs.ZstdCodec(),
    )
    array[...] = noise_raster(100, 70)
    read_all(path)
    shard = path / "c" / "1" / "1" / "0"  # one chunk alone is inside the image
    data = bytearray(shard.read_bytes())
    start = data.index(b"\x28\xb5\x2f\xfd")
    bomb = numcodecs.Zstd().encode(ZEROS)
    data[start : start + len(bomb)] = bomb
    shard.write_bytes(data)
    assert "a chunk of 3072 bytes that unpacks" in refusal(path)


def test_a_zarr_group_without_arrays(tmp_path: Path):
    zarr.open_group(str(tmp_path / "g.zarr"), mode="w").create_group("scene")
    assert "without an array (it holds: scene)" in refusal(tmp_path / "g.zarr")


def test_a_zarr_group_whose_metadata_names_nothing(tmp_path: Path):
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    group.attrs["multiscales"] = [{"datasets": [{"path": "../../etc"}, {"path": "0"}]}]
    assert "metadata cannot be read" in refusal(tmp_path / "g.zarr")
