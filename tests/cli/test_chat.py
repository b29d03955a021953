"""`uhrqa chat`."""

from __future__ import annotations

import io
import json
import signal
from dataclasses import replace
from typing import Any

import pytest


@pytest.fixture
def chat(uhrqa, checkpoint, image, monkeypatch):
    """Run the command with lines on a piped stdin."""

    def call(lines: bytes, *args: object):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
        return uhrqa("chat", image, "-m", checkpoint, "-b", "60", *args)

    return call


def test_each_line_gets_its_answer_and_tiles_are_encoded_once(chat) -> None:
    outcome = chat(b"how many ships?\n\nwhat color?\nhow many?\n", "--json", "-q")
    assert (outcome.code, outcome.err) == (0, "")
    first, second, third = map(json.loads, outcome.out.splitlines())
    assert [entry["question"] for entry in (first, second, third)] == [
        "how many ships?", "what color?", "how many?",
    ]  # fmt: skip
    assert (first["history"], second["history"], third["history"]) == (0, 1, 2)
    assert second["counts"]["tiles_encoded"] < first["counts"]["tiles_encoded"]
    assert second["counts"]["tiles_reused"] > 0


def test_stdout_carries_answers_alone(chat) -> None:
    outcome = chat(b"how many ships?\n/where\n/cost\n")
    assert outcome.out.count("\n") == 1
    for word in ("tiles encoded", "source px", "vision encode", "400 x 300 px"):
        assert word in outcome.err
    assert "> " not in outcome.err  # nobody types


def test_commands_that_are_asked_for_speak_even_when_quiet(chat) -> None:
    err = chat(b"how many ships?\n/where\n/nonsense\n", "-q").err
    boxes = [line for line in err.splitlines() if line.count(" \u00b7 ") == 2 and line[0].isdigit()]
    assert 0 < len(boxes) <= 10
    scores = [float(line.rpartition(" ")[2]) for line in boxes]
    assert scores == sorted(scores, reverse=True)
    assert "no command /nonsense" in err
    assert chat(b"/where\n/cost\n", "-q").err.count("nothing was answered yet") == 2


@pytest.mark.parametrize("bad", [b"many ships " * 5000, b"what is in <image>?", b"bad \xff"])
def test_a_bad_question_does_not_end_the_session(chat, bad: bytes) -> None:
    outcome = chat(bad + b"\nhow many?\n", "--json", "-q")
    assert outcome.code == 1
    error, answer = map(json.loads, outcome.out.splitlines())
    assert set(error) == {"question", "error"}
    assert "answer" in answer
    assert outcome.err.count("uhrqa: error: ") == 1


def test_quit_ends_before_the_rest_is_read(chat) -> None:
    outcome = chat(b"how many?\n/quit\nwhat color?\n", "-q")
    assert (outcome.code, outcome.out.count("\n")) == (0, 1)


def test_history_is_off_where_the_card_says_so(chat, monkeypatch) -> None:
    from uhrqa.vlm import card

    real = card.load_card
    monkeypatch.setattr(card, "load_card", lambda name: replace(real(name), history=0))
    lines = b"how many?\nwhat color?\n"
    outcome = chat(lines, "--json")
    assert [json.loads(line)["history"] for line in outcome.out.splitlines()] == [0, 0]
    assert "each question is asked alone" in outcome.err
    outcome = chat(lines, "--json", "--history", "3")
    assert [json.loads(line)["history"] for line in outcome.out.splitlines()] == [0, 1]
    assert "asked alone" not in outcome.err


def test_a_closed_stdin_is_one_line(chat, uhrqa, image, checkpoint, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    outcome = uhrqa("chat", image, "-m", checkpoint)
    assert (outcome.code, outcome.err.count("\n")) == (3, 1)


class Terminal(io.TextIOWrapper):
    """Where somebody types."""

    def isatty(self) -> bool:
        return True


def test_ctrl_c_stops_the_answer_alone_and_ctrl_d_ends_with_0(
    uhrqa, checkpoint, image, monkeypatch
) -> None:
    from uhrqa.answer import ask as real

    calls = iter("ab")

    def ask(*args: Any, **more: Any):
        if next(calls) == "a":
            signal.raise_signal(signal.SIGINT)
        return real(*args, **more)

    monkeypatch.setattr("uhrqa.conversation.ask", ask)
    monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO(b"how many?\nwhat color?\n")))
    outcome = uhrqa("chat", image, "-m", checkpoint, "-b", "60", "--json")
    assert outcome.code == 0
    first, second = map(json.loads, outcome.out.splitlines())
    assert first == {"question": "how many?", "error": "stopped"}
    assert (second["question"], second["history"]) == ("what color?", 0)
    assert outcome.err.count("> ") == 3
    assert "/where" in outcome.err


def test_ctrl_c_at_the_prompt_drops_the_line_alone(uhrqa, checkpoint, image, monkeypatch) -> None:
    class Bytes(io.BytesIO):
        stopped = False

        def readline(self, size: int | None = -1) -> bytes:
            if not self.stopped:
                self.stopped = True
                raise KeyboardInterrupt
            return super().readline(size)

    args = ("chat", image, "-m", checkpoint, "-b", "60", "-q")
    monkeypatch.setattr("sys.stdin", Terminal(Bytes(b"how many?\n")))
    outcome = uhrqa(*args)
    assert (outcome.code, outcome.out.count("\n")) == (0, 1)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Bytes(b"how many?\n")))
    assert uhrqa(*args).code == 130  # nobody is there to type another


def test_a_region_in_other_bands_is_talked_about(chat) -> None:
    reading = ("--bands", "2", "--stretch", "minmax")
    outcome = chat(b"how many?\n", "--json", "-q", "--roi", "100,50,300,250", *reading)
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert found["image"]["roi"] == "100,50,300,250"
    assert found["image"]["shown"]["bands"] == [2]
    boxes = [entry["box"] for entry in found["evidence"]]
    assert min(box[0] for box in boxes) == 100
    assert max(box[3] for box in boxes) == 250


def test_a_chat_about_no_place_does_not_begin(chat) -> None:
    outcome = chat(b"how many?\n", "--gsd-in-prompt")
    assert (outcome.code, outcome.out) == (3, "")
    assert "holds no georeferencing" in outcome.err
