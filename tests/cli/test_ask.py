"""`uhrqa ask`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import start


@pytest.fixture
def ask(uhrqa, checkpoint, image):
    def call(*args: object):
        return uhrqa("ask", image, "how many ships?", "-m", checkpoint, "-b", "60", *args)

    return call


def test_the_answer_alone_goes_to_stdout_and_the_account_to_stderr(ask) -> None:
    outcome = ask()
    assert outcome.code == 0
    answer = json.loads(ask("--json").out)["answer"]
    assert outcome.out.split() == "".join(c for c in answer if c.isprintable() or c == " ").split()
    for word in ("/ 60", "vision encode", "relevance pass", "prefill", "decode", "text tokens"):
        assert word in outcome.err
    for word in ("B read", "peak memory", "FLOPs", "seconds", "rfm-dip · budget 60", "loaded in"):
        assert word in outcome.err


def test_quiet_leaves_stderr_empty(ask) -> None:
    assert ask("-q").err == ""


def test_an_empty_answer_is_told(ask, monkeypatch) -> None:
    from dataclasses import replace

    from uhrqa import answer

    real = answer.ask
    monkeypatch.setattr(answer, "ask", lambda *args, **more: replace(real(*args, **more), text=" "))
    note = "uhrqa: note: the model gave an empty answer\n"
    assert note in ask().err
    assert note in ask("--json").err
    assert ask("-q").err == ""


def test_a_question_that_starts_with_a_dash_goes_behind_two(uhrqa, checkpoint, image) -> None:
    for question in (
        "-h of the ships?",
        "-how many?",
        "--how many?",
        "-5?",
        "-m the roof?",
        "-q ?",
    ):
        outcome = uhrqa("ask", image, question)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
        assert "goes behind --" in outcome.err
    args = ("-m", checkpoint, "-b", "60", "--json", "-q", "--", "-h of the ships?")
    assert json.loads(uhrqa("ask", image, *args).out)["question"] == "-h of the ships?"


def test_values_with_dashes_and_spaces_are_not_taken_for_questions(uhrqa, image) -> None:
    for word in ("-m/no such place", "--model=/no such place", "-qm/no"):
        assert "goes behind" not in uhrqa("ask", image, "?", word).err
    assert "goes behind" not in uhrqa("ask", image, "?", "-m", "-no such place").err


def test_rows_in_which_nothing_happened_are_shown_when_verbose(ask) -> None:
    for part in ("relevance pass ", " reused "):
        assert part not in ask("-s", "downsample").err
        assert part in ask("-s", "downsample", "-v").err


def test_levels_of_region_merge_are_called_views(ask) -> None:
    assert " view " in ask("-s", "region-merge").err
    assert " level " in ask().err


def test_an_option_that_leaves_much_of_the_budget_unused_is_named(ask) -> None:
    few = ("-b", "4k", "-o", "keep_ratio=0.01")
    assert "of 4000 tokens: keep_ratio=0.01 allows no more; raise it with --option" in ask(*few).err
    assert "and max_tiles=1 allow no more; raise them" in ask(*few, "-o", "max_tiles=1").err
    assert "no more" not in ask("-b", "4k", "-o", "keep_ratio=1").err  # the image has no more
    assert "no more" not in ask("-o", "keep_ratio=0.9").err  # the budget is used
    err = ask(*few).err
    assert err.index("uhrqa: note: kept ") < err.index("kept / budget")  # before the tables
    assert ask(*few, "-q").err == ""


def test_verbose_adds_the_steps_and_notes_are_always_there(ask) -> None:
    steps = json.loads(ask("--json", "-q").out)["steps"]
    assert steps
    assert "uhrqa: step: " not in ask().err
    err = ask("-v").err
    assert all(f"uhrqa: step: {step}\n" in err for step in steps)
    assert ask("-v", "-q").err == ""


def test_a_budget_above_the_context_is_said_to_be_lowered(ask) -> None:
    assert "uhrqa: note: budget lowered from 100000 to " in ask("-b", "100k").err
    assert ask("-b", "100k", "-q").err == ""


def test_another_rfm_can_be_named(ask, checkpoint) -> None:
    assert ask("--rfm", checkpoint / "rfm.safetensors", "-q").out == ask("-q").out
    outcome = ask("--rfm", checkpoint / "model.safetensors")
    assert outcome.code == 4
    assert "not a Region Focus Module" in outcome.err


def test_json_is_one_line_with_a_schema_and_the_budget_held(ask) -> None:
    outcome = ask("--json", "-q")
    assert outcome.out.count("\n") == 1
    found = json.loads(outcome.out)
    assert found["schema"] == "uhrqa.answer/1"
    assert found["counts"]["kept"] <= 60
    assert found["strategy"]["name"] == "rfm-dip"


def test_options_seed_and_strategy_reach_the_answer(ask) -> None:
    found = json.loads(ask("--json", "-q", "-s", "random", "-o", "level=2", "--seed", "5").out)
    assert found["strategy"] == {"name": "random", "options": {"level": 2}}
    assert found["seed"] == 5


def test_settings_come_from_the_environment_too(uhrqa, monkeypatch, checkpoint, image) -> None:
    monkeypatch.setenv("UHRQA_MODEL", str(checkpoint))
    monkeypatch.setenv("UHRQA_FORMAT", "json")
    monkeypatch.setenv("UHRQA_BUDGET", "50")
    found = json.loads(uhrqa("ask", image, "how many?", "-q").out)
    assert found["counts"]["budget"] == 50


def test_a_dash_reads_the_question_from_stdin(uhrqa, monkeypatch, checkpoint, image) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"how many ships?\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    outcome = uhrqa("ask", image, "-", "-m", checkpoint, "-b", "60", "--json", "-q")
    assert json.loads(outcome.out)["question"] == "how many ships?"


def test_a_budget_too_small_names_the_least_feasible(uhrqa, checkpoint, image) -> None:
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "-b", "1")
    assert outcome.code == 7
    assert "use -b" in outcome.err


def test_a_cap_on_tiles_holds_and_is_refused_when_too_small(ask) -> None:
    assert ask("--max-tiles", "1").code == 7
    found = json.loads(ask("--max-tiles", "20", "--json", "-q").out)
    assert found["counts"]["tiles_encoded"] <= 20


def test_the_notice_of_a_model_is_shown_once_and_not_when_quiet(ask, monkeypatch) -> None:
    from dataclasses import replace

    from uhrqa.vlm import card

    real = card.load_card
    monkeypatch.setattr(card, "load_card", lambda name: replace(real(name), notice="drawn scenes"))
    assert ask().err.count("uhrqa: note: drawn scenes\n") == 1
    assert "drawn scenes" not in ask("-q").err


def test_an_answer_comes_out_where_stderr_cannot_be_written(checkpoint, image) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("ask", image, "?", "-m", checkpoint, "-b", "60", "--json", stderr=full)
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "answer" in json.loads(out)


@pytest.mark.parametrize("bytes_", [b"bad \xff", b"bad \xed\xa0\x80"])
def test_a_question_that_is_not_utf8_is_refused(uhrqa, monkeypatch, image, bytes_) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes_)))
    for question in ("-", bytes_.decode("utf-8", "surrogateescape")):
        outcome = uhrqa("ask", image, question)
        assert outcome.code == 3
        assert outcome.err == "uhrqa: error: the question is not valid UTF-8\n"


def test_closed_streams_are_one_line(uhrqa, monkeypatch, checkpoint, image) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", None)
        outcome = uhrqa("ask", image, "-")
        assert (outcome.code, outcome.err.count("\n")) == (3, 1)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", None)
        outcome = uhrqa("ask", image, "?", "-m", checkpoint, "-b", "60", "-q")
        assert (outcome.code, outcome.err.count("\n")) == (6, 1)


def test_tokens_dropped_inside_the_decoder_are_told_from_those_that_enter(ask) -> None:
    assert "enter" not in ask().err
    counts = json.loads(ask("-s", "fastv", "--json").out)["counts"]
    first, last = (stage["tokens"] for stage in counts["stages"])
    assert last < counts["kept"] <= 60 < first == counts["entering"]
    told = (
        f"{first} visual tokens enter, {last} stay to the last layer; {counts['kept']} on average"
    )
    assert told in ask("-s", "fastv").err


def test_choices_are_answered_with_one_of_them_and_json_has_probabilities(ask) -> None:
    assert ask("--choices", "A,B,C", "-q").out.strip() in {"A", "B", "C"}
    found = json.loads(ask("--choices", "yes,no", "--json", "-q").out)
    assert [choice["text"] for choice in found["choices"]] == ["yes", "no"]
    assert sum(choice["probability"] for choice in found["choices"]) == pytest.approx(1)
    best = max(found["choices"], key=lambda choice: choice["probability"])
    assert found["answer"] == best["text"]
    outcome = ask("--choices", "A")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)


def test_choices_are_told_in_the_account(ask) -> None:
    assert "choices: " in ask("--choices", "yes,no").err
    assert "choices: " not in ask().err
