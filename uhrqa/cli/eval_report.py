"""Where the report of `uhrqa eval` goes: tables on stdout; JSON, Markdown and plot in files."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.cli.console import dump_json, print_note, print_result
from uhrqa.cli.files import require_writable, write_text
from uhrqa.cli.report import print_table
from uhrqa.errors import OutputError

if TYPE_CHECKING:
    from uhrqa.evaluation.row_log import Results


def check_outputs(json_file: str | None, plot: Path | None, markdown: Path | None) -> None:
    """Refuse what could not be written in the end, before anything is computed.

    Raises:
        ConfigError: the plot is neither SVG nor PNG, or matplotlib is not installed.
        OutputError: a file's directory does not exist, or the file may not be written.
    """
    from uhrqa.evaluation.plot import require_matplotlib

    if plot is not None:
        require_matplotlib(plot)
    require_writable(json_file, plot, markdown)


def report(
    results: Results,
    at: int | None = None,
    *,
    json_file: str | None = None,
    plot: Path | None = None,
    markdown: Path | None = None,
    paired: bool = False,
) -> None:
    """Print the tables, or with `json_file` `-` the JSON, and write the files that are asked for.

    Args:
        results: of the run.
        at: the budget of the tables that show one.
        json_file: for figures and rows.
        plot: SVG or PNG.
        markdown: for a page with the tables.
        paired: also tell differences between strategies.

    Raises:
        ConfigError: no row has the budget `at`.
        OutputError: there is no row, or a file cannot be written.
    """
    from uhrqa.evaluation.page import markdown_page
    from uhrqa.evaluation.plot import draw_plot
    from uhrqa.evaluation.tables import report_tables

    if not results.rows:
        raise OutputError("there is no row to report: no question has been answered yet")
    seed = int(results.manifest.get("seed", 0))
    tables = report_tables(results, at, seed, paired)
    if plot is not None:
        draw_plot(results, plot, seed)
    if markdown is not None:
        picture = os.path.relpath(plot, markdown.parent) if plot is not None else None
        write_text(markdown, markdown_page(results, tables, picture))
    text = dump_json(figures(results, seed), indent=1) if json_file is not None else ""
    if json_file == "-":
        print_result(text)
        return
    if json_file is not None:
        write_text(Path(json_file), text + "\n")
    for table in tables:
        print_table(table.title, table.heads, table.lines)


def figures(results: Results, seed: int) -> dict[str, Any]:
    """All figures and rows, JSON-ready."""
    from uhrqa.evaluation.figures import INTERVALS, SCHEMA, by_way, refused, way_figures

    return {
        "schema": SCHEMA,
        "manifest": results.manifest,
        "intervals": {**INTERVALS, "seed": seed},
        "ways": [way_figures(way, rows, seed) for way, rows in by_way(results.rows).items()],
        "refused": refused(results),
        "rows": [{**asdict(row), "right": row.right} for row in results.rows],
    }


def print_refusals(results: Results) -> None:
    """A line on stderr for each strategy and budget that was refused."""
    from uhrqa.evaluation.tables import refusal_lines

    for line in refusal_lines(results):
        print_note(f"uhrqa: note: {line}")
