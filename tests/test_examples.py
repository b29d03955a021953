"""Everything in `examples/` runs as its text says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_script_runs_and_prints_an_answer(script: Path) -> None:
    assert "token" in run(str(script.relative_to(ROOT)))


def test_every_example_question_names_an_image_that_is_there() -> None:
    lines = (EXAMPLES / "questions.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert records
    assert all((EXAMPLES / record["image"]).is_file() for record in records)
    assert all(record["question"] and record["answer"] for record in records)
