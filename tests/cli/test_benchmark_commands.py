"""`uhrqa eval TASK`, `uhrqa score`, and what is done with result files."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.makers import code, make_lrs, write_lines, xlrs_rows
from tests.benchmarks.makers import row as bench_row
from uhrqa.benchmarks.rows import Outcome
from uhrqa.cli.batch import _print_reasons
from uhrqa.cli.bench_report import reasons

ASK = ("-s", "uniform", "-b", "60", "--max-new-tokens", "3")


@pytest.fixture
def lrs(uhrqa, checkpoint, tmp_path: Path):
    """Ask three questions about two images that are there, and one about one that is not."""
    make_lrs(tmp_path)
    return lambda *args: uhrqa("eval", "lrs-vqa", "LRS_VQA", "-m", checkpoint, *ASK, *args)


def rows_of(path: str) -> list[dict]:
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()[1:]]
    for line in lines:
        line.pop("seconds")
    return lines


def test_questions_are_asked_scored_and_kept(lrs, uhrqa) -> None:
    outcome = lrs("-o", "r.jsonl", "--json", "-")
    assert outcome.code == 1  # an image is missing
    assert "images missing: 1 (LRS_VQA/image/3.png), needed by 1 question" in outcome.err
    found = json.loads(outcome.out)
    (way,) = found["ways"]
    assert (way["way"], way["questions"], way["answered"]) == ("uniform", 4, 3)
    assert way["unanswered"] == {"missing image": 1}
    assert found["manifest"]["budget"] == {"tokens": 60, "tiles": None}
    rows = rows_of("r.jsonl")
    assert [row["number"] for row in rows] == [1, 3, 2, 4]
    assert all(row["id"] == row["question_id"] for row in rows)
    assert all(0 < row["kept"] <= 60 for row in rows[:3])
    assert rows[3]["error"] == "missing image: LRS_VQA/image/3.png"
    again = uhrqa("score", "r.jsonl", "--json", "-", "-q")
    assert json.loads(again.out) == found
    assert again.err == ""


def test_a_run_that_was_cut_goes_on_to_the_same_file(lrs) -> None:
    lrs("-q", "-o", "whole.jsonl", "--controls")
    content = Path("whole.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    assert len(lines) == 1 + 4 * 4
    Path("cut.jsonl").write_bytes(b"".join(lines[:6]) + lines[6][:40])
    assert lrs("-q", "-o", "cut.jsonl", "--controls").code == 1
    assert rows_of("cut.jsonl") == rows_of("whole.jsonl")
    assert Path("cut.jsonl").read_bytes().splitlines()[0] == content.splitlines()[0]
    before = Path("whole.jsonl").read_bytes()
    lrs("-q", "-o", "whole.jsonl", "--controls")
    assert Path("whole.jsonl").read_bytes() == before
    outcome = lrs("-o", "whole.jsonl")
    assert outcome.code == 6
    assert "holds rows of another run: its controls is true" in outcome.err


KILLED = """
import os, signal
from uhrqa.batch import lines
left, whole = 4, lines.write_all  # the manifest, two rows, and half of the third
def write_all(descriptor, content):
    global left
    left -= 1
    if not left:
        os.write(descriptor, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    whole(descriptor, content)
lines.write_all = write_all
from uhrqa.cli import main
main()
"""


def test_a_run_killed_inside_a_record_ends_in_the_same_bytes_but_for_times(lrs, checkpoint) -> None:
    lrs("-q", "-o", "whole.jsonl")
    args = ("eval", "lrs-vqa", "LRS_VQA", "-m", checkpoint, *ASK, "-q", "-o", "cut.jsonl")
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, args)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    torn = Path("cut.jsonl").read_bytes()
    assert (torn.count(b"\n"), torn.endswith(b"\n")) == (3, False)
    assert lrs("-q", "-o", "cut.jsonl").code == 1
    cut, whole = (
        re.sub(rb'"seconds": [^,}]+', b'"seconds": 0', Path(name).read_bytes())
        for name in ("cut.jsonl", "whole.jsonl")
    )
    assert cut == whole
    assert cut.count(b"\n") == 5


def as_lrs_gro(line: dict) -> dict:
    """A question about a drawn scene as LRS-GRO has it: boxes in the frame of 1024 px."""
    scale = 1024 / max(line["image_size"])
    box = [round(scale * edge) for edge in line.get("hbox", [])]
    return {
        "question_id": line["question_id"], "image_name": Path(line["image"]).name,
        "category": line["category"], "question": line["text"].partition("\n")[0],
        "higher_level": "perception", "ground_truth": line["ground_truth"], "bbox": box,
        "type": "object" if box else "global", "split": "RL",
    }  # fmt: skip


def test_lrs_gro_goes_from_pictures_through_the_embedded_model_to_a_score(uhrqa) -> None:
    made = uhrqa("synth", "drawn", "--scenes", "1", "--sides", "1536", "-q")
    assert made.code == 0, made.err
    (questions,) = Path("drawn").glob("*.jsonl")
    lines = [as_lrs_gro(json.loads(line)) for line in questions.read_text().splitlines()]
    chosen = [
        line for line in lines if line["category"] in ("object color", "rural or urban", "count")
    ]
    assert {line["type"] for line in chosen} == {"object", "global"}
    write_lines(Path("drawn", "rl.jsonl"), chosen)
    done = uhrqa("eval", "lrs-gro", "drawn/rl.jsonl", "-m", "tiny", "-b", "256", "-o", "r.jsonl",
                 "--json", "-", "-q")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    (way,) = json.loads(done.out)["ways"]
    rows = rows_of("r.jsonl")
    right = [row["prediction"].strip().lower() == row["truth"].lower() for row in rows]
    assert way["questions"] == len(chosen) > 4
    assert way["right"] >= sum(right) > len(rows) / 2
    found = [row["found"] for row in rows if row["category"] == "object"]
    assert sum(found) > len(found) / 2  # boxes are where the objects are


def test_an_auto_budget_is_another_run(lrs) -> None:
    lrs("-q", "-o", "r.jsonl")
    outcome = lrs("-o", "r.jsonl", "-b", "auto:60")
    assert outcome.code == 6
    assert "holds rows of another run: its budget" in outcome.err


def test_broken_records_are_told_left_out_and_counted(lrs, uhrqa) -> None:
    path = Path("LRS_VQA", "LRS_VQA_merged.jsonl")
    whole = path.read_text().splitlines()[:3]
    path.write_text("\n".join([whole[0], whole[1][:50], *whole[1:], *(["{}}"] * 30)]))
    outcome = lrs("-o", "r.jsonl", "--limit", "3")
    assert outcome.code == 1
    told = [line for line in outcome.err.splitlines() if "left out: " in line]
    assert told[0].startswith(f"uhrqa: note: left out: {path}: record 2: not JSON: ")
    assert told[20] == "uhrqa: note: left out: 11 more broken records: 24-34"
    assert len(told) == 21
    assert [row["number"] for row in rows_of("r.jsonl")] == [1, 4, 3]
    line = "31 broken records of the data set left out of all figures: 2, 5-34"
    assert line in outcome.err
    assert line in uhrqa("score", "r.jsonl").err
    found = json.loads(uhrqa("score", "r.jsonl", "--json", "-", "-q").out)
    assert found["manifest"]["data"]["broken"] == {"count": 31, "records": "2, 5-34"}
    assert "31 broken records left out" in uhrqa("eval", "table", "r.jsonl").out
    path.write_text("{}}\n")
    assert lrs("-q", "-o", "none.jsonl").err.startswith("uhrqa: error: no record can be asked: ")
    assert not Path("none.jsonl").exists()


def test_why_images_could_not_be_opened_is_told(lrs, tmp_path: Path) -> None:
    (tmp_path / "LRS_VQA" / "image" / "2.png").write_bytes(b"")
    outcome = lrs("-o", "r.jsonl")
    assert outcome.code == 1
    (line,) = [line for line in outcome.err.splitlines() if "record 2: " in line]
    assert "2.png" in line


def test_controls_stand_beside_the_strategy(lrs) -> None:
    lrs("-q", "-o", "r.jsonl", "--controls", "--limit", "1")
    kept = {row["way"]: row["kept"] for row in rows_of("r.jsonl")}
    assert list(kept) == ["uniform", "blind", "thumbnail", "downsample"]
    assert kept["blind"] == 0 < kept["thumbnail"]


def test_shards_make_the_whole(lrs, uhrqa) -> None:
    lrs("-q", "-o", "whole.jsonl")
    for part in ("1/2", "2/2"):
        lrs("-q", "-o", f"{part[0]}.jsonl", "--shard", part)
    part = uhrqa("eval", "merge", "2.jsonl", "-o", "part.jsonl")
    assert "part.jsonl is not the whole: no result of 1/2" in part.err
    both = uhrqa("eval", "merge", "2.jsonl", "1.jsonl", "-o", "merged.jsonl")
    assert both.code == 0
    assert "not the whole" not in both.err
    assert rows_of("merged.jsonl") == rows_of("whole.jsonl")
    assert uhrqa("eval", "diff", "merged.jsonl", "whole.jsonl").code == 0


def test_results_of_a_part_say_so(lrs, uhrqa) -> None:
    for part in ("1/2", "2/2"):
        lrs("-q", "-o", f"{part[0]}.jsonl", "--shard", part)
    cut = Path("1.jsonl").read_text().splitlines(keepends=True)[:2]
    Path("1.jsonl").write_text("".join(cut))
    merged = uhrqa("eval", "merge", "1.jsonl", "2.jsonl", "-o", "m.jsonl")
    count, held = len(rows_of("m.jsonl")), len(rows_of("2.jsonl"))
    whole = json.loads(Path("m.jsonl").read_text().splitlines()[0])["manifest"]
    assert merged.code == 1
    of = f"{count} of {whole['data']['questions']} questions"
    assert f"{of} (1.jsonl has 1, 2.jsonl has {held})" in merged.err
    stopped = f"{of}: the run was stopped, start it again"
    assert stopped in uhrqa("score", "m.jsonl").err
    assert f"m.jsonl: {stopped}" in uhrqa("eval", "diff", "m.jsonl", "m.jsonl").err
    assert stopped in uhrqa("eval", "export", "m.jsonl", "--to", "lrs-vqa", "-o", "e").err
    lrs("-q", "-o", "l.jsonl", "--limit", "2")
    limited = uhrqa("score", "l.jsonl").err
    assert f"--limit 2: 2 of {whole['data']['questions']} questions" in limited
    assert "was stopped" not in limited


def test_a_table_says_which_result_it_leaves_out(lrs, uhrqa) -> None:
    lrs("-q", "-o", "r.jsonl", "--limit", "1")
    outcome = uhrqa("eval", "table", "r.jsonl", "--task", "xlrs")
    assert "r.jsonl is left out: it is a result of lrs-vqa" in outcome.err
    assert "left out" not in uhrqa("eval", "table", "r.jsonl").err


def test_a_run_of_failures_names_how_to_ask_again(lrs, tmp_path: Path) -> None:
    image = tmp_path / "LRS_VQA" / "image"
    image.rename(tmp_path / "elsewhere")
    assert "--retry-failed" not in lrs("-o", "r.jsonl").err
    images = ("--images", str(tmp_path / "elsewhere"))
    again = lrs("-o", "r.jsonl", *images).err
    assert "missing image" in again
    assert "--retry-failed asks again what has no answer" in again
    retried = lrs("-o", "r.jsonl", *images, "--retry-failed").err
    assert "no question was answered" not in retried


def test_a_result_wants_its_directory(lrs) -> None:
    outcome = lrs("-o", "nodir/y")
    assert "there is no directory nodir; make it first" in outcome.err


def test_a_part_without_questions_is_no_fault(lrs, uhrqa) -> None:
    lrs("-q", "-o", "whole.jsonl")
    for part in range(1, 5):  # of three images
        outcome = lrs("-o", f"{part}.jsonl", "--shard", f"{part}/4")
    assert outcome.code == 0
    assert "nothing to ask: part 4/4 holds no question" in outcome.err
    parts = [f"{part}.jsonl" for part in (3, 2, 1, 4)]
    assert uhrqa("eval", "merge", *parts, "-o", "merged.jsonl").code == 0
    assert rows_of("merged.jsonl") == rows_of("whole.jsonl")


def test_a_file_of_something_else_is_one_line(uhrqa, checkpoint) -> None:
    write_lines(Path("other.jsonl"), [{"name": "x"}] * 3)
    outcome = uhrqa("eval", "lrs-vqa", "other.jsonl", "-m", checkpoint, *ASK, "-q")
    assert outcome.code == 3
    assert outcome.err == (
        "uhrqa: error: other.jsonl: none of 3 records is a question of LRS-VQA\n"
    )


@pytest.mark.parametrize(
    "words",
    [("score",), ("eval", "table"), ("eval", "export", "--to", "mme", "-o", "x"),
     ("eval", "merge", "-o", "x"), ("eval", "diff", "none.jsonl")],
)  # fmt: skip
def test_a_result_that_is_missing_or_another_is_bad_input(uhrqa, words: tuple[str, ...]) -> None:
    for held, told in ((None, "cannot be read: No such file"), ('{"manifest": {}}\n', "no result")):
        if held is not None:
            Path("none.jsonl").write_text(held)
        outcome = uhrqa(*words, "none.jsonl")
        assert outcome.code == 3
        assert outcome.err.startswith("uhrqa: error: none.jsonl: ")
        assert told in outcome.err
        assert not Path("x").exists()


def test_what_failed_is_asked_again_where_it_is_wanted(lrs, tmp_path: Path) -> None:
    lrs("-q", "-o", "r.jsonl")
    image = tmp_path / "LRS_VQA" / "image"
    (image / "3.png").write_bytes((image / "2.png").read_bytes())
    assert lrs("-q", "-o", "r.jsonl").code == 1
    assert lrs("-q", "-o", "r.jsonl", "--retry-failed").code == 0
    assert rows_of("r.jsonl")[-1]["prediction"] is not None


def test_several_images_are_pasted_or_counted_as_unsupported(uhrqa, checkpoint) -> None:
    rows = xlrs_rows()[:2]
    for row in rows:
        row["image"] = code()
    rows[1]["image"] = [code(1), code(2)]
    write_lines(Path("x.jsonl"), rows)
    ask = ("eval", "xlrs", "x.jsonl", "-m", checkpoint, *ASK)
    assert uhrqa(*ask, "-o", "p.jsonl").code == 0
    one, two = rows_of("p.jsonl")
    assert (one["pasted"], two["pasted"]) == (1, 2)
    assert two["prompt"].startswith("The two images are shown side by side: the first on the left")
    outcome = uhrqa(*ask, "-o", "u.jsonl", "--several", "unsupported")
    assert outcome.code == 1
    assert "questions about several images, not asked: 1" in outcome.err
    assert rows_of("u.jsonl")[1]["error"].startswith("unsupported: needs 2 images")


def test_an_embedded_picture_that_is_none_is_told_by_its_record(uhrqa, checkpoint) -> None:
    rows = [{**row, "image": code()} for row in xlrs_rows()]
    rows[1]["image"] = base64.b64encode(b"no picture" * 40).decode()
    rows[2]["image"] = "!" * 200
    write_lines(Path("x.jsonl"), rows)
    done = uhrqa("eval", "xlrs", "x.jsonl", "-m", checkpoint, *ASK, "-o", "r.jsonl")
    assert done.code == 1
    assert "record 2: its picture: " in done.err
    assert "record 3: its picture is no base64: " in done.err
    assert "uhrqa-" not in done.err + Path("r.jsonl").read_text()


def test_one_more_kind_of_failure_is_one(capsys) -> None:
    failed = [bench_row(number, None, error=f"fault {number}") for number in range(1, 6)]
    assert reasons(Outcome({}, failed[:3]))[-1] == "record 3: fault 3"
    assert reasons(Outcome({}, failed[:4]))[-1] == "and 1 more kind of failure"
    assert reasons(Outcome({}, failed))[-1] == "and 2 more kinds of failure"
    _print_reasons(dict.fromkeys("abcd", 1))
    assert capsys.readouterr().err.endswith("uhrqa: and 1 more kind of error\n")


def test_turns_of_a_dialogue_are_numbered(uhrqa, checkpoint, image) -> None:
    turn = {"images": ["a.tif"], "category": "multturn_anomaly_detection", "question": "?",
            "options": {"A": "Yes", "B": "No"}, "answer": "A"}  # fmt: skip
    Path("d.json").write_text(json.dumps([{"id": 1, **turn}, {"id": 2, **turn}]))
    uhrqa("eval", "rshr", "d.json", "-m", checkpoint, *ASK, "-o", "r.jsonl", "-q")
    rows = rows_of("r.jsonl")
    assert [row["turn"] for row in rows] == [1, 2]
    assert [row["history"] for row in rows] == [0, 1]


def test_leaderboards_and_a_result_beside_them(lrs, uhrqa) -> None:
    lrs("-q", "-o", "r.jsonl")
    outcome = uhrqa("eval", "table", "r.jsonl")
    assert outcome.code == 0
    assert "LRS-VQA, GLH-Bridge" in outcome.out
    assert "r.jsonl: not comparable: " in outcome.out
    assert "2 of 2272 questions" in outcome.out
    assert "XLRS" not in outcome.out
    assert "UHR-BAT: not comparable with the others: on the Lite split" in (
        uhrqa("eval", "table", "--task", "mme-realworld-rs").out
    )


def test_answer_files_that_do_not_fit_together_are_told(uhrqa) -> None:
    line = {"question_id": "q", "ground_truth": "x", "type": "global", "answer1": "x"}
    write_lines(Path("a.jsonl"), [line, line, {**line, "question_id": "p"}])
    write_lines(Path("b.jsonl"), [line, {**line, "question_id": "p", "ground_truth": "y"}])
    done = uhrqa("eval", "diff", "a.jsonl", "b.jsonl")
    assert done.code == 0
    assert done.err.startswith(
        "uhrqa: note: ids that A has more than once, paired in their order: 1 (q)\n"
        "uhrqa: note: ids whose truth in A is not that in B, left out: 1 (p)\n"
    )
    assert uhrqa("eval", "diff", "a.jsonl", "b.jsonl", "-q").err == ""


def test_exports_are_written_and_never_over_the_result(lrs, uhrqa) -> None:
    lrs("-q", "-o", "r.jsonl")
    assert uhrqa("eval", "export", "r.jsonl", "--to", "lrs-vqa", "-o", "e.jsonl").code == 0
    assert uhrqa("score", "e.jsonl", "-q").code == 0
    assert uhrqa("eval", "export", "r.jsonl", "--to", "lrs-vqa", "-o", "r.jsonl").code == 6


@pytest.mark.parametrize(
    ("args", "code", "fault"),
    [
        (("--prompt", "papr"), 2, "unknown prompt 'papr' of lrs-vqa; did you mean 'paper'?"),
        (("--scoring", "x"), 2, "unknown scoring 'x' of lrs-vqa"),
        (("--split", "val"), 2, "unknown split 'val' of lrs-vqa; known: none"),
        (("--several", "drop"), 2, "expected paste or unsupported"),
        (("--shard", "3/2"), 2, "write I/N with I from 1 to N"),
        (("--images", "none"), 3, "none: no such directory of images"),
        (("-b", "1"), 7, "no question was answered; the first: record 1: budget: "),
    ],
)
def test_what_cannot_be_is_one_line(lrs, args, code, fault) -> None:
    outcome = lrs("-q", *args)
    assert outcome.code == code
    assert fault in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_nothing_that_is_read_is_written_over(lrs, uhrqa) -> None:
    lrs("-q", "-o", "r.jsonl")
    held = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    data = next(Path("LRS_VQA").rglob("*.jsonl"))
    for outcome, what in (
        (lrs("--json", data), "a file of the data set"),
        (lrs("-o", "r.jsonl", "--json", "r.jsonl"), "named by -o too"),
        (uhrqa("score", "r.jsonl", "--json", "r.jsonl"), "the result itself"),
        (uhrqa("eval", "export", "r.jsonl", "--to", "lrs-vqa", "-o", "r.jsonl"), "the result its"),
        (uhrqa("eval", "merge", "r.jsonl", "-o", "r.jsonl"), "one of the results"),
        (uhrqa("score", "r.jsonl", "--json", "none/a"), "no directory none"),
        (uhrqa("eval", "export", "r.jsonl", "--to", "lrs-vqa", "-o", "."), "it is a directory"),
    ):
        assert outcome.code == 6
        assert what in outcome.err.splitlines()[-1]
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == held
