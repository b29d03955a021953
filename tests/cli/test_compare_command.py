"""`uhrqa compare`: strategies beside each other on questions from a file."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from uhrqa.cli import identity

LINES: list[dict[str, Any]] = [
    {"question_id": "A_1", "image": "a.tif", "text": "how many ships?", "ground_truth": "2",
     "category": "count", "hboxes": [[10, 10, 30, 30], [200, 100, 220, 130]]},
    {"question_id": "A_2", "image": "a.tif", "text": "is there a tank?", "ground_truth": "no"},
    {"image": "b.tif", "question": "what color?", "answer": "red", "hbox": [5, 5, 9, 12]},
]  # fmt: skip


@pytest.fixture
def compare(uhrqa, checkpoint, image):
    """Run it on a small checkpoint, two images and three questions."""
    shutil.copy(image, Path(image).with_name("b.tif"))
    write(LINES)
    return lambda *args: uhrqa(
        "compare", "q.jsonl", "-m", checkpoint, "-s", "uniform,thumbnail", "-b", "60", *args
    )


def write(lines: list[dict[str, Any]]) -> None:
    Path("q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_every_question_is_asked_in_every_way_and_the_truth_is_kept(compare) -> None:
    outcome = compare("--json", "-")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    rows = found["rows"]
    assert len(rows) == 3 * (2 + 3)
    assert {row["expected"] for row in rows} == {"2", "no", "red"}
    assert {row["category"] for row in rows} == {"count", "question"}
    assert {row["side"] for row in rows} == {400}
    targets = {row["text"]: row["target"] for row in rows}
    assert targets == {"how many ships?": 20.0, "is there a tank?": None, "what color?": 7.0}
    oracle = [row for row in rows if row["strategy"] == "oracle"]
    assert [row["found"] for row in oracle] == [1.0, None, 1.0]
    assert "uhrqa: image 2 of 2: 1 question" in outcome.err


def test_the_table_of_differences_names_the_best_strategy(compare) -> None:
    outcome = compare("-o", "rows.jsonl")
    assert "Difference from uniform, on the same questions, at a budget of 60" in outcome.out or (
        "Difference from thumbnail" in outcome.out
    )
    again = compare("-o", "rows.jsonl", "--report-only")
    assert again.out == outcome.out


def test_one_image_alone_has_no_interval_and_the_title_says_so(compare) -> None:
    told = "intervals over images ([-]: they need two images)"
    assert told not in compare().out
    write(LINES[:1])
    assert told in compare().out


def test_rows_of_another_state_of_the_file_are_refused(compare) -> None:
    assert compare("-q", "-o", "rows.jsonl").code == 0
    write(LINES[:2])
    outcome = compare("-q", "-o", "rows.jsonl")
    assert outcome.code == 6
    assert "holds rows of another run: its digest" in outcome.err


def test_rows_of_another_version_of_a_package_are_refused(compare, monkeypatch) -> None:
    assert compare("-q", "-o", "rows.jsonl").code == 0
    monkeypatch.setattr(identity, "version", lambda n: "0" if n == "tokenizers" else version(n))
    outcome = compare("-q", "-o", "rows.jsonl")
    assert outcome.code == 6
    assert "holds rows of another run: its versions.tokenizers is" in outcome.err


def seen(path: str = "rows.jsonl") -> dict[tuple, dict]:
    """Rows by what tells them, without what a clock decides."""
    rows = [json.loads(line)["row"] for line in Path(path).read_text().splitlines()[1:]]
    for row in rows:
        row.pop("seconds")
    keys = [(row["scene"], row["question"], row["strategy"], row["budget"]) for row in rows]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, rows, strict=True))


def test_questions_about_an_image_that_was_replaced_are_asked_again(compare, image) -> None:
    args = ("-q", "-o", "rows.jsonl")
    assert compare(*args).code == 0
    before = Path("rows.jsonl").read_bytes()
    assert compare(*args).code == 0
    assert Path("rows.jsonl").read_bytes() == before
    old = seen()
    tifffile.imwrite("b.tif", np.zeros((300, 410, 3), np.uint8), photometric="rgb")
    refused = compare(*args, "--seed", "1")  # other things still make another run
    assert (refused.code, "its seed is 0" in refused.err) == (6, True)
    outcome = compare("-o", "rows.jsonl")
    assert outcome.code == 0
    assert "rows.jsonl: rows about images that were replaced since, to be asked again: 5" in (
        outcome.err
    )
    new = seen()
    assert set(new) == set(old)
    assert {key[0] for key in old if new[key] != old[key]} == {1}
    assert all(row["side"] == (410 if scene == 1 else 400) for (scene, *_), row in new.items())
    assert compare("-q", "-o", "fresh.jsonl").code == 0
    assert seen("fresh.jsonl") == new
    held = Path("rows.jsonl").read_bytes()
    assert "asked again" not in compare("-o", "rows.jsonl").err
    assert Path("rows.jsonl").read_bytes() == held


def test_rows_about_a_replaced_image_stay_until_there_are_new_ones(compare) -> None:
    assert compare("-q", "-o", "rows.jsonl").code == 0
    before = Path("rows.jsonl").read_bytes()
    Path("b.tif").write_bytes(b"no image")
    outcome = compare("-q", "-o", "rows.jsonl")
    assert outcome.code == 3
    assert "b.tif" in outcome.err
    assert Path("rows.jsonl").read_bytes() == before


def test_a_line_with_choices_is_answered_with_one_of_them(compare) -> None:
    write([{**LINES[0], "choices": ["2", "7"]}, LINES[1]])
    rows = json.loads(compare("--json", "-").out)["rows"]
    said = {row["said"] for row in rows if row["text"] == "how many ships?"}
    assert said <= {"2", "7"}
    assert not {row["said"] for row in rows if row["text"] != "how many ships?"} <= {"2", "7"}


def test_the_setting_of_most_tiles_holds(compare, monkeypatch) -> None:
    assert max(row["tiles"] for row in json.loads(compare("--json", "-").out)["rows"]) > 1
    monkeypatch.setenv("UHRQA_MAX_TILES", "1")
    found = json.loads(compare("--json", "-").out)
    assert found["manifest"]["tiles"] == 1
    assert {row["tiles"] for row in found["rows"]} == {0, 1}


def test_a_page_tells_the_command_that_made_it(compare, checkpoint) -> None:
    assert compare("-q", "--markdown", "page.md").code == 0
    page = Path("page.md").read_text()
    assert page.startswith("# q.jsonl\n")
    assert "3 questions about 2 images, seed 0" in page
    assert f"uhrqa compare q.jsonl -m {checkpoint} -s uniform,thumbnail -b 60" in page


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"ground_truth": None}, "line 1: no truth; give 'ground_truth' as a text"),
        ({"hboxes": [[1, 2, 3]]}, "line 1: a box is four numbers x0, y0, x1, y1, not [1, 2, 3]"),
        ({"text": ""}, "line 1: 'text' is not a text"),
        ({"hboxes": [[9, 9, 1, 1]]}, "line 1: a box is x0, y0, x1, y1 with x0 <= x1"),
        ({"hboxes": [[1, 1, 2, float("nan")]]}, "line 1: a box is x0, y0, x1, y1 with x0 <= x1"),
        ({"target_px": "12"}, "line 1: 'target_px' is a length in pixels such as 12.5, not '12'"),
        ({"target_px": True}, "line 1: 'target_px' is a length in pixels such as 12.5, not True"),
        ({"target_px": -1}, "line 1: 'target_px' is a length in pixels such as 12.5, not -1"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_with_its_number(compare, change, fault) -> None:
    write([{**LINES[0], **change}])
    outcome = compare()
    assert outcome.code == 3
    assert f"q.jsonl: {fault}" in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_file_of_questions_is_never_the_output(compare) -> None:
    before = Path("q.jsonl").read_bytes()
    assert compare("-o", "q.jsonl").code == 6
    assert Path("q.jsonl").read_bytes() == before


def test_a_file_that_is_not_there_is_one_line(uhrqa) -> None:
    Path("rows.jsonl").touch()
    outcome = uhrqa("compare", "none.jsonl", "-o", "rows.jsonl")
    assert outcome.code == 3
    assert "none.jsonl: cannot be read" in outcome.err


def test_a_run_in_which_every_budget_is_refused_fails_in_one_line(uhrqa, checkpoint, image) -> None:
    write(LINES[:1])
    args = ("compare", "q.jsonl", "-m", checkpoint, "-s", "uniform,rfm-dip", "-o", "rows.jsonl")
    outcome = uhrqa(*args, "-b", "1,2")
    assert outcome.code == 7
    last = outcome.err.splitlines()[-1]
    assert "error: every budget was refused, 4 strategies and budgets in all; uniform: " in last
    assert "error" not in "".join(outcome.err.splitlines()[:-1])
    assert uhrqa(*args, "-b", "1,2", "--report-only").code == 7
    partly = uhrqa(*args[:-2], "-b", "1,200")
    assert partly.code == 0


def test_a_report_on_a_file_speaks_of_images(compare, tmp_path: Path) -> None:
    outcome = compare("--markdown", "page.md")
    assert "with 95 % intervals over images;" in outcome.out
    page = (tmp_path / "page.md").read_text()
    assert "a percentile bootstrap over images, as questions about one image are not" in page
    assert "over scenes" not in page + outcome.out
    assert "of the scene" not in page


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--json", "q.jsonl"), "q.jsonl: is the file of questions; name another one with --json"),
        (("--markdown", "b.tif"), "b.tif: is an image of a question; name another one with"),
        (("-o", "r", "--json", "r"), "r: is named by -o too; name another one with --json"),
        (("-o", "rows", "--json", "link"), "link: is named by -o too"),
        (("--json", "./r", "--markdown", "r"), "r: is named by --json too"),
        (("--json", "."), ".: cannot be written: it is a directory; name a file"),
        (("--json", "x" * 300), "x: cannot be written: File name too long"),
        (("--json", "none/r"), "none/r: there is no directory none; make it first"),
    ],
)
def test_nothing_that_is_read_or_asked_for_is_written_over(compare, args, message) -> None:
    Path("rows").write_text("")
    Path("link").symlink_to("rows")
    held = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    outcome = compare(*args)
    assert (outcome.code, outcome.err.count("\n")) == (6, 1)
    assert message in outcome.err
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == held


def test_a_report_may_go_where_nothing_is_kept(compare) -> None:
    assert compare("-q", "--json", "/dev/null", "--markdown", "/dev/null").code == 0
