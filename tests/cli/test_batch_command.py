"""`uhrqa batch` with a real model, killed and started again."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import start


@pytest.fixture
def questions(tmp_path: Path, image: str) -> Path:
    """Two images, four questions, one bad image, one bad line."""
    (tmp_path / "b.tif").write_bytes(Path(image).read_bytes())
    (tmp_path / "bad.tif").write_text("text")
    rows = [
        {"image": "a.tif", "question": "how many ships?"},
        {"image": "b.tif", "question": "what colour?"},
        {"image": "a.tif", "question": "how many ships?"},
        {"image": "bad.tif", "question": "how many?", "id": "x"},
        {"image": "a.tif", "question": "rural or urban?"},
    ]
    lines = [json.dumps(row) for row in rows]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join([*lines, "nonsense"]) + "\n")
    return path


def records_of(path: Path) -> dict[str, dict]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({record["id"] for record in records}) == len(records)
    return {record["id"]: record for record in records}


def test_a_batch_answers_what_it_can_and_counts_what_failed(uhrqa, questions, checkpoint) -> None:
    outcome = uhrqa("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "4 answered, 0 done before, 2 failed" in outcome.err
    found = records_of(Path("out.jsonl"))
    assert set(found) == {"line-1", "line-2", "line-3", "x", "line-5", "line-6"}
    assert "error" in found["x"]
    assert "error" in found["line-6"]
    assert found["line-1"]["answer"] == found["line-3"]["answer"]
    assert "evidence" not in found["line-1"]
    # The second question about a.tif finds all its tiles encoded.
    assert found["line-3"]["counts"]["tiles_encoded"] == 0
    assert found["line-3"]["counts"]["tiles_reused"] == found["line-1"]["counts"]["tiles_encoded"]


def test_the_same_command_again_does_nothing_and_another_run_is_refused(
    uhrqa, questions, checkpoint
) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint)
    uhrqa(*args, "-b", "60")
    before = Path("out.jsonl").read_bytes()
    outcome = uhrqa(*args, "-b", "60")
    assert outcome.code == 1
    assert "0 answered, 6 done before, 2 failed" in outcome.err
    outcome = uhrqa(*args, "-b", "61")
    assert outcome.code == 6
    assert "--restart" in outcome.err
    assert Path("out.jsonl").read_bytes() == before


def test_the_file_of_questions_is_never_the_output(uhrqa, questions, checkpoint) -> None:
    before = questions.read_bytes()
    outcome = uhrqa("batch", questions, "-o", questions, "-m", checkpoint, "--restart")
    assert outcome.code == 6
    assert questions.read_bytes() == before


def test_records_go_to_stdout_with_a_dash(uhrqa, questions, checkpoint) -> None:
    outcome = uhrqa("batch", questions, "-o", "-", "-m", checkpoint, "-b", "60", "-q", "--evidence")
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert len(records) == 6
    assert all("evidence" in record for record in records if "error" not in record)
    assert outcome.err == ""


def test_a_model_that_is_broken_is_not_an_error_of_every_question(
    uhrqa, questions, tmp_path
) -> None:
    outcome = uhrqa("batch", questions, "-o", "out.jsonl", "-m", tmp_path)
    assert outcome.code == 4
    assert not Path("out.jsonl").exists()


def test_stopped_by_any_signal_the_same_command_goes_on(
    tmp_path: Path, image: str, checkpoint: Path
) -> None:
    rows = [{"image": "a.tif", "question": f"how many {n}?"} for n in range(60)]
    questions = tmp_path / "many.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out.jsonl"
    output.touch()
    args = ("batch", questions, "-o", output, "-m", checkpoint, "-b", "60")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        before = output.stat().st_size
        process = start(*args)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and output.stat().st_size == before:
            time.sleep(0.005)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert "Traceback" not in err
        assert ("left; run it again to go on" in err) == (number != signal.SIGKILL)
        assert before < output.stat().st_size
    process = start(*args)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "0 done before" not in err
    assert set(records_of(output)) == {f"line-{n}" for n in range(1, 61)}
