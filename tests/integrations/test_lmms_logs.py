"""lmms-eval scores our exports as we do, and we read what it logs: `make test-lmms`."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.makers import CHANGES, CHOICES, MANY, code, picture, row
from uhrqa.benchmarks.exports import exported
from uhrqa.benchmarks.imports import read_any
from uhrqa.benchmarks.rows import SCHEMA, BenchRow, Outcome
from uhrqa.benchmarks.scores import figures
from uhrqa.benchmarks.task import Task

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lmms_eval") is None, reason="lmms-eval is not installed"
)
TASK = """\
task: NAME
dataset_path: parquet
dataset_kwargs: {data_files: {train: DATA}}
test_split: train
output_type: generate_until
doc_to_visual: !function theirs.STEM_doc_to_visual
doc_to_text: !function theirs.STEM_doc_to_text
doc_to_target: answer
generation_kwargs: {max_new_tokens: 16}
process_results: !function theirs.STEM_process_results
metric_list:
"""
METRIC = """\
- {metric: METRIC, aggregation: !function theirs.FUNCTION, higher_is_better: true}
"""
OWN = "uhr_log"
XLRS = [("A C", "AC"), ("Answer: B", "B"), ("(D) Red", "D"), ("", "A")]
MME = ["B", "", "Answer: B", "Best option: B", "lower right", None]


def run_lmms(root: Path, log: str, stem: str, module: str, by: dict[str, str]) -> dict[str, float]:
    """Score a log by lmms-eval's own functions for a task, on data of ours.

    Args:
        root: holds `data.parquet`.
        log: as it was exported; its task gets a name that lmms-eval has no data set for.
        stem: how the task's functions begin.
        module: where they are, in `lmms_eval.tasks`.
        by: name of a metric to the function that averages it.
    """
    for name in ("tasks", "logs"):
        (root / name).mkdir()
    content = json.loads(log)
    assert content["model_configs"]["task"] in known_tasks()
    content["model_configs"]["task"] = OWN
    (root / "logs" / "a.json").write_text(json.dumps(content))
    (root / "tasks" / "theirs.py").write_text(f"from lmms_eval.tasks.{module} import *\n")
    text = TASK.replace("NAME", OWN).replace("DATA", str(root / "data.parquet"))
    text = text.replace("STEM", stem)
    for metric, function in by.items():
        text += METRIC.replace("METRIC", metric).replace("FUNCTION", function)
    (root / "tasks" / "own.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "lmms_eval", "--model", "from_log", "--tasks", OWN,
         "--model_args", f"logs={root / 'logs'}", "--include_path", root / "tasks",
         "--log_samples", "--output_path", root / "out", "--batch_size", "1"],
        capture_output=True, text=True,
    )  # fmt: skip
    found = list((root / "out").rglob("*_results.json"))
    assert found, done.stderr[-3000:]
    results: dict[str, float] = json.loads(found[0].read_text())["results"][OWN]
    return results


def known_tasks() -> set[str]:
    """Names of lmms-eval's tasks."""
    from lmms_eval.tasks import TaskManager

    return set(TaskManager().all_tasks)


def scores(run: Outcome, task: Task, scoring: str) -> dict[str, float]:
    (way,) = figures(run, task, scoring)["ways"]
    return {name: average["value"] for name, average in way["averages"].items()}


def write_data(root: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "data.parquet")


def outcome(task: str, rows: list[BenchRow]) -> Outcome:
    manifest = {
        "schema": SCHEMA, "task": {"name": task}, "strategy": {"name": "uniform"},
        "data": {"records": len(rows)},
    }  # fmt: skip
    return Outcome(manifest, rows)


def test_a_log_of_xlrs_scores_as_here_and_its_samples_come_back(tmp_path: Path) -> None:
    from uhrqa.benchmarks.xlrs import TASK as XLRS_TASK

    names = [MANY, CHANGES, "Complex reasoning/Route planning", "Object properties/Object color"]
    pairs = list(zip(XLRS, names, strict=True))
    write_data(tmp_path, [
        {"index": at, "question": "?", "answer": truth, "category": name, "l2-category": "default",
         "multi-choice options": CHOICES[:4], "image": [{"bytes": picture(), "path": "a.png"}]}
        for at, ((_, truth), name) in enumerate(pairs)
    ])  # fmt: skip
    run = outcome("xlrs", [
        row(at + 1, said, truth, category=name, official={"l2-category": "default"})
        for at, ((said, truth), name) in enumerate(pairs)
    ])  # fmt: skip
    by = {
        "xlrs_micro_score": "xlrs_aggregate_results",
        "xlrs_macro_score": "xlrs_aggregate_results_macro_score",
    }
    theirs = run_lmms(tmp_path, exported(run, "lmms-from-log"), "xlrs", "xlrs.mcq_utils", by)
    ours = scores(run, XLRS_TASK, "official")
    assert theirs["xlrs_micro_score,none"] == pytest.approx(ours["micro (w.Avg)"])
    assert theirs["xlrs_macro_score,none"] == pytest.approx(ours["macro of 13 (lmms-eval)"])
    assert 0 < ours["micro (w.Avg)"] < 1
    (samples,) = (tmp_path / "out").rglob("*_samples_*.jsonl")
    assert scores(read_any(samples), XLRS_TASK, "official") == pytest.approx(ours)


def test_a_log_of_mme_has_an_answer_to_every_record(tmp_path: Path) -> None:
    from uhrqa.benchmarks.mme_realworld import TASK as MME_TASK

    others = [{"category": "Perception/OCR with Complex Context"}]
    data = [{"category": "Perception/Remote Sensing"}] * len(MME) + others
    write_data(tmp_path, [
        {"index": str(at), "bytes": code(), "question": "?", "multi-choice options": CHOICES,
         "answer": "A", "l2-category": "color", **part}
        for at, part in enumerate(data)
    ])  # fmt: skip
    run = outcome("mme-realworld-rs", [
        row(at + 1, said, "A", category="color") for at, said in enumerate(MME)
    ])  # fmt: skip
    run.manifest["data"]["records"] = len(data)
    by = {"mme_realworld_score": "mme_realworld_aggregate_results"}
    log = exported(run, "lmms-from-log")
    theirs = run_lmms(tmp_path, log, "mme_realworld", "mme_realworld.utils", by)
    right = scores(run, MME_TASK, "lmms-eval")["Avg"] * (len(MME) - 1)  # None is left out
    assert right == pytest.approx(2)  # the empty answer, and the A of `Answer: B`
    assert theirs["mme_realworld_score,none"] == pytest.approx(right / len(data))
