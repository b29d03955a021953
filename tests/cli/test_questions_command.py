"""`uhrqa questions`: from labels to answers that are right or wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.labels.makers import SHIP, TANK, dota_line, write_dota, write_image


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "lab").mkdir()
    write_dota(tmp_path / "lab" / "a.txt", dota_line(SHIP, "ship"), dota_line(TANK, "storage-tank"))
    return tmp_path


MADE = ("questions", "lab", "--format", "dota", "--images", "images", "-o", "q.jsonl")


def test_labels_become_questions_that_compare_and_batch_read(uhrqa, labelled: Path) -> None:
    done = uhrqa(*MADE)
    assert done.code == 0
    rows = [json.loads(line) for line in Path("q.jsonl").read_text().splitlines()]
    assert done.out == f"q.jsonl: {len(rows)} questions\n"
    assert done.err.startswith("uhrqa: 1 image: ")
    compared = uhrqa("compare", "q.jsonl", "-m", "tiny", "-s", "thumbnail,uniform", "-b", "128",
                     "--limit", "1", "-o", "rows.jsonl", "-q")  # fmt: skip
    assert compared.code == 0
    asked = uhrqa("batch", "q.jsonl", "-o", "a.jsonl", "-m", "tiny", "-b", "128", "-q")
    assert asked.code == 0
    answers = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert {row["id"] for row in answers} == {row["question_id"] for row in rows}


def test_an_object_that_is_written_twice_counts_once_and_is_told(uhrqa, labelled: Path) -> None:
    ship = dota_line(SHIP, "ship")
    write_dota(labelled / "lab" / "a.txt", ship, ship, dota_line(TANK, "storage-tank"))
    done = uhrqa(*MADE)
    assert done.code == 0
    assert "uhrqa: 1 object left out, written twice: lab/a.txt: line 4\n" in done.err
    rows = [json.loads(line) for line in Path("q.jsonl").read_text().splitlines()]
    assert {row["ground_truth"] for row in rows if row["category"] == "count"} == {"1"}


def test_quiet_says_nothing_beside_the_result(uhrqa, labelled: Path) -> None:
    done = uhrqa(*MADE, "-q", "--per-category", "1")
    assert (done.code, done.err) == (0, "")


def test_the_seed_decides(uhrqa, labelled: Path) -> None:
    assert uhrqa(*MADE).code == 0
    assert uhrqa(*MADE).code == 0  # the same again
    done = uhrqa(*MADE, "--seed", "1")
    assert done.code == 6
    assert "is there, and differs" in done.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--format", "yolo"), 2, "expected dota, coco, fair1m or geojson"),
        (("-o", "none/q.jsonl"), 6, "there is no directory none"),
        (("--images", "none"), 3, "none: not there"),
        (("--images", "lab"), 3, "no image 'a' in lab (0 images there)"),
        (("--min-side", "2000"), 3, "add --min-side 1200"),
    ],
)
def test_what_is_wrong_is_one_line(
    uhrqa, labelled: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    done = uhrqa(*MADE, *words)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert done.err.count("\n") == 1


def test_a_small_image_is_told_of(uhrqa, labelled: Path) -> None:
    from uhrqa.geometry import Size

    write_image(labelled / "images" / "b.png", Size(500, 900))
    write_dota(labelled / "lab" / "b.txt", dota_line(SHIP, "ship"))
    done = uhrqa(*MADE)
    assert "1 of 2 images left out" in done.err
