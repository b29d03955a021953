"""The options of `uhrqa eval TASK`, and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli.complete import complete_option
from uhrqa.errors import UnknownNameError
from uhrqa.registry import suggest

if TYPE_CHECKING:
    from uhrqa.benchmarks.task import Task

PASTE, SKIP = "paste", "unsupported"

Data = Annotated[Path, typer.Argument(metavar="DATA", help="The data set's file or directory.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Result, JSON lines; goes on there."),
]
Images = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the images are (beside the data).")
]
Split = Annotated[str, typer.Option(metavar="NAME", help="Split, where one place holds several.")]
Prompt = Annotated[str | None, typer.Option(metavar="NAME", help="How it is asked, by name.")]
Scoring = Annotated[str, typer.Option(metavar="NAME", help="How it is scored: official, strict …")]
Several = Annotated[
    str,
    typer.Option(
        metavar="HOW", help=f"Several images of a question: {PASTE} side by side, or {SKIP}."
    ),
]
Controls = Annotated[
    bool, typer.Option("--controls", help="Also without image, by thumbnail and by plain resize.")
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N questions.")]
Shard = Annotated[
    str | None, typer.Option(metavar="I/N", help="Only part I of N, for `uhrqa eval merge`.")
]
Retry = Annotated[bool, typer.Option("--retry-failed", help="Ask again what has no answer.")]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="Of the strategy; repeatable.",
        autocompletion=complete_option,
    ),
]


def check_names(task: Task, prompt: str | None, scoring: str, split: str, several: str) -> None:
    """Refuse a name that there is not, before anything is read.

    Raises:
        UnknownNameError: of a prompt, a scoring or a split.
        typer.BadParameter: `several` is neither of its two words.
    """
    for kind, name, known in (
        ("prompt", prompt, task.prompts),
        ("scoring", scoring, task.scorers),
        ("split", split or None, task.splits),
    ):
        if name is not None and name not in known:
            raise UnknownNameError(f"unknown {kind} '{name}' of {task.name}{suggest(name, known)}")
    if several not in (PASTE, SKIP):
        raise typer.BadParameter(f"--several '{several}': expected {PASTE} or {SKIP}")


def read_shard(text: str | None) -> tuple[int, int] | None:
    """Part and number of parts.

    Raises:
        typer.BadParameter: not `I/N` with I from 1 to N.
    """
    if text is None:
        return None
    part, slash, count = text.partition("/")
    good = slash and part.isdecimal() and count.isdecimal() and 1 <= int(part) <= int(count)
    if not good:
        raise typer.BadParameter(f"--shard '{text}': write I/N with I from 1 to N, as in 1/4")
    return int(part), int(count)
