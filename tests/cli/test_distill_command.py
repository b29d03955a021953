"""`uhrqa distill`: from a file of questions to a module that `ask --rfm` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.distill.makers import write_questions


@pytest.fixture
def distill(uhrqa, checkpoint, tmp_path: Path):
    """Run it on a small checkpoint, three images and six questions."""
    write_questions(tmp_path)
    return lambda *args: uhrqa(
        "distill", "questions.jsonl", "-m", checkpoint, "-o", "own.safetensors", *args
    )


QUICK = ("--layers", "0,2", "--steps", "3", "--batch", "2", "--lr", "1e-3")


def test_a_module_is_trained_told_of_drawn_and_asked_with(
    distill, uhrqa, checkpoint, image
) -> None:
    outcome = distill(*QUICK, "--json", "found.json", "--plot", "losses.svg")
    assert (outcome.code, outcome.out.startswith("own.safetensors: 2 layers, 3 steps")) == (0, True)
    assert "measured on images held out" in outcome.out
    assert "module" in outcome.out
    assert "teacher" in outcome.out
    assert "step     3 of 3" in outcome.err
    log = Path("own.log").read_text()
    assert "4 questions, 2 held out" in log
    assert "step     3 of 3" in log
    found = json.loads(Path("found.json").read_text())
    assert found["schema"] == "uhrqa.distill/1"
    assert len(found["curve"]) == 3
    assert found["settings"]["layers"] == [0, 2]
    assert [recall["share"] for recall in found["after"]["recalls"]] == [0.002, 0.01, 0.05, 0.25]
    picture = Path("losses.svg").read_text()
    assert all(word in picture for word in ("KL, all tokens", "module distilled", "teacher"))
    asked = uhrqa("ask", image, "?", "-m", checkpoint, "--rfm", "own.safetensors", "--json")
    assert asked.code == 0
    assert {entry["source"] for entry in json.loads(asked.out)["relevance"]} == {"rfm"}
    again = distill(*QUICK)
    assert again.code == 6
    assert "own.safetensors: is there already; train it anew with --overwrite" in again.err
    assert distill(*QUICK, "--overwrite", "-q").err == ""


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--layers", "0,4"), 2, "--layers 0,4: the decoder has layers 0 to 3, no 4"),
        (("--layers", "2,0"), 2, "write each layer once, in ascending order"),
        (("--layers", "a"), 2, "--layers 'a': write whole numbers with commas"),
        (("--rfm-layers", "4"), 2, "--rfm-layers 4: the decoder has 4 layers; give 1 to 3"),
        (("--layers", "0,2", "--rfm-layers", "3"), 2, "are 2, --rfm-layers says 3"),
        (("--layers", "0,1"), 2, "are all layers up to the teacher"),
        (("--layers", "1,3", "--pairs", "0"), 2, "--pairs 0: the last layer"),
        (("--held-out", "3"), 2, "hold out 2 at most"),
        (("--lambda-kl", "0", "--lambda-mse", "0"), 2, "nothing would be learnt"),
        (("--plot", "a.pdf"), 2, ".svg"),
        (("-o", "questions.jsonl"), 2, "write a name that ends with .safetensors"),
        (("-o", "own.bin"), 2, "write a name that ends with .safetensors"),
        (("-o", "no/own.safetensors"), 6, "no/own.safetensors: there is no directory no"),
        (("-o", "."), 2, "-o .: write a name that ends with .safetensors"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_loaded(
    distill, monkeypatch, args, code, message
) -> None:
    monkeypatch.setattr("uhrqa.cli.distill.load", lambda given: pytest.fail("loaded"))
    outcome = distill(*args)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(Path().glob("own.*"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "questions.jsonl: no questions"),
        ('{"image": "0.tif"}', "questions.jsonl: line 1: 'question' is missing"),
        ('{"image": "9.tif", "question": "?"}', "questions.jsonl: line 1: there is no image 9.tif"),
        ('{"image": "0.tif", "question": "?", "hbox": [1]}', "line 1: a box is four numbers"),
        ('{"image": "0.tif", "question": "a <image>"}', "line 1: "),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(distill, lines, message) -> None:
    Path("questions.jsonl").write_text(lines)
    outcome = distill("-q")
    assert outcome.code == 3
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("own.safetensors").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--json", "questions.jsonl"), "questions.jsonl: is the file of questions; name another"),
        (("--json", "0.tif"), "0.tif: is an image of a question; name another one with --json"),
        (("--json", "own.log"), "own.log: is named by -o too; name another one with --json"),
        (("--json", "ck/config.json"), "config.json: is a file of the model; name another one"),
        (
            ("-o", "x" * 300 + ".safetensors"),
            "x.safetensors: cannot be written: File name too long",
        ),
        (("--json", "none/a.json"), "none/a.json: there is no directory none; make it first"),
    ],
)
def test_nothing_that_is_read_is_written_over(distill, checkpoint, args, message) -> None:
    Path("ck").symlink_to(checkpoint)
    held = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    outcome = distill(*QUICK, *args)
    assert (outcome.code, outcome.err.count("\n")) == (6, 1)
    assert message in outcome.err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == held
