"""Averages, intervals, tests of pairs, leaderboards and exports, from rows alone."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.makers import CHOICES, row, write_lines
from uhrqa.benchmarks import TASKS
from uhrqa.benchmarks.boards import boards, caveats, recomputed, sizes_of
from uhrqa.benchmarks.exports import MISSING, exported
from uhrqa.benchmarks.imports import read_any
from uhrqa.benchmarks.letters import mme_authors, mme_lmms_eval, mme_vlmevalkit, xlrs_letters
from uhrqa.benchmarks.paired import gaps, mcnemar, oddities
from uhrqa.benchmarks.rows import SCHEMA, BenchRow, Outcome, merged, read_outcome, write_outcome
from uhrqa.benchmarks.scores import Scored, average_of, cells_of, figures, interval_of
from uhrqa.benchmarks.task import Average
from uhrqa.errors import OutputError, QuestionError, UnknownNameError


def outcome(task: str, *rows, **parts) -> Outcome:
    manifest = {
        "schema": SCHEMA, "task": {"name": task, "version": "1"}, "data": {"digest": "d"},
        "strategy": {"name": "uniform"}, "model": {"name": "tiny"},
        "prompt": next(iter(TASKS.load(task).prompts)), **parts,
    }  # fmt: skip
    return Outcome(manifest, rows)


def scored(*shares: tuple[str, int, int]) -> list[Scored]:
    """Right and asked by category, every question about an image of its own."""
    entries: list[Scored] = []
    for category, right, asked in shares:
        for index in range(asked):
            number = len(entries) + 1
            entries.append(Scored(row(number, "B", category=category), "B", index < right))
    return entries


def test_micro_is_right_by_asked_and_macro_the_mean_of_categories() -> None:
    cells = cells_of(scored(("a", 1, 4), ("b", 1, 1)))
    assert average_of(Average("", "micro"), cells) == 2 / 5
    assert average_of(Average("", "macro"), cells) == (1 / 4 + 1) / 2
    assert average_of(Average("", "macro", ("b", "c")), cells) == 1
    assert average_of(Average("", "macro", ("b", "c"), absent=True), cells) == 1 / 2
    assert average_of(Average("", "micro", ("c",)), cells) is None


def test_both_averages_of_xlrs_and_that_of_lmms_eval_are_told() -> None:
    names = TASKS.load("xlrs").sizes
    rows = [row(1, "B", category=next(iter(names))), row(2, "A", category=list(names)[1])]
    way = figures(outcome("xlrs", *rows), TASKS.load("xlrs"))["ways"][0]
    found = {name: value["value"] for name, value in way["averages"].items()}
    assert found["micro (w.Avg)"] == found["macro"] == 1 / 2
    assert found["macro of 13 (lmms-eval)"] == 1 / 13
    assert sum(names.values()) == 3080
    assert len(names) == 13


def test_the_interval_holds_the_figure_is_the_same_every_time_and_goes_over_images() -> None:
    entries = scored(("a", 30, 60), ("b", 10, 40))
    for kind in ("micro", "macro"):
        average = Average("", kind)
        low, high = interval_of(average, entries)  # type: ignore[misc]
        assert low < average_of(average, cells_of(entries)) < high  # type: ignore[operator]
        assert (low, high) == interval_of(average, entries)
    one_image = [Scored(row(n, "B", group=1), "B", n % 2 == 0) for n in range(1, 9)]
    assert interval_of(Average("", "micro"), one_image) is None


def test_questions_without_an_answer_are_left_out_and_told() -> None:
    rows = [row(1, "B"), row(2, None), row(3, None, error="unsupported: …", pasted=2)]
    way = figures(outcome("mme-realworld-rs", *rows), TASKS.load("mme-realworld-rs"))["ways"][0]
    assert way["averages"]["Avg"]["value"] == 1
    assert way["share_of_all"] == 1 / 3
    assert way["unanswered"] == {"missing image": 1, "unsupported": 1}


def test_dialogues_count_where_every_turn_is_right() -> None:
    turns: dict[str, Any] = {"category": "multturn_anomaly_detection", "group": 1}
    rows = [row(1, "B", turn=1, **turns), row(2, "A", turn=2, **turns),
            row(3, "B", turn=1, **turns | {"group": 3})]  # fmt: skip
    way = figures(outcome("rshr", *rows), TASKS.load("rshr"))["ways"][0]
    assert way["dialogues"] == {"dialogues": 2, "all_turns_right": 1}


def test_an_unknown_scoring_is_one_line() -> None:
    with pytest.raises(UnknownNameError, match="unknown scoring 'strickt' of xlrs; did you mean"):
        figures(outcome("xlrs", row(1, "B")), TASKS.load("xlrs"), "strickt")


@pytest.mark.parametrize(
    ("gained", "lost", "chance"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (8, 2, 0.109375)]
)
def test_mcnemars_test_by_hand(gained: int, lost: int, chance: float) -> None:
    assert mcnemar(gained, lost) == mcnemar(lost, gained) == chance


def test_two_runs_are_paired_question_by_question() -> None:
    one = outcome("mme-realworld-rs", *(row(n, "B") for n in range(1, 9)), row(9, None))
    other = outcome("mme-realworld-rs", *(row(n, "B" if n > 5 else "C") for n in range(1, 10)))
    whole, color = gaps(one, other)
    assert (whole.count, whole.first, whole.second) == (8, 8, 3)
    assert (whole.gained, whole.lost, whole.chance) == (5, 0, 0.0625)
    assert (color.name, color.count) == ("color", 8)
    with pytest.raises(OutputError, match="not of the same data"):
        gaps(one, outcome("mme-realworld-rs", row(1, "B"), data={"digest": "other"}))


def test_published_averages_follow_from_their_rows_where_they_are_said_to() -> None:
    checked = 0
    for board in boards():
        sizes = sizes_of(TASKS.load(board.task), board.subset)
        for entry in board.rows:
            anew = recomputed(board, entry, sizes)
            close = [
                abs(value - printed) < 0.065
                for value, printed in zip(anew, entry.printed, strict=True)
                if value is not None
            ]
            assert all(close) == entry.consistent, (board.title, entry.name, anew)
            checked += entry.consistent
    assert checked >= 80


def test_what_keeps_a_run_from_a_leaderboard_is_told() -> None:
    task = TASKS.load("mme-realworld-rs")
    board = next(board for board in boards() if board.task == task.name)
    lite = outcome(task.name, row(1, None), prompt="readme")
    cells = cells_of(scored(("color", 1, 50), ("count", 1, 50), ("position", 1, 50)))
    told = caveats(board, task, lite, cells, scoring="strict", measure="accuracy")
    assert told == [
        "scored by 'strict', not as the authors do",
        "prompt 'readme'",
        "the Lite split: 150 of 3738 questions",
        "1 questions without an answer",
    ]
    whole = cells_of(scored(*((name, 1, size) for name, size in task.sizes.items())))
    plain = outcome(task.name, row(1, "B"))
    assert caveats(board, task, plain, whole, scoring="official", measure="accuracy") == []
    assert "exact match alone" in caveats(
        board, task, plain, whole, scoring="official", measure="exact match"
    )[0]  # fmt: skip


def test_caveats_are_those_of_the_subset_and_of_a_part_where_sizes_are_not_known() -> None:
    task = TASKS.load("lrs-vqa")
    fair, bridge, star = (board for board in boards() if board.task == task.name)
    rows = [row(1, "B", subset="FAIR"), row(2, None, subset="STAR")]
    told = {
        board.subset: caveats(
            board, task, outcome(task.name, *rows), {}, scoring="official", measure="accuracy"
        )
        for board in (fair, bridge, star)
    }
    assert "1 questions without an answer" in told["STAR"]
    assert "1 questions without an answer" not in told["FAIR"] + told["GLH-Bridge"]
    rshr = TASKS.load("rshr")
    board = next(board for board in boards() if board.task == "rshr")
    run = outcome("rshr", row(1, "B"), limit=1)
    assert caveats(board, rshr, run, {}, scoring="official", measure="accuracy") == [
        "a part of the questions: --limit"
    ]


def test_exports_hold_what_others_read() -> None:
    asked = row(4, "two", "2", category="count", subset="FAIR")
    (line,) = map(json.loads, exported(outcome("lrs-vqa", asked), "lrs-vqa").splitlines())
    assert (line["id"], line["question_id"], line["text"]) == ("q4", "q4", "two")
    (record,) = json.loads(exported(outcome("mme-realworld-rs", row(1, "B")), "mme"))
    assert record["Output"] == "B"
    assert record["Subtask"] == "Remote Sensing"
    run = outcome("xlrs", row(3, "A C", "AC", category="x/y", official={"l2-category": "default"}))
    log = json.loads(exported(run, "lmms-from-log"))
    assert log["logs"][2] == {"doc_id": 2, "resps": [["A C"]]}
    assert log["args"]["limit"] is None
    assert log["model_configs"]["task"] == "xlrs-lite"
    (sample,) = map(json.loads, exported(run, "lmms-samples").splitlines())
    assert sample["xlrs_micro_score"] == sample["xlrs_macro_score"] == {
        "question_id": "q3", "category": "x", "sub_category": "y", "task_category": "default",
        "pred_answer": "AC", "answer": "AC",
    }  # fmt: skip
    silent = outcome("mme-realworld-rs", row(1, None))
    (cell,) = csv.DictReader(io.StringIO(exported(silent, "vlmevalkit")), delimiter="\t")
    assert mme_vlmevalkit(cell["prediction"], CHOICES) == xlrs_letters(cell["prediction"]) == ""
    assert "fail" not in cell["prediction"].lower()  # which `run.py --mode eval` takes for unasked
    assert cell["category"] == "Perception/Remote Sensing"


def test_samples_of_mme_are_as_lmms_eval_writes_them_unanswered_ones_too() -> None:
    run = outcome("mme-realworld-rs", row(1, "Best option: C", "C"), row(2, None))
    one, other = map(json.loads, exported(run, "lmms-samples").splitlines())
    assert one["mme_realworld_score"] == {
        "question_id": "q1", "category": "Perception", "sub_category": "Remote Sensing",
        "task_category": "color", "pred_answer": "C", "answer": "C",
    }  # fmt: skip
    assert (other["doc_id"], other["mme_realworld_score"]["pred_answer"]) == (1, "")


def test_a_log_for_lmms_eval_holds_no_truths_and_says_so(tmp_path: Path) -> None:
    run = outcome("xlrs", row(1, "A", category="x/y"))
    path = tmp_path / "xlrs-lite.json"
    path.write_text(exported(run, "lmms-from-log"))
    with pytest.raises(QuestionError, match="is a log for lmms-eval's from_log, and holds no"):
        read_any(path)


def test_answer_files_of_others_are_paired_by_id_whatever_their_order(tmp_path: Path) -> None:
    rows = [row(1, "A", "A"), row(2, "B", "C"), row(3, "D", "D")]
    for name, order in (("a", rows), ("b", [replace(r, number=4 - r.number) for r in rows])):
        text = exported(outcome("mme-realworld-rs", *order), "mme")
        (tmp_path / f"{name}.json").write_text(text)
    one, other = (read_any(tmp_path / f"{name}.json") for name in "ab")
    assert [r.id for r in one.rows] == [r.id for r in other.rows][::-1]
    whole, *_ = gaps(one, other)
    assert (whole.count, whole.first, whole.second) == (3, 2, 2)
    assert (whole.gained, whole.lost) == (0, 0)


def test_answer_files_with_other_truths_or_doubled_ids_are_told() -> None:
    def others(*rows: BenchRow) -> Outcome:
        made = outcome("mme-realworld-rs", *rows)
        return replace(made, manifest={**made.manifest, "from": "a"})

    rows = [row(1, "A", "A"), row(2, "B", "C"), row(3, "D", "D")]
    assert oddities(others(*rows), others(*rows[::-1])) == []
    twice = others(*rows, replace(rows[0], number=4))
    assert oddities(twice, others(*rows)) == [
        "ids that A has more than once, paired in their order: 1 (q1)"
    ]
    other = others(rows[0], replace(rows[1], truth="A"), rows[2])
    assert oddities(others(*rows), other) == [
        "ids whose truth in A is not that in B, left out: 1 (q2)"
    ]


def test_questions_of_one_id_are_paired_one_by_one() -> None:
    rows = [replace(row(n, "B"), id="x") for n in (1, 2, 3)]
    theirs = outcome("mme-realworld-rs", rows[0], replace(rows[1], prediction="C"), rows[2])
    ours = outcome("mme-realworld-rs", *rows)
    one, other = (replace(o, manifest={**o.manifest, "from": "a"}) for o in (ours, theirs))
    whole, *_ = gaps(one, other)
    assert (whole.count, whole.first, whole.second, whole.gained) == (3, 3, 2, 1)


def test_a_log_has_an_answer_to_every_record_and_what_was_not_answered_is_wrong() -> None:
    data = {"records": 6, "files": ["train.parquet"]}
    run = outcome("mme-realworld-rs", row(2, ""), row(4, None), row(5, "B"), data=data)
    said = [part["resps"][0][0] for part in json.loads(exported(run, "lmms-from-log"))["logs"]]
    assert (said[1], said[4]) == ("", "B")
    assert said[0] == said[2] == said[3] == said[5]
    assert mme_authors(said[0], CHOICES) == mme_lmms_eval(said[0], CHOICES) == ""
    assert xlrs_letters(said[0]) == ""
    assert [part["Output"] for part in json.loads(exported(run, "mme"))] == ["", said[0], "B"]
    limited = outcome("mme-realworld-rs", row(2, "B"), data=data, limit=1)
    assert len(json.loads(exported(limited, "lmms-from-log"))["logs"]) == 2


@pytest.mark.parametrize("said", ["", "NA", "None", "3", "1e5", "nan", "B", 'a "B"\tor\nC'])
def test_vlmevalkits_table_holds_texts_that_score_the_same(said: str) -> None:
    table = exported(outcome("mme-realworld-rs", row(1, said)), "vlmevalkit")
    (cell,) = csv.DictReader(io.StringIO(table), delimiter="\t")
    found = cell["prediction"]
    assert found not in MISSING
    with pytest.raises(ValueError, match="could not convert"):
        float(found)
    for rule in (mme_vlmevalkit, xlrs_letters):
        assert rule(found, CHOICES) == rule(said, CHOICES)


@pytest.mark.parametrize(
    ("rows", "files", "name"),
    [
        ([row(1, "B")], ["MME-RealWorld-Lite.tsv"], "mmerealworld_lite"),
        ([row(number, "B") for number in range(150)], ["train.parquet"], "mmerealworld_lite"),
        ([row(1, "B", question="颜色")], ["MME_RealWorld_CN.json"], "mmerealworld_cn"),
        ([row(1, "B")], ["MME_RealWorld.json"], "mmerealworld"),
    ],
)
def test_a_log_names_the_task_of_lmms_eval(rows: list, files: list[str], name: str) -> None:
    run = outcome("mme-realworld-rs", *rows, data={"files": files})
    assert json.loads(exported(run, "lmms-from-log"))["model_configs"]["task"] == name


def test_a_form_of_another_benchmark_is_refused() -> None:
    with pytest.raises(OutputError, match="form 'mme' is for mme-realworld-rs"):
        exported(outcome("xlrs", row(1, "B")), "mme")
    with pytest.raises(OutputError, match="lmms-eval has no task for lrs-vqa"):
        exported(outcome("lrs-vqa", row(1, "B")), "lmms-from-log")
    with pytest.raises(UnknownNameError, match="unknown form 'lmms'"):
        exported(outcome("lrs-vqa", row(1, "B")), "lmms")


@pytest.mark.parametrize(
    ("task", "form", "said", "truth"),
    [("lrs-vqa", "lrs-vqa", "two", "2"), ("mme-realworld-rs", "mme", "Answer: B", "A"),
     ("lrs-gro", "lrs-gro", "Yes", "yes"), ("mme-realworld-rs", "vlmevalkit", "b", "B"),
     ("xlrs", "vlmevalkit", "A C", "AC"), ("xlrs", "lmms-samples", "A C", "AC"),
     ("mme-realworld-rs", "lmms-samples", "b", "B")],
)  # fmt: skip
def test_what_is_exported_can_be_scored_again(
    tmp_path: Path, task: str, form: str, said: str, truth: str
) -> None:
    ours = outcome(task, row(1, said, truth, category="x/y" if task == "xlrs" else "count"))
    path = tmp_path / {"mme": "a.json", "vlmevalkit": "a.tsv"}.get(form, "a.jsonl")
    path.write_text(exported(ours, form))
    back = read_any(path)
    assert back.manifest["task"]["name"] == task
    assert [(r.prediction, r.truth, r.category) for r in back.rows] == [
        (said, truth, ours.rows[0].category)
    ]


def test_answers_as_the_authors_inference_scripts_leave_them_are_scored(tmp_path: Path) -> None:
    """MME-RealWorld's writes `output` where its scorer wants `Output`; LRS-VQA's has no `id`."""
    (record,) = json.loads(exported(outcome("mme-realworld-rs", row(1, "B")), "mme"))
    record["output"] = record.pop("Output")
    (tmp_path / "a.json").write_text(json.dumps([record]))
    (back,) = read_any(tmp_path / "a.json").rows
    assert (back.prediction, back.truth) == ("B", "B")
    line = {"question_id": "FAIR_1", "prompt": "?", "category": "count", "text": "two"}
    path = write_lines(tmp_path / "a.jsonl", [line | {"ground_truth": "2"}])
    (back,) = read_any(path).rows
    assert (back.id, back.subset, back.prediction) == ("FAIR_1", "FAIR", "two")


@pytest.mark.parametrize(
    ("answers", "said"), [(("x", None), "x"), (("x", "y"), "y"), ((None, None), None)]
)
def test_the_second_answer_of_lrs_gro_counts_where_there_is_one(
    tmp_path: Path, answers: tuple, said: str | None
) -> None:
    line = {"question_id": "1", "ground_truth": "x", "type": "global"}
    line |= dict(zip(("answer1", "answer2"), answers, strict=True))
    (back,) = read_any(write_lines(tmp_path / "a.jsonl", [line])).rows
    assert back.prediction == said


def test_a_file_of_no_known_form_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(QuestionError, match="is no result of ours, nor one of"):
        read_any(write_lines(tmp_path / "x.jsonl", [{"a": 1}]))
    with pytest.raises(QuestionError, match="cannot be read"):
        read_any(tmp_path / "none.jsonl")


def test_shards_are_put_together_in_the_order_of_one_run(tmp_path: Path) -> None:
    rows = [row(1, "A"), row(3, "B", group=1), row(2, "C"), row(4, "D")]
    parts = [
        outcome("xlrs", *rows[:2], shard=[1, 2]),
        outcome("xlrs", *rows[2:], shard=[2, 2]),
    ]
    whole = merged([(Path("b"), parts[1]), (Path("a"), parts[0])])
    assert list(whole.rows) == rows
    assert "shard" not in whole.manifest
    write_outcome(whole, tmp_path / "w.jsonl")
    assert read_outcome(tmp_path / "w.jsonl") == whole
    with pytest.raises(OutputError, match="is there already"):
        write_outcome(whole, tmp_path / "w.jsonl")
    with pytest.raises(OutputError, match="is in a too"):
        merged([(Path("a"), parts[0]), (Path("b"), parts[0])])
    other = outcome("xlrs", *rows[2:], shard=[2, 2], seed=1)
    with pytest.raises(OutputError, match="b: holds rows of another run: its seed is 1"):
        merged([(Path("a"), parts[0]), (Path("b"), other)])
