"""Options that `eval synth` and `compare` share, and what other reports take of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BUDGETS = ["64", "128", "256", "512", "1k"]

Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="TOKENS",
        help=f"Repeatable, or with commas ({','.join(BUDGETS)}).",
    ),
]
Limit = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Questions in all, at most (no limit).")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Rows as JSON lines; goes on there."),
]
ReportOnly = Annotated[
    bool, typer.Option("--report-only", help="Report the rows of -o; ask nothing.")
]
At = Annotated[
    str | None,
    typer.Option(metavar="TOKENS", help="Budget of the tables that show one (256)."),
]
JsonFile = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="All figures and rows; `-` is stdout."),
]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Picture, .svg or .png; needs matplotlib.")
]
Markdown = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The tables as a Markdown page.")
]
