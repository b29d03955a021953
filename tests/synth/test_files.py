"""Written scenes read back as drawn, in both formats, with their questions and truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uhrqa.batch.entries import read_entries
from uhrqa.errors import OutputError
from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster
from uhrqa.synth import draw_scene, write_scene
from uhrqa.synth.dataset import Recipe, write_dataset
from uhrqa.synth.files import draw_tile, needs_bigtiff, overview_sizes, tile_count
from uhrqa.synth.lrs_vqa import hbox, lrs_vqa_record, question_id, rbox
from uhrqa.synth.questions import Question, make_questions
from uhrqa.synth.zarr_file import write_zarr

SCENE = draw_scene(7, 1300)
SMALL = Recipe(scenes=2, sides=(600,), per_category=1)
OFFICIAL = {
    "question_id": str, "image": str, "category": str, "text": str, "ground_truth": str,
    "hbox": list, "rbox": list, "abs_size": str, "image_size": list, "size_bin": str,
}  # fmt: skip


def stored_tile(path: Path, level: int, row: int, col: int) -> np.ndarray:
    """What our reader gives where a tile of a level lies; black beyond the edges."""
    with open_raster(path) as raster:
        assert raster.levels == tuple(overview_sizes(SCENE.size))
        scale = SCENE.size.w / raster.levels[level].w
        box = Box(col * 512, row * 512, col * 512 + 512, row * 512 + 512).scale(scale, scale)
        return raster.read(box, Size(512, 512)).array


def drawn_tile(level: int, row: int, col: int) -> np.ndarray:
    """The same as it was drawn, for `SCENE` with noise."""
    size, tile = overview_sizes(SCENE.size)[level], draw_tile(SCENE, level, (row, col), 1.0).copy()
    tile[max(0, size.h - row * 512) :] = tile[:, max(0, size.w - col * 512) :] = 0
    return tile


@pytest.mark.parametrize("shards", [False, True], ids=["chunks", "shards"])
def test_a_zarr_scene_has_every_tile_of_every_level_as_it_is_drawn(
    tmp_path: Path, shards: bool
) -> None:
    ticks: list[None] = []
    write_zarr(SCENE, tmp_path / "a.zarr", 1.0, shards, lambda: ticks.append(None))
    assert len(ticks) == tile_count(SCENE.size) == 9 + 4
    for place in [(0, 0, 0), (0, 1, 2), (0, 2, 2), (1, 0, 0), (1, 1, 0)]:
        assert np.array_equal(stored_tile(tmp_path / "a.zarr", *place), drawn_tile(*place))
    files = [path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()]
    assert len(files) == 3 + (2 if shards else 9 + 4)


def test_a_shard_is_written_where_it_belongs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("uhrqa.synth.zarr_file.SHARD", 2)
    write_zarr(SCENE, tmp_path / "a.zarr", 1.0, shards=True)
    for place in [(0, 0, 2), (0, 1, 1), (0, 2, 0), (0, 2, 2), (1, 1, 1)]:
        assert np.array_equal(stored_tile(tmp_path / "a.zarr", *place), drawn_tile(*place))


@pytest.mark.parametrize("shards", [False, True], ids=["chunks", "shards"])
def test_the_same_scene_gives_the_same_zarr(tmp_path: Path, shards: bool) -> None:
    found = []
    for name in "ab":
        write_zarr(SCENE, tmp_path / name, 1.0, shards)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append([(str(f.relative_to(tmp_path / name)), f.read_bytes()) for f in files])
    assert found[0] == found[1]


def test_a_lossless_tiff_has_every_level_as_it_is_drawn(tmp_path: Path) -> None:
    write_scene(SCENE, tmp_path / "scene.tif", "deflate", noise=1.0)
    for place in [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 0), (1, 1, 1)]:
        assert np.array_equal(stored_tile(tmp_path / "scene.tif", *place), drawn_tile(*place))


def test_a_jpeg_tiff_is_near_what_is_drawn_at_every_level(tmp_path: Path) -> None:
    write_scene(SCENE, tmp_path / "scene.tif", "jpeg", 92, noise=1.0)
    for place in [(0, 0, 0), (0, 1, 1), (1, 0, 0)]:
        gap = stored_tile(tmp_path / "scene.tif", *place).astype(int) - drawn_tile(*place)
        assert np.abs(gap).mean() < 3


def test_noise_has_its_strength_and_hangs_on_the_place_alone() -> None:
    plain, noisy = draw_tile(SCENE, 0, (0, 1), 0.0), draw_tile(SCENE, 0, (0, 1), 1.0)
    inside = (plain > 15) & (plain < 240)
    gap = (noisy.astype(int) - plain)[inside]
    assert 2.8 < gap.std() < 3.2
    draw_tile(SCENE, 0, (0, 0), 1.0)
    assert np.array_equal(draw_tile(SCENE, 0, (0, 1), 1.0), noisy)


@pytest.mark.parametrize("compression", ["jpeg", "deflate"])
def test_the_same_scene_gives_the_same_bytes(tmp_path: Path, compression: str) -> None:
    for name in ("a.tif", "b.tif"):
        write_scene(SCENE, tmp_path / name, compression, noise=0.5)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_offsets_are_wide_where_the_file_might_pass_four_gibibytes() -> None:
    assert not needs_bigtiff(Size(27648, 27648))  # 4 / 3 of 2.3 GB
    assert needs_bigtiff(Size(32768, 32768))  # 4 / 3 of 3 GiB
    assert needs_bigtiff(Size(100_000, 100_000))


@pytest.mark.parametrize(
    ("format", "compression", "noise"),
    [("tif", "jpeg", 1.0), ("tif", "jpeg", 0.0), ("tif", "deflate", 0.0), ("zarr", "jpeg", 1.0)],
)
def test_a_plan_says_about_what_is_written(
    tmp_path: Path, format: str, compression: str, noise: float
) -> None:
    recipe = Recipe(1, sides=(1536,), format=format, compression=compression, noise=noise)
    write_dataset(recipe, tmp_path)
    image = tmp_path / "images" / f"test-0000.{format}"
    files = [image] if image.is_file() else [p for p in image.rglob("*") if p.is_file()]
    written = sum(path.stat().st_size for path in files)
    assert 0.4 * written < recipe.bytes_of(Size(1536, 1536)) < 2.5 * written


def test_a_record_has_the_official_keys_and_types() -> None:
    scene = next(s for s in (draw_scene(k, 3000) for k in range(30)) if len(s.things) > 4)
    for number, question in enumerate(make_questions(scene, 1)):
        record = lrs_vqa_record(scene, question, f"x_{number}", "images/x.tif")
        boxed = bool(question.things) and question.category != "count"
        wanted = {key for key in OFFICIAL if boxed or key not in
                  ("hbox", "rbox", "abs_size", "size_bin")}  # fmt: skip
        assert wanted <= set(record) <= set(OFFICIAL) | {"target_px", "hboxes", "rboxes"}
        assert all(isinstance(record[key], OFFICIAL[key]) for key in wanted)
        assert record["text"].endswith("Answer the question using a single word or phrase.")
        if boxed:
            assert len(record["hbox"]) == 4
            assert all(isinstance(edge, int) for edge in record["hbox"])
            assert len(record["rbox"]) == 8
        if question.category == "count":
            assert len(record["hboxes"]) == int(question.answer)


def test_corners_lie_on_the_upright_box() -> None:
    thing = next(s for s in (draw_scene(k, 3000) for k in range(30)) if s.things).things[0]
    corners = rbox(thing)
    box = thing.box
    assert min(corners[::2]) == pytest.approx(box.x0, abs=0.06)
    assert max(corners[1::2]) == pytest.approx(box.y1, abs=0.06)
    assert hbox(Box(-3.2, 4.5, 20.1, 99), Size(50, 60)) == [0, 4, 21, 50]


def test_a_data_set_is_whole_and_batch_reads_its_questions(tmp_path: Path) -> None:
    count = write_dataset(SMALL, tmp_path / "set")
    lines = (tmp_path / "set" / "questions.jsonl").read_bytes().splitlines()
    assert len(lines) == count > 8
    entries = read_entries(lines, tmp_path / "set")
    assert not any(entry.error for entry in entries)
    assert all(entry.path.is_file() for entry in entries)
    assert len({entry.id for entry in entries}) == count
    truth = json.loads((tmp_path / "set" / "truth" / "test-0000.json").read_text())
    assert truth["image_size"] == [600, 600]
    assert sum(truth["counts"].values()) == len(truth["objects"])
    assert truth["light"]["gsd"] > 0


def test_a_stopped_run_goes_on_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    calls: list[object] = []

    def failing(*args: object) -> None:
        calls.append(args)
        write_scene(*args)  # type: ignore[arg-type]
        if len(calls) == 2:
            raise StopError

    monkeypatch.setattr("uhrqa.synth.dataset.write_scene", failing)
    with pytest.raises(StopError):
        write_dataset(SMALL, tmp_path)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["test-0000.tif"]
    assert not (tmp_path / "questions.jsonl").exists()
    seen: list[tuple[str, bool]] = []
    write_dataset(SMALL, tmp_path, lambda image, new: seen.append((image, new)))
    assert seen == [("images/test-0000.tif", False), ("images/test-0001.tif", True)]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("format", ["tif", "zarr"])
def test_an_image_of_another_truth_is_drawn_again(tmp_path: Path, format: str) -> None:
    recipe = replace(SMALL, scenes=1, format=format, sides=(300,))
    write_dataset(recipe, tmp_path)
    truth = tmp_path / "truth" / "test-0000.json"
    wanted = truth.read_text()
    truth.write_text("{}")
    seen: list[bool] = []
    write_dataset(recipe, tmp_path, lambda image, new: seen.append(new))
    truth.unlink()
    write_dataset(recipe, tmp_path, lambda image, new: seen.append(new))
    assert seen == [True, True]
    assert truth.read_text() == wanted
    open_raster(tmp_path / "images" / f"test-0000.{format}").close()


def test_what_a_killed_run_left_goes(tmp_path: Path) -> None:
    recipe = replace(SMALL, scenes=1, format="zarr", sides=(300,))
    write_dataset(recipe, tmp_path)
    image = tmp_path / "images" / "test-0000.zarr"
    image.rename(image.with_name(".test-0000.zarr.k1ll3d_8.tmp"))
    (tmp_path / ".questions.jsonl.k1ll3d_8.tmp").write_text("half")
    (tmp_path / ".mine.tmp").write_text("not ours")
    write_dataset(recipe, tmp_path)
    assert image.is_dir()
    assert [path.name for path in tmp_path.rglob("*.tmp")] == [".mine.tmp"]


def test_more_scenes_of_a_split_have_names_of_their_own(tmp_path: Path) -> None:
    recipe = replace(SMALL, scenes=2, sides=(300,), split="validation")
    write_dataset(recipe, tmp_path / "all")
    write_dataset(replace(recipe, scenes=1, first=1), tmp_path / "second")
    assert [p.name for p in (tmp_path / "second" / "images").iterdir()] == ["validation-0001.tif"]
    images = [tmp_path / name / "images" / "validation-0001.tif" for name in ("all", "second")]
    assert images[0].read_bytes() == images[1].read_bytes()


def test_all_questions_are_one_subset_for_lrs_vqas_scorer(tmp_path: Path) -> None:
    write_dataset(replace(SMALL, sides=(300,)), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert {row["question_id"].split("_")[0] for row in rows} == {"SYNTH-test"}
    assert len({row["image"] for row in rows}) == 2


def test_scenes_of_other_options_are_left_alone(tmp_path: Path) -> None:
    write_dataset(replace(SMALL, scenes=1), tmp_path)
    with pytest.raises(OutputError, match="other options"):
        write_dataset(replace(SMALL, noise=0.5), tmp_path)
    write_dataset(replace(SMALL, scenes=2), tmp_path)  # more of the same


def test_a_question_without_objects_has_no_box() -> None:
    record = lrs_vqa_record(
        SCENE, Question("Is it rural?", "no", "rural/urban"), question_id("test", 0, 0), "x.tif"
    )
    assert record["category"] == "rural or urban"
    assert record["question_id"] == "SYNTH-test_0000-000"
    assert "hbox" not in record


def test_a_directory_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("precious")
    with pytest.raises(OutputError, match="other files"):
        write_dataset(replace(SMALL, scenes=1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["questions.jsonl"]
    assert (tmp_path / "questions.jsonl").read_text() == "precious"


def test_fewer_scenes_than_before_keep_the_others_questions(tmp_path: Path) -> None:
    write_dataset(SMALL, tmp_path)
    before = (tmp_path / "questions.jsonl").read_bytes()
    write_dataset(replace(SMALL, scenes=1), tmp_path)
    assert (tmp_path / "questions.jsonl").read_bytes() == before
