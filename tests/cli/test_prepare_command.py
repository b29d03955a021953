"""`uhrqa prepare`: a line about what was written, or one about what is wrong."""

from __future__ import annotations

import json
from pathlib import Path


def test_an_image_is_converted_and_info_sees_its_levels(uhrqa, image) -> None:
    done = uhrqa("prepare", image, "b.tif")
    assert (done.code, done.err) == (0, "")
    assert done.out == "b.tif: 400 x 300 px, 3 bands of uint8, 1 level\n"
    report = json.loads(uhrqa("prepare", image, "b.zarr", "--json").out)
    assert (report["schema"], report["bands"], report["type"]) == ("uhrqa.prepare/1", 3, "uint8")
    found = json.loads(uhrqa("info", "b.zarr", "--json").out)
    assert found["stored_levels"] == report["levels"] == [{"width": 400, "height": 300}]


def test_what_is_wrong_is_one_line_with_its_exit_code(uhrqa, image) -> None:
    Path("there.tif").write_bytes(b"mine")
    cases = (
        (("prepare", image, "there.tif"), 6, "--overwrite"),
        (("prepare", image, "b.png"), 2, "name a .tif"),
        (("prepare", "none.tif", "b.tif"), 3, "no such file"),
        (("prepare", image, "https://host/b.tif"), 2, "https://host/b.tif: a copy is written to a"),
        (("prepare", image, "s3://bucket/b.zarr"), 2, "then upload it"),
        (("prepare", image, "b.tif", "--compression", "jpeg"), 2, "give zstd, deflate, none"),
    )
    for args, code, text in cases:
        outcome = uhrqa(*args)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (code, "", 1), outcome.err
        assert text in outcome.err
    assert Path("there.tif").read_bytes() == b"mine"


def test_a_store_asked_to_become_its_own_level_is_one_line_and_stays(uhrqa, image) -> None:
    assert uhrqa("prepare", image, "z.zarr").code == 0
    outcome = uhrqa("prepare", "z.zarr/0", "z.zarr", "--overwrite")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (6, "", 1), outcome.err
    assert "holds the image itself" in outcome.err
    assert uhrqa("info", "z.zarr").code == 0
