"""Images on servers, regions and places, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures_raster import noise_raster
from tests.raster.test_ground import NORTH_UP, UTM, geotiff
from tests.servers import serving
from uhrqa.cli.files import refuse_same, require_writable
from uhrqa.errors import OutputError


@pytest.fixture
def placed(tmp_path: Path) -> str:
    return str(geotiff(tmp_path / "placed.tif", UTM, **NORTH_UP))


def test_info_tells_system_pixel_and_extent(uhrqa, placed: str, image: str) -> None:
    out = uhrqa("info", placed).out
    assert "ground: EPSG:32633, 2.0008 x 2.0008 m a pixel, lonlat:15.00000," in out
    found = json.loads(uhrqa("info", placed, "--json").out)
    assert found["metres_per_pixel"] == [2.0008, 2.0008]
    assert "ground: not known: it holds no georeferencing" in uhrqa("info", image).out
    assert uhrqa("info", placed, "--roi", "10,10,40,50").out.startswith(f"{placed}: 30 x 40 px")


def test_evidence_is_written_as_geojson(uhrqa, checkpoint, placed: str, tmp_path: Path) -> None:
    target = tmp_path / "evidence.geojson"
    arguments = ("-m", checkpoint, "--device", "cpu", "-b", 30, "-s", "downsample")
    done = uhrqa("ask", placed, "how many?", *arguments, "--geojson", target, "--json")
    assert done.code == 0, done.err
    record, found = json.loads(done.out), json.loads(target.read_text())
    assert found["type"] == "FeatureCollection"
    assert len(found["features"]) == len(record["evidence"]) > 1
    for feature, entry in zip(found["features"], record["evidence"], strict=True):
        assert feature["geometry"] == {"type": "Polygon", "coordinates": [entry["lonlat"]]}
        assert feature["properties"]["box"] == entry["box"]
    points = np.concatenate([f["geometry"]["coordinates"][0] for f in found["features"]])
    assert points[:, 0].min() == pytest.approx(15, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--geojson", "a.geojson"), 3, "its place on the ground is not known"),
        (("--gsd-in-prompt",), 3, "is not known: it holds no georeferencing"),
        (("--roi", "lonlat:1,2,3,4"), 3, "where the region lies in the image is not known"),
        (("--roi", "900,0,950,50"), 2, "lies outside the image"),
        (("--roi", "5,5,1,1"), 2, "it is empty"),
    ],
)
def test_what_needs_a_place_is_refused_before_a_model_is_loaded(
    uhrqa, image: str, options: tuple[str, ...], code: int, message: str
) -> None:
    done = uhrqa("ask", image, "how many?", "--device", "cpu", *options)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_a_batch_reads_images_on_a_server_and_continues(uhrqa, checkpoint, image, tmp_path) -> None:
    with serving(tmp_path) as server:
        lines = [
            {"image": f"{server.url}/a.tif", "question": "how many?"},
            {"image": f"{server.url}/none.tif", "question": "how many?"},
        ]
        (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
        command = ("batch", "q.jsonl", "-o", "out.jsonl", "-m", checkpoint, "--device", "cpu")
        roi = ("--roi", "100,50,300,250", "-b", 30, "-s", "thumbnail", "--evidence")
        assert uhrqa(*command, *roi).code == 1
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert rows[0]["requests"] > 0
        assert rows[0]["evidence"][0]["box"][:2] == [100, 50]
        assert rows[1]["error"].endswith("none.tif: no such file on the server")
        again = uhrqa(*command, *roi)
        assert "0 answered, 1 done before, 1 failed" in again.err
        other = uhrqa(*command, "--roi", "0,0,50,50", *roi[2:])
        assert other.code == 6  # answers about another region are not mixed in


def test_what_the_model_was_told_of_the_ground_stands_in_every_record(
    uhrqa, checkpoint, placed: str, tmp_path: Path
) -> None:
    common = ("-m", checkpoint, "--device", "cpu", "-b", 30, "-s", "downsample", "--gsd-in-prompt")
    sentence = "The image has a ground sample distance of 2 m per pixel."
    done = uhrqa("ask", placed, "how many?", *common, "--json")
    assert json.loads(done.out)["preface"] == sentence
    (tmp_path / "q.jsonl").write_text(json.dumps({"image": placed, "question": "how many?"}))
    assert uhrqa("batch", "q.jsonl", "-o", "out.jsonl", *common).code == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["preface"] == sentence


def test_requests_stand_in_the_account(uhrqa, checkpoint, image, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        done = uhrqa(
            "ask", f"{server.url}/a.tif", "how many?", "-m", checkpoint, "--device", "cpu",
            "-s", "thumbnail",
        )  # fmt: skip
    assert done.code == 0, done.err
    assert " read in 1 request · " in done.err


def test_the_download_of_a_png_counts_for_the_first_question_about_it(
    uhrqa, checkpoint, tmp_path: Path
) -> None:
    Image.fromarray(noise_raster(300, 300)).save(tmp_path / "a.png")
    size = (tmp_path / "a.png").stat().st_size
    with serving(tmp_path) as server:
        ask = {"image": f"{server.url}/a.png", "question": "how many?"}
        lines = [ask, {**ask, "question": "how large?"}]
        (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
        command = ("batch", "q.jsonl", "-o", "out.jsonl", "-m", checkpoint, "--device", "cpu")
        done = uhrqa(*command, "-s", "thumbnail")
        assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert size > 2**16  # the head, and the rest
    assert [(row["bytes_read"], row["requests"]) for row in rows] == [(size, 2), (0, 0)]


@pytest.mark.parametrize(
    ("target", "args", "message"),
    [
        ("placed.tif", (), "placed.tif: is the image; name another one with --geojson"),
        ("b.tif", (), "b.tif: is the image"),
        ("roi.geojson", ("--roi", "roi.geojson"), "roi.geojson: is the file of the region"),
        ("labels.png", ("-s", "region-merge", "-o", "labels=labels.png"), "a file the strategy"),
        ("rfm.safetensors", ("--rfm", "rfm.safetensors"), "is the Region Focus Module"),
        ("none/a.geojson", (), "none/a.geojson: there is no directory none; make it first"),
        (".", (), ".: cannot be written: it is a directory; name a file"),
    ],
)
def test_evidence_is_not_written_over_what_is_read(
    uhrqa, checkpoint, placed: str, target: str, args, message: str
) -> None:
    Path("b.tif").hardlink_to(placed)
    Path("labels.png").touch()
    ring = [[9.0, 48.0], [9.1, 48.0], [9.1, 48.1], [9.0, 48.0]]
    Path("roi.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    shutil.copy(checkpoint / "rfm.safetensors", "rfm.safetensors")
    held = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    outcome = uhrqa("ask", "placed.tif", "?", "-m", checkpoint, "--geojson", target, *args)
    assert (outcome.code, outcome.err.count("\n")) == (6, 1)
    assert message in outcome.err
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == held


def test_a_file_inside_an_image_is_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    inside = tmp_path / "a.zarr" / "zarr.json"
    refuse_same({"--geojson": inside}, {"the image": [tmp_path / "a.zarr"]})  # not there yet
    inside.touch()
    with pytest.raises(OutputError, match="is the image"):
        refuse_same({"--geojson": inside}, {"the image": [tmp_path / "a.zarr"]})


def test_a_file_that_may_not_be_written_is_told_at_once(tmp_path: Path, monkeypatch) -> None:
    require_writable(tmp_path / "a.json", "-", None)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(OutputError, match="cannot be written: Permission denied"):
        require_writable(tmp_path / "a.json")
    (tmp_path / "a.json").touch()
    require_writable(tmp_path / "a.json")
