"""Help is quick, complete and imports nothing heavy."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import typer

from uhrqa.cli.app import COMMANDS

HEAVY = {
    "torch",
    "transformers",
    "numpy",
    "zarr",
    "tifffile",
    "PIL",
    "imagecodecs",
    "tokenizers",
    "huggingface_hub",
    "matplotlib",
}
LIGHT = [
    ["--help"],
    ["--version"],
    ["models"],
    ["strategies"],
    ["config", "show", "--origin"],
    ["models", "inspect", "--help"],
    *([name, "--help"] for name in COMMANDS),
]


def modules_after(args: list[str]) -> set[str]:
    """Top-level modules a process has imported when a command ends."""
    code = (
        "import sys\n"
        "from uhrqa.cli.app import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("args", LIGHT, ids=" ".join)
def test_no_heavy_package_is_imported(args: list[str]) -> None:
    assert not modules_after(args) & HEAVY


def test_info_imports_no_torch(image: str) -> None:
    assert not modules_after(["info", image, "-m", "llava-v1.6-vicuna-7b"]) & {
        "torch",
        "transformers",
    }


def test_the_top_help_imports_no_command_and_no_library_of_ours() -> None:
    code = (
        "import sys\nfrom uhrqa.cli.app import run\nrun(['--help'])\n"
        "print(*(n for n in sys.modules if n.startswith('uhrqa')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stderr.split()) == {
        "uhrqa",
        "uhrqa.errors",
        "uhrqa.cli",
        "uhrqa.cli.app",
        "uhrqa.cli.usage",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listing_says_what_the_command_itself_says(name: str) -> None:
    command = typer.main.get_command(importlib.import_module(f"uhrqa.cli.{name}").app)
    assert (command.help or "").split("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_two_examples(uhrqa, name: str) -> None:
    outcome = uhrqa(name, "--help")
    assert outcome.code == 0
    _, _, tail = outcome.out.partition("Examples:")
    assert tail.count(f"uhrqa {name}") == 2


def test_the_help_lists_every_exit_code(uhrqa) -> None:
    text = " ".join(uhrqa("--help").out.split())
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 130, 141, 143):
        assert f"{code} " in text.partition("Exit codes:")[2]


def test_without_a_command_the_help_is_shown_and_nothing_is_guessed(uhrqa) -> None:
    outcome = uhrqa()
    assert outcome.code == 2
    assert "Usage: uhrqa" in outcome.out


def test_help_fills_its_lines_and_shows_no_types_of_flags(uhrqa, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    for args in LIGHT:
        if args[-1] == "--help":
            assert not {"<bool>", "<="} & set(uhrqa(*args).out.split())
    assert "in the local cache, can be named with -m as well." in uhrqa("models", "--help").out


def completions(*words: str) -> list[str]:
    """What the shell is offered for the last word."""
    environ = {
        "_UHRQA_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("uhrqa", *words)),
        "COMP_CWORD": str(len(words)),
    }
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print(*(set(sys.modules) & {HEAVY}), file=sys.stderr))\n"
        "from uhrqa.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environ,
    )
    assert done.stderr.strip() == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("as",), ["ask"]),
        (("ask", "a.tif", "?", "-m", "ti"), ["tiny"]),
        (("ask", "-s", "region"), ["region-merge"]),
        (("profile", "-s", "full,rand"), ["full,random"]),
        (("eval", "synth", "-s", "full,rand"), ["full,random"]),
        (("eval", "synth", "--split", "v"), ["validation"]),
        (("ask", "-s", "region-merge", "-o", "it"), ["iterations="]),
        (("ask", "-o", "zoom"), ["zoom_ratio="]),
        (("profile", "-s", "full,uniform", "-o", ""), ["level="]),
        (("batch", "-s", "uniform", "--option", ""), ["level="]),
        (("ask", "-s", "nosuch", "-o", ""), []),
        (("ask", "--dtype", "bf"), ["bfloat16"]),
        (("ask", "--form"), ["--format"]),
    ],
)
def test_tab_offers_what_there_is(words: tuple[str, ...], offered: list[str]) -> None:
    assert completions(*words) == offered
