"""`uhrqa eval synth`: what goes where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SMALL = ("--scenes", "1", "--sides", "512", "--limit", "2", "-s", "uniform,full", "-b", "60")


@pytest.fixture
def synth(uhrqa, checkpoint):
    """Run it on a small checkpoint and a small scene."""
    return lambda *args: uhrqa("eval", "synth", "-m", checkpoint, *SMALL, *args)


def test_tables_are_on_stdout_and_progress_and_refusals_on_stderr(synth) -> None:
    outcome = synth("-o", "rows.jsonl")
    assert outcome.code == 0
    assert "Right of 2 questions" in outcome.out
    for name in ("uniform", "full", "majority", "blind", "oracle"):
        assert f" {name} " in outcome.out
    assert "uhrqa: scene 1 of 1: 2 questions" in outcome.err
    assert "uhrqa: note: full at 60: 2 questions refused" in outcome.err
    assert synth("-q").err == ""


def test_json_on_stdout_is_alone_and_holds_everything(synth) -> None:
    found = json.loads(synth("-q", "--json", "-").out)
    assert found["schema"] == "uhrqa.eval.synth/1"
    assert found["manifest"]["budgets"] == [60]
    assert found["manifest"]["strategies"]["uniform"] == {"level": 1}
    assert set(found["manifest"]["versions"]) >= {"uhrqa", "torch"}
    assert [(w["strategy"], w["budget"]) for w in found["ways"]] == [
        ("uniform", 60), ("majority", None), ("blind", None), ("oracle", None),
    ]  # fmt: skip
    assert len(found["rows"]) == 8
    assert found["refused"][0]["questions"] == 2


def test_a_report_of_the_rows_needs_no_model_and_is_the_same(synth, uhrqa, monkeypatch) -> None:
    from uhrqa.cli import evaluating as command

    first = synth("-o", "rows.jsonl", "--json", "first.json")
    monkeypatch.setattr(command, "load", lambda *_: pytest.fail("a model is loaded"))
    again = uhrqa("eval", "synth", "-o", "rows.jsonl", "--report-only", "--json", "again.json")
    assert (again.code, again.out) == (0, first.out)
    with open("first.json") as one, open("again.json") as other:  # noqa: PTH123
        assert one.read() == other.read()
    assert synth("-o", "rows.jsonl").out == first.out  # complete: nothing is asked again


def test_a_report_of_a_stopped_run_says_so(synth, uhrqa) -> None:
    synth("-q", "-o", "rows.jsonl")
    lines = Path("rows.jsonl").read_text().splitlines(keepends=True)
    text = lines[0].replace('"scenes": 1', '"scenes": 9').replace('"limit": 2', '"limit": null')
    assert text != lines[0]
    Path("rows.jsonl").write_text("".join([text, *lines[1:]]))
    outcome = uhrqa("eval", "synth", "-o", "rows.jsonl", "--report-only")
    assert outcome.code == 0
    assert "rows of 1 of 9 scenes: the run was stopped" in outcome.err


def test_another_runs_rows_are_refused_with_one_line(synth) -> None:
    synth("-q", "-o", "rows.jsonl")
    outcome = synth("-o", "rows.jsonl", "-b", "80")
    assert outcome.code == 6
    assert "rows.jsonl: holds rows of another run: its budgets is [60], here" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_page_and_a_picture_are_written_beside_each_other(synth, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "docs").mkdir()
    assert synth("-q", "--markdown", "docs/synth.md", "--plot", "docs/synth.svg").code == 0
    assert "](synth.svg)" in (tmp_path / "docs" / "synth.md").read_text()
    assert (tmp_path / "docs" / "synth.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--split", "train"), 2, "expected test or validation"),
        (("--sides", "4k"), 2, "--sides '4k': write whole numbers"),
        (("--sides", "8"), 2, "--sides '8': write whole numbers"),
        (("--scenes", "0"), 2, "--scenes"),
        (("-s", "unifrom"), 2, "did you mean 'uniform'"),
        (("-b", "lots"), 2, "is not a number of tokens"),
        (("--at", "70"), 2, "nothing is asked at that budget; there are 60"),
        (("--plot", "a.pdf"), 2, "ends with .svg or .png"),
        (("--json", "no/a.json"), 6, "there is no directory no"),
        (("--report-only",), 2, "name the file of rows with -o"),
        (("--report-only", "-o", "no.jsonl"), 6, "no.jsonl: cannot be read"),
    ],
)
def test_a_mistake_ends_with_one_line(synth, args, code, message) -> None:
    outcome = synth("-q", *args)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_without_matplotlib_nothing_is_computed(synth, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = synth("-o", "rows.jsonl", "--plot", "a.svg")
    assert (outcome.code, outcome.out) == (2, "")
    assert "pip install 'uhrqa[plot]'" in outcome.err
    assert not (tmp_path / "rows.jsonl").exists()


def test_an_empty_list_of_strategies_is_not_all_of_them(uhrqa) -> None:
    outcome = uhrqa("eval", "synth", "-s", "")
    assert outcome.code == 2
    assert "name a strategy" in outcome.err
