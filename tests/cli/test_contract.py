"""The contract of every command: what goes where, and how it ends."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import start
from uhrqa.cli import app, console
from uhrqa.errors import CheckpointError, RasterError


def is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.startswith("uhrqa: error: ")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("aks",), 2, "Did you mean 'ask'?"),
        (("ask", "a.tif", "?", "--bugdet", "4"), 2, "--budget"),
        (("ask",), 2, "Missing argument 'IMAGE'. See 'uhrqa ask --help'"),
        (("config", "shwo"), 2, "Did you mean 'show'?"),
        (("eval", "snyth"), 2, "Did you mean 'synth'?"),
        (("ask", "a.tif", "?", "-m", "tinny"), 2, "unknown model 'tinny'"),
        (("ask", "a.tif", "?", "-m", "llava-v1.6-vicuna-7", "-b", "1"), 2, "did you mean 'llava"),
        (("ask", "a.tif", "?", "--format", "jsn"), 2, "did you mean 'json'"),
        (("ask", "a.tif", "?", "--dtype", "float64"), 2, "did you mean 'float"),
        (("ask", "a.tif", "?", "--seed", "-1"), 2, "--seed"),
        (("ask", "a.tif", "?", "--seed", 2**63), 2, "--seed"),
        (("ask", "a.tif", "?", "--device", "gpu"), 2, "expected auto, cpu, cuda or cuda:N"),
        (("ask", "a.tif", "?", "--device", "meta"), 2, "expected auto, cpu, cuda or cuda:N"),
        (("ask", "a.tif", "?", "--device", "cuda:x"), 2, "expected auto, cpu, cuda or cuda:N"),
        (("ask", "a.tif", "?", "--rfm", "no.safetensors"), 4, "no.safetensors: cannot be read"),
        (("batch", "q", "-o", "out", "-o", "level=2"), 2, "write --option level=2"),
        (("batch", "q", "-o", "level=2"), 2, "or -o ./level=2 for a file of that name"),
        (("batch", "q", "-o", "a", "-o", "b"), 2, "--output is given 2 times: a, b"),
        (("ask", "a.tif", "?", "--max-tiles", "0"), 2, "--max-tiles"),
        (("ask", "a.tif", "?", "-b", "0"), 2, "budget '0' leaves no token"),
        (("ask", "a.tif", "?", "-b", "lots"), 2, "is not a number of tokens"),
        (("info", "a.tif", "-b", "lots"), 2, "is not a number of tokens"),
        (("profile", "--size", "8x8", "-b", "1k,lots"), 2, "is not a number of tokens"),
        (("ask", "ftp://host/a.tif", "?"), 3, "are read; download it first"),
        (("info", "s3://bucket"), 3, "write for example s3://bucket/image.tif"),
        (("ask", "a.tif", "  "), 3, "the question is empty"),
        (("profile", "a.tif"), 3, "a.tif: no such file"),
        (("profile", "--size", "8x8", "--convention", "papers"), 2, "did you mean"),
        (("profile", "a.tif", "?", "--size", "8x8"), 2, "not both"),
        (("profile", "--size", "8192"), 2, "write WIDTHxHEIGHT"),
        (("profile", "--size", "0x10"), 2, "write WIDTHxHEIGHT"),
        (("synth", "set", "--sides", "12", "-q"), 2, "--sides '12': write whole numbers of 256 to"),
        (("synth", "set", "--format", "png", "-q"), 2, "--format 'png': expected tif or zarr"),
        (("synth", "set", "--first", "-1"), 2, "--first"),
        (("batch", "no.jsonl", "-o", "out"), 3, "no.jsonl: cannot be read"),
    ],
)
def test_a_mistake_ends_with_one_line_and_its_code(uhrqa, checkpoint, args, code, message) -> None:
    known = (
        [*args]
        if "-m" in args or args[0] in ("aks", "config", "synth")
        else [*args, "-m", checkpoint]
    )
    outcome = uhrqa(*(known if len(args) > 1 else args))
    assert outcome.code == code
    assert message in outcome.err
    assert is_one_line(outcome.err)
    assert outcome.out == ""


def test_a_mistyped_strategy_or_option_gets_a_suggestion(uhrqa, checkpoint: Path, image) -> None:
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "-s", "rfmdip")
    assert (outcome.code, "did you mean 'rfm-dip'" in outcome.err) == (2, True)
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "-o", "kep_ratio=1")
    assert (outcome.code, "did you mean 'keep_ratio'" in outcome.err) == (2, True)
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "-o", "keep_ratio")
    assert (outcome.code, "write keep_ratio=VALUE" in outcome.err) == (2, True)
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "-o", "keep_ratio=lots")
    assert (outcome.code, is_one_line(outcome.err)) == (2, True)


def test_a_mistake_on_the_command_line_is_not_blamed_on_a_variable(
    uhrqa, monkeypatch, checkpoint, image
) -> None:
    monkeypatch.setenv("UHRQA_STRATEGY", "uniform")
    args = ("ask", image, "?", "-m", checkpoint)
    assert "error: uniform has no option 'lvel'" in uhrqa(*args, "-o", "lvel=2").err
    args = ("profile", "--size", "800x800", "-m", checkpoint)
    assert "error: unknown strategy 'foo'" in uhrqa(*args, "-s", "foo").err
    monkeypatch.setenv("UHRQA_STRATEGY", "unifrom")
    assert "error: UHRQA_STRATEGY: unknown strategy 'unifrom'" in uhrqa(*args).err


def test_an_option_that_the_card_gets_wrong_is_blamed_on_the_card(
    uhrqa, monkeypatch, checkpoint, image
) -> None:
    from uhrqa.vlm import card

    real = card.load_card
    options = {"uniform": {"lvel": 2}}
    monkeypatch.setattr(card, "load_card", lambda name: replace(real(name), options=options))
    outcome = uhrqa("ask", image, "?", "-m", checkpoint, "-s", "uniform")
    assert outcome.code == 4
    assert "error: model card" in outcome.err
    assert "no option 'lvel'" in outcome.err


def test_a_name_from_a_variable_or_file_is_traced_to_it(uhrqa, monkeypatch, image) -> None:
    monkeypatch.setenv("UHRQA_MODEL", "tinny")
    assert "error: UHRQA_MODEL: unknown model 'tinny'" in uhrqa("ask", image, "?").err
    monkeypatch.delenv("UHRQA_MODEL")
    Path("uhrqa.yaml").write_text("model: tinny\n")
    assert "error: uhrqa.yaml: unknown model 'tinny'" in uhrqa("ask", image, "?").err


@pytest.mark.parametrize(
    ("name", "content"),
    [("no.tif", None), ("empty.tif", b""), ("text.tif", b"just text"), (".", None)],
)
def test_a_bad_image_ends_with_code_3(uhrqa, checkpoint, tmp_path, name, content) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    outcome = uhrqa("ask", name, "?", "-m", checkpoint)
    assert outcome.code == 3
    assert is_one_line(outcome.err)


def test_a_directory_without_a_checkpoint_ends_with_code_4(uhrqa, tmp_path, image) -> None:
    outcome = uhrqa("ask", image, "?", "-m", tmp_path)
    assert outcome.code == 4
    assert "config.json" in outcome.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RasterError("broken"), 3),
        (CheckpointError("broken"), 4),
        (MemoryError(), 5),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 5),
        (RuntimeError("CUDA error: out of memory"), 5),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB."), 5),
        (OSError(28, "No space left on device"), 6),
        (OSError(errno.ENAMETOOLONG, "File name too long", "xxx"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_kind_of_end_has_its_code(capsys, error: BaseException, code: int) -> None:
    def command() -> int:
        raise error

    assert app.guard(command) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_out_of_memory_is_one_line_with_the_remedy(capsys, error: Exception) -> None:
    def load() -> int:
        raise CheckpointError("cannot be loaded") from error

    def run() -> int:
        raise error

    for command in (load, run):
        assert app.guard(command) == 5
        message = capsys.readouterr().err
        assert is_one_line(message)
        assert all(word in message for word in ("out of memory", "-b", "--max-tiles", "--dtype"))


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    def command() -> int:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        app.guard(command)


@pytest.mark.parametrize("args", [["--help"], ["strategies"], ["config", "show"]])
def test_a_full_disk_behind_stdout_is_one_line_and_code_6(args: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        process = start(*args, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 6
    assert is_one_line(err)


def test_a_closed_pipe_ends_quietly() -> None:
    with start("strategies") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == -13  # SIGPIPE; a shell says 141


@pytest.mark.parametrize("args", [["--help"], ["strategies"], ["strategies", "--json"]])
def test_letters_that_stdout_cannot_show_are_no_error(args: list[str], monkeypatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = start(*args)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "?" in out
    if "--json" in args:
        assert json.loads(out)


def test_what_a_terminal_might_obey_is_stripped() -> None:
    assert console.strip_controls("a\x1b[31mred\x1b[0m\x07\x9b2J\u202eb\nc\td") == "ared2Jb\nc\td"
    assert console.strip_controls("\x1b]0;title\x07x\ud800") == "x?"
    assert json.loads(console.dump_json({"a": "\x9b\u202e\ud800é"})) == {"a": "\x9b\u202e\ud800é"}
    assert console.dump_json("\x9bé") == '"\\u009bé"'


def test_no_colour_and_no_bar_where_there_is_no_terminal(uhrqa, checkpoint, image) -> None:
    outcome = uhrqa("ask", image, "how many?", "-m", checkpoint, "-b", "60")
    assert "\x1b" not in outcome.out + outcome.err


def test_our_warnings_are_one_line_on_stderr_and_others_stay_silent() -> None:
    code = (
        "import warnings\nfrom uhrqa.cli.console import prepare_messages\n"
        "from uhrqa.errors import NoOverviewWarning\nprepare_messages(0, {quiet})\n"
        "for _ in range(2): warnings.warn('slow', NoOverviewWarning)\n"
        "warnings.warn('theirs', DeprecationWarning)"
    )
    for quiet, expected in ((False, "uhrqa: warning: slow\n"), (True, "")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(quiet=quiet)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == expected
