"""Seconds for scoring a whole benchmark; seconds and memory for an index of 100,000 questions.

    python -m benchmarks.scoring [--questions 100000] [--runs 3]

Writes made-up answers to as many questions as LRS-VQA has (7,333, a third of them right, some by a
synonym), and indices of made-up questions as JSON lines and as one JSON array. Each is read in
processes of their own; the best run is shown, as wall and CPU seconds, and the peak of that
process's memory, Python and libraries included. Start-up, that is imports, is not in the seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uhrqa.benchmarks import TASKS
from uhrqa.benchmarks.imports import read_any
from uhrqa.benchmarks.lrs_vqa import SIZES
from uhrqa.benchmarks.rows import SCHEMA, BenchRow
from uhrqa.benchmarks.scores import figures
from uhrqa.machine import peak_memory

BARS = {"score": (5.0, None), "lrs-vqa": (2.0, 300), "mme-realworld-rs": (2.0, 300)}  # s, MB
ANSWERS = ("two", "grey", "urban.", "buildings", "next to the road", "airplane", "4", "Yes")
TRUTHS = ("2", "gray", "urban", "building", "next to the road", "aircraft", "5", "yes")
ALIKE = 6  # questions about one image
CHOICES = ["(A) Red", "(B) White", "(C) Blue", "(D) Grey", "(E) This image doesn't feature it."]


def write_answers(path: Path) -> int:
    """A result file with an answer to each question of LRS-VQA; gives their number."""
    manifest = {
        "schema": SCHEMA, "task": {"name": "lrs-vqa", "version": "1"},
        "strategy": {"name": "rfm-dip"}, "prompt": "paper",
    }  # fmt: skip
    kinds = [
        (subset, category)
        for subset, sizes in SIZES.items()
        for category, count in sizes.items()
        for _ in range(count)
    ]
    with path.open("w") as file:
        file.write(json.dumps({"manifest": manifest}) + "\n")
        for number, (subset, category) in enumerate(kinds, start=1):
            name = f"{subset}_{number}"
            row = BenchRow(
                name, name, number, number - number % ALIKE, "rfm-dip", category, subset,
                (f"LRS_VQA/image/{number // ALIKE}.tif",), f"Question {number}?", (),
                TRUTHS[number % len(TRUTHS)], f"Question {number}?",
                prediction=ANSWERS[number * 7 // 3 % len(ANSWERS)],
            )  # fmt: skip
            file.write(json.dumps(asdict(row)) + "\n")
    return len(kinds)


def lrs_records(count: int) -> Iterator[dict[str, Any]]:
    """Questions as LRS-VQA has them."""
    for number in range(count):
        yield {
            "question_id": f"FAIR_{number}", "image": f"LRS_VQA/image/{number // ALIKE}.tif",
            "category": "object color", "ground_truth": "red",
            "text": f"What is the color of the {number}th ship from the left in the image?\n "
            "Answer the question using a single word or phrase.",
            "hbox": [number % 900, 20, number % 900 + 30, 60],
            "rbox": [0.5, 0.5, 9.5, 0.5, 9.5, 9.5, 0.5, 9.5], "abs_size": "small",
            "image_size": [4096, 4096], "size_bin": "32x32",
        }  # fmt: skip


def mme_records(count: int) -> Iterator[dict[str, Any]]:
    """Questions as MME-RealWorld has them."""
    for number in range(count):
        yield {
            "Question_id": f"perception/remote_sensing/color/{number}", "Ground truth": "B",
            "Question Type": "Multiple Choice", "Task": "Perception", "Category": "color",
            "Image": f"remote_sensing/{number // ALIKE}.png", "Subtask": "Remote Sensing",
            "Text": f"What color is the {number}th roof in the picture?", "Answer choices": CHOICES,
        }  # fmt: skip


def work_of(kind: str, path: Path) -> Callable[[], object]:
    """What is timed: `score`, or the load of a task, with all that is imported for it."""
    if kind == "score":
        task = TASKS.load("lrs-vqa")
        return lambda: figures(read_any(path), task)
    load = TASKS.load(kind).load
    return lambda: load(path, "").digest


def measure(kind: str, path: Path) -> None:
    """Print wall and CPU seconds, and the megabytes at the peak."""
    work = work_of(kind, path)
    wall, busy = time.perf_counter(), time.process_time()
    work()
    seconds = time.perf_counter() - wall, time.process_time() - busy
    print(json.dumps([*seconds, peak_memory() / 1e6]))


def best(kind: str, path: Path, runs: int) -> list[float]:
    """The fastest of some runs, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scoring", "--of", kind, str(path)]
    found: list[list[float]] = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(runs)
    ]
    return min(found)


def main() -> None:
    """Write the files, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--of", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.of:
        measure(given.of[0], Path(given.of[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        results, lines, array = (Path(folder, n) for n in ("r.jsonl", "q.jsonl", "q.json"))
        answers = write_answers(results)
        with lines.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in lrs_records(given.questions))
        array.write_text(json.dumps(list(mme_records(given.questions))))
        for kind, path, count in (
            ("score", results, answers),
            ("lrs-vqa", lines, given.questions),
            ("mme-realworld-rs", array, given.questions),
        ):
            wall, busy, peak = best(kind, path, given.runs)
            most, megabytes = BARS[kind]
            bar = f"bar {most:g} s" + (f", {megabytes} MB" if megabytes else "")
            print(f"{kind:17} {count:7}: {wall:5.2f} s ({busy:.2f} of CPU), {peak:4.0f} MB; {bar}")


if __name__ == "__main__":
    main()
