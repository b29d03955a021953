"""VLMEvalKit's `run.py --mode eval` scores our exports as we do: `make test-vlmeval`."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.makers import CHOICES, code, row, write_lines
from uhrqa.benchmarks.exports import exported
from uhrqa.benchmarks.mme_realworld import TASK as MME
from uhrqa.benchmarks.rows import SCHEMA, BenchRow, Outcome
from uhrqa.benchmarks.scores import figures
from uhrqa.benchmarks.task import Task
from uhrqa.benchmarks.xlrs import TASK as XLRS

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vlmeval") is None, reason="VLMEvalKit is not installed"
)
RUN = """
import runpy, sys, types
try:
    import torchvision
except RuntimeError:  # built for CUDA, beside a torch that is not: its operators are not needed
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("none")
from vlmeval.dataset.image_mcq import MMERealWorld
MMERealWorld.DATASET_MD5 = {}  # the data is ours
runpy.run_module("vlmeval.run", run_name="__main__")
"""
PARTS = 15  # files that XLRS-Bench-lite comes in
SAID = ["A C", "Answer: B", "(D) Red", "", "B", "NA", "3", None]
TRUTHS = ["AC", "B", "D", "B", "B", "B", "B", "B"]
LISTED = "The choices are listed below:\n" + "\n".join(CHOICES[:4]) + "\n\nSelect …"


def outcome(task: Task, rows: list[BenchRow]) -> Outcome:
    manifest = {
        "schema": SCHEMA, "task": {"name": task.name}, "strategy": {"name": "uniform"},
        "data": {"records": len(rows)},
    }  # fmt: skip
    return Outcome(manifest, rows)


def write_xlrs(folder: Path) -> Outcome:
    """The data, a record a file, and answers to it."""
    names, rows = list(XLRS.sizes or ()), []
    for at in range(PARTS):
        category, truth = names[at % len(names)], TRUTHS[at % len(TRUTHS)]
        official = {"l2-category": "default"}
        record = {"index": at, "image": code(at), "question": f"Which {at}?", "answer": truth,
                  "multi-choice options": LISTED, "category": category, **official}  # fmt: skip
        write_lines(folder / f"XLRS-Bench-lite_part{at}.jsonl", [record])
        rows.append(
            row(at + 1, SAID[at % len(SAID)], truth, id=at, question=record["question"],
                prompt=f"Which {at}?{LISTED}", category=category, official=official)
        )  # fmt: skip
    return outcome(XLRS, rows)


def write_mme(folder: Path) -> Outcome:
    """The Lite table and answers to it; the first is empty, and so is counted as A."""
    said = ["", "Best option: B", "Answer: B", "<answer>b</answer>", "NA", None]
    truths = ["A", "B", "B", "B", "A", "A"]
    heads = ["index", "image", "question", "multi-choice options", *"ABCDE", "answer", "category",
             "l2-category"]  # fmt: skip
    with (folder / "MME-RealWorld-Lite.tsv").open("w") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(heads)
        for at, truth in enumerate(truths):
            table.writerow(
                [at, code(at), f"Which {at}?", str(CHOICES), *(c[4:] for c in CHOICES), truth,
                 "Perception/Remote Sensing", "color"]
            )  # fmt: skip
    rows = [
        row(at + 1, answer, truth, id=at, question=f"Which {at}?", category="color")
        for at, (answer, truth) in enumerate(zip(said, truths, strict=True))
    ]
    return outcome(MME, rows)


def test_run_py_in_its_evaluation_mode_scores_our_tables_as_we_do(tmp_path: Path) -> None:
    """Questions without an answer are in the tables as wrong ones; nothing is asked."""
    data, work = tmp_path / "data", tmp_path / "work"
    folder = work / "uhrqa" / "T20260101-000000"
    for made in (data, folder):
        made.mkdir(parents=True)
    runs = {"XLRS-Bench-lite": write_xlrs(data), "MME-RealWorld-Lite": write_mme(data)}
    for name, run in runs.items():
        (folder / f"uhrqa_{name}.tsv").write_text(exported(run, "vlmevalkit"))
    done = subprocess.run(
        [sys.executable, "-c", RUN, "--mode", "eval", "--model", "uhrqa", "--data", *runs,
         "--judge", "exact_matching", "--work-dir", work],
        env=os.environ | {"LMUData": str(data), "PRED_FORMAT": "tsv"}, cwd=tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    status = work / "uhrqa" / "status.json"
    assert status.exists(), done.stderr[-3000:]
    found = json.loads(status.read_text())["datasets"]
    theirs = {name: entry.get("metrics") for name, entry in found.items()}
    (ours,) = figures(runs["XLRS-Bench-lite"], XLRS)["ways"]
    macro = ours["averages"]["macro of 13 (lmms-eval)"]["value"]
    assert theirs["XLRS-Bench-lite"]["Overall micro"] == pytest.approx(ours["share_of_all"])
    assert theirs["XLRS-Bench-lite"]["Overall macro"] == pytest.approx(macro)
    assert 0 < macro < 1
    (ours,) = figures(runs["MME-RealWorld-Lite"], MME, "vlmevalkit")["ways"]
    assert ours["right"] == 4
    assert ours["share_of_all"] == pytest.approx(theirs["MME-RealWorld-Lite"]["Overall"])
