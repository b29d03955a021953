"""--bands, --stretch, --max-pixels and --on-bad-tile, wherever an image is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

Run = Callable[..., object]


@pytest.fixture
def deep(tmp_path: Path) -> str:
    """Four bands of 16 bits."""
    y, x = np.mgrid[:300, :400]
    bands = np.stack([x * 10, y * 10, x + y, x * 0 + y], axis=-1).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "deep.tif", bands, photometric="rgb", extrasamples=["unspecified"],
        tile=(64, 64), compression="zlib", metadata=None,
    )  # fmt: skip
    return str(tmp_path / "deep.tif")


def damaged(path: Path) -> Path:
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[3], tif.pages[0].databytecounts[3]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\xff" * count
    (path.parent / "bad.tif").write_bytes(data)
    return path.parent / "bad.tif"


def test_an_answer_tells_bands_and_contrast(uhrqa, deep: str):
    words = ("ask", deep, "how many?", "-b", "300", "-s", "downsample", "--json")
    done = uhrqa(*words, "--bands", "4,3,2", "--stretch", "minmax")
    assert done.code == 0, done.err
    look = json.loads(done.out)["image"]["shown"]
    assert look["bands"] == [4, 3, 2]
    assert look["stretch"] == "0,100"
    assert look["limits"] == [[0, 299], [0, 698], [0, 2990]]
    assert "warning" not in done.err


def test_unasked_contrast_is_one_line_on_stderr(uhrqa, deep: str):
    done = uhrqa("info", deep)
    assert done.code == 0
    assert done.err.count("deep.tif: uint16 samples, shown from the 2nd to the 98th") == 1
    assert "bands 1,2,3 of 4, uint16 rgb, stretch 2,98: " in done.out


def test_plain_images_are_told_without_a_word_more(uhrqa, image: str):
    done = uhrqa("info", image)
    assert "stretch" not in done.out + done.err


def test_tiles_that_cannot_be_decoded_are_counted(uhrqa, deep: str):
    bad = damaged(Path(deep))
    words = ("ask", bad, "how many?", "-b", "300", "-s", "downsample", "--stretch", "2,98")
    refused = uhrqa(*words)
    assert refused.code == 3
    assert "tile row 0, column 3" in refused.err
    assert "--on-bad-tile mask" in refused.err
    done = uhrqa(*words, "--on-bad-tile", "mask", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["image"]["shown"]["masked_tiles"] == 1
    assert answer["notes"][-1] == "masked in the image, as they cannot be decoded: 1 tile"


def test_batch_records_what_was_shown_and_asks_again_for_other_bands(uhrqa, deep: str):
    Path("q.jsonl").write_text('{"image": "deep.tif", "question": "how many?"}\n')
    words = ("batch", "q.jsonl", "-o", "out.jsonl", "-b", "300", "-s", "thumbnail")
    assert uhrqa(*words, "--bands", "4", "--stretch", "minmax").code == 0
    records = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert records[-1]["shown"]["bands"] == [4]
    other = uhrqa(*words, "--bands", "1", "--stretch", "minmax")
    assert other.code != 0
    assert "--restart" in other.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bands", "9,2,1"), "it has 4 bands"),
        (("--bands", "1,2"), "one for grey or three"),
        (("--stretch", "98,2"), "percentiles rise"),
        (("--on-bad-tile", "skip"), "error or mask"),
        (("--max-pixels", "1000"), "more than the limit of 1000 pixels"),
    ],
)
@pytest.mark.parametrize("command", ["info", "profile"])
def test_wrong_words_are_told_in_one_line(uhrqa, deep: str, command: str, words: tuple, told: str):
    question = ("how many?",) if command == "profile" else ()
    done = uhrqa(command, deep, *question, "--quiet", *words)
    assert done.code in (2, 3)
    assert told in done.err
    assert "Traceback" not in done.err
