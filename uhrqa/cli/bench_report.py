"""The figures of a benchmark's result: tables on stdout, JSON where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.cli.console import dump_json, print_note, print_result
from uhrqa.cli.files import write_text
from uhrqa.cli.report import count_text, print_table
from uhrqa.errors import OutputError

if TYPE_CHECKING:
    from uhrqa.benchmarks.items import Broken
    from uhrqa.benchmarks.rows import BenchRow, Outcome
    from uhrqa.benchmarks.task import Task
    from uhrqa.cli.options import Given

BLANK = "-"
MOST_BROKEN = 20  # records that are told one by one
MOST_REASONS = 3  # of failures, told with the figures
ALL = "all"


def report_outcome(
    outcome: Outcome, task: Task, scoring: str, json_file: str | None, given: Given
) -> None:
    """Print the tables, or with `json_file` `-` the JSON, and write the file that is asked for.

    Raises:
        UnknownNameError: the task has no such scoring.
        OutputError: there is no answer to score, or a file cannot be written.
    """
    from uhrqa.benchmarks.scores import figures

    found = figures(outcome, task, scoring, given.settings.seed)
    if not any(way["answered"] for way in found["ways"]):
        raise OutputError("there is no answer to score: no question has been answered")
    text = dump_json(found, indent=1) if json_file is not None else ""
    if json_file == "-":
        print_result(text)
    else:
        if json_file is not None:
            write_text(Path(json_file), text + "\n")
        print_tables(found, task)
    if not given.quiet:
        for line in [*told(found, task), *reasons(outcome)]:
            print_note(f"uhrqa: note: {line}")


def print_part(outcome: Outcome, given: Given, name: str = "") -> None:
    """Say on stderr when a result is not about all questions; `name` tells it from another."""
    from uhrqa.benchmarks.coverage import part_notes

    if not given.quiet:
        for line in part_notes(outcome):
            print_note(f"uhrqa: note: {name}{line}")


def print_tables(found: Mapping[str, Any], task: Task) -> None:
    """Averages by way and subset, then every category."""
    ways = found["ways"]
    heads = ("way", "part", "right / asked", *(average.name for average in task.averages))
    lines = []
    for way in ways:
        for name, part in ((ALL, way), *way["subsets"].items()):
            cells = part["categories"].values()
            counts = [sum(cell[key] for cell in cells) for key in ("right", "questions")]
            shares = (_average(part["averages"][average.name]) for average in task.averages)
            lines.append((way["way"], name, f"{counts[0]} / {counts[1]}", *shares))
    title = f"{task.title}: {found['measure']} in per cent by '{found['scoring']}' scoring"
    over = "questions" if found["manifest"].get("from") else "images"
    print_table(f"{title}, 95 % intervals over {over}", heads, lines, words=2)
    _print_categories(ways)


def _print_categories(ways: Sequence[Mapping[str, Any]]) -> None:
    names = list(ways[0]["subsets"]) or [ALL]
    lines = []
    for name in names:
        places = [way if name == ALL else way["subsets"].get(name) for way in ways]
        for category in dict.fromkeys(c for p in places if p for c in p["categories"]):
            cells = [p["categories"].get(category) if p else None for p in places]
            asked = max(cell["questions"] for cell in cells if cell)
            shares = [_cell(cell, asked) for cell in cells]
            lines.append((name, category, str(asked), *shares))
    heads = ("part", "category", "asked", *(way["way"] for way in ways))
    print_table("By category, in per cent", heads, lines, words=2)


def _cell(cell: Mapping[str, Any] | None, asked: int) -> str:
    if cell is None:
        return BLANK
    text = per_cent(cell["accuracy"])
    return text if cell["questions"] == asked else f"{text} n={cell['questions']}"


def per_cent(share: float | None) -> str:
    """A share as per cent to two decimals; a dash for none."""
    return BLANK if share is None else f"{100 * share:.2f}"


def _average(value: Mapping[str, Any]) -> str:
    ends = value["interval"]
    between = f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else ""
    return f"{per_cent(value['value'])}{between}"


def told(found: Mapping[str, Any], task: Task) -> list[str]:
    """What has to be read with the figures, a line each."""
    lines = []
    broken = found["manifest"].get("data", {}).get("broken")
    if broken:
        many = count_text(broken["count"], "broken record")
        lines.append(f"{many} of the data set left out of all figures: {broken['records']}")
    if found["measure"] != "accuracy" and found["scoring"] == "official":
        lines.append(
            f"'{found['measure']}' is not {task.title}'s score: no WordNet table is installed"
        )
    for way in found["ways"]:
        for kind, count in way["unanswered"].items():
            lines.append(
                f"{way['way']}: {count_text(count, 'question')} without an answer ({kind}) "
                f"left out; counted as wrong, {per_cent(way['share_of_all'])} per cent are right"
            )
        if way["pasted"]:
            asked = count_text(way["pasted"], "question")
            lines.append(f"{way['way']}: {asked} about images shown side by side")
        turns = way.get("dialogues", {"dialogues": 0})
        if turns["dialogues"]:
            lines.append(
                f"{way['way']}: {turns['all_turns_right']} of "
                f"{count_text(turns['dialogues'], 'dialogue')} with every turn right (unofficial)"
            )
    return lines


def broken_lines(broken: Sequence[Broken]) -> list[str]:
    """Records that are left out, a line each for the first ones, then the numbers of the others."""
    lines = [f"left out: {part.problem}" for part in broken[:MOST_BROKEN]]
    rest = broken[MOST_BROKEN:]
    if rest:
        from uhrqa.benchmarks.items import spans

        numbers = spans(part.number for part in rest)
        lines.append(f"left out: {count_text(len(rest), 'more broken record')}: {numbers}")
    return lines


def reasons(outcome: Outcome) -> list[str]:
    """Why questions failed, where it was not told before: the first of each kind."""
    from uhrqa.benchmarks.scores import EXPECTED

    first: dict[str, BenchRow] = {}
    for row in outcome.rows:
        if row.error and not row.error.startswith(EXPECTED):
            first.setdefault(row.error, row)
    lines = [f"record {row.number}: {' '.join(error.split())}" for error, row in first.items()]
    more = len(lines) - MOST_REASONS
    rest = count_text(more, "more kind of failure", "more kinds of failure")
    return lines[:MOST_REASONS] + ([f"and {rest}"] if more > 0 else [])
