"""`uhrqa eval merge`, `diff`, `table` and `export`: what is done with result files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.bench_report import BLANK, print_part
from uhrqa.cli.console import dump_json, print_note, print_result
from uhrqa.cli.files import refuse_same, require_writable, write_text
from uhrqa.cli.report import count_text, print_table
from uhrqa.errors import OutputError

if TYPE_CHECKING:
    from uhrqa.benchmarks.boards import Board, OwnRow
    from uhrqa.benchmarks.paired import Gap
    from uhrqa.benchmarks.rows import Outcome

Results = Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Result files.")]
Scoring = Annotated[str, typer.Option(metavar="NAME", help="How both are scored.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
OWN = ">"  # before rows that are not published


@opt.share(*opt.MESSAGES)
def merge(
    results: Results,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The whole.")],
    given: opt.Given,
) -> None:
    """Put the results of shards together, in the order of a run that was not split."""
    from uhrqa.benchmarks.rows import absent_shards, merged, read_outcome, write_outcome

    refuse_same({"-o": output}, {"one of the results": results})
    parts = [(path, read_outcome(path)) for path in results]
    whole = merged(parts)
    write_outcome(whole, output)
    if absent := absent_shards(part for _, part in parts):
        print_note(f"uhrqa: warning: {output} is not the whole: no result of {', '.join(absent)}")
    if not given.quiet:
        print_note(f"uhrqa: {count_text(len(whole.rows), 'row')} in {output}")
    if not absent:
        _require_whole(whole, parts, output)


def _require_whole(whole: Outcome, parts: Sequence[tuple[Path, Outcome]], output: Path) -> None:
    """Warn, and end with 1, when shards that were stopped lack questions."""
    from uhrqa.benchmarks.coverage import asked_of

    found = asked_of(whole)
    if found and found[0] < found[1]:
        held = ", ".join(f"{path} has {len(part.main)}" for path, part in parts)
        print_note(
            f"uhrqa: warning: {output} is not the whole: {found[0]} of {found[1]} questions "
            f"({held}): a run was stopped, start it again"
        )
        raise typer.Exit(1)


@opt.share("seed", *opt.MESSAGES)
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A result file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one of the same data.")],
    *,
    scoring: Scoring = "official",
    json: Json = False,
    given: opt.Given,
) -> None:
    """Test how far two results differ, question by question.

    McNemar's exact test of the questions that only one of them has right, and a bootstrap over
    images of the difference. Controls are left out.
    """
    from uhrqa.benchmarks.imports import read_any
    from uhrqa.benchmarks.paired import differing, gaps, oddities

    one, other = read_any(first), read_any(second)
    for note in () if given.quiet else oddities(one, other):
        print_note(f"uhrqa: note: {note}")
    found = gaps(one, other, scoring, given.settings.seed)
    for path, outcome in ((first, one), (second, other)):
        print_part(outcome, given, f"{path}: ")
    if json:
        print_result(dump_json({"schema": "uhrqa.benchmark.diff/1", "gaps": [*map(_gap, found)]}))
        return
    heads = ("category", "asked", "A", "B", "A - B", "95 %", "A alone", "B alone", "p")
    print_table(f"A = {first}, B = {second}; right in per cent", heads, [*map(_gap_line, found)])
    apart = differing(one, other)
    if apart and not given.quiet:
        print_note(f"uhrqa: note: the runs differ in {', '.join(apart)}")


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "category": gap.name or None, "questions": gap.count, "first": gap.first,
        "second": gap.second, "difference": gap.value, "first_alone": gap.gained,
        "second_alone": gap.lost, "interval": list(gap.interval) if gap.interval else None,
        "p": gap.chance,
    }  # fmt: skip


def _gap_line(gap: Gap) -> tuple[str, ...]:
    ends = gap.interval
    return (
        gap.name or "all",
        str(gap.count),
        f"{100 * gap.first / gap.count:.2f}",
        f"{100 * gap.second / gap.count:.2f}",
        f"{100 * gap.value:+.2f}",
        f"[{100 * ends.low:+.1f}, {100 * ends.high:+.1f}]" if ends else BLANK,
        str(gap.gained),
        str(gap.lost),
        f"{gap.chance:.3f}" if gap.chance >= 0.001 else "<0.001",
    )


@opt.share(*opt.MESSAGES)
def table(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RESULTS...]", help="Result files to set beside."),
    ] = None,
    *,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this task.")] = None,
    scoring: Scoring = "official",
    given: opt.Given,
) -> None:
    """Print published leaderboards, and results of yours beside them.

    What keeps a result from being compared, and a published row whose average does not follow from
    its values, is told below each table.
    """
    from uhrqa.benchmarks import TASKS
    from uhrqa.benchmarks.boards import boards
    from uhrqa.benchmarks.imports import read_any
    from uhrqa.benchmarks.scores import task_of

    if task is not None:
        TASKS[task]
    own = [(path, read_any(path)) for path in results or ()]
    wanted = {task} if task else {task_of(outcome.manifest).name for _, outcome in own}
    shown = [board for board in boards() if not wanted or board.task in wanted]
    if not shown:
        raise OutputError(f"no leaderboard of {', '.join(sorted(wanted))} is known")
    for board in shown:
        _print_board(board, own, scoring)
    for path, outcome in () if given.quiet else own:
        name = task_of(outcome.manifest).name
        if name not in {board.task for board in shown}:
            print_note(f"uhrqa: note: {path} is left out: it is a result of {name}")


def _print_board(board: Board, own: Sequence[tuple[Path, Outcome]], scoring: str) -> None:
    notes: list[str] = []
    lines = [*_published(board, notes)]
    for path, outcome in own:
        row = _own(board, outcome, scoring)
        if row is not None:
            values = (BLANK if v is None else f"{v:.2f}" for v in (*row.values, *row.averages))
            lines.append((f"{OWN} {path.name}", *values))
            clause = "; ".join(row.caveats)
            if clause:
                notes.append(f"{path.name}: not comparable: {clause}")
    title = f"{board.title} ({board.source}); {board.note}"
    print_table(title, ("model", *board.columns, *board.averages), lines)
    for note in notes:
        print_result(f"  {note}")
    print_result("")


def _published(board: Board, notes: list[str]) -> Iterator[tuple[str, ...]]:
    """The published rows; gathers what is to be said about them."""
    from uhrqa.benchmarks import TASKS
    from uhrqa.benchmarks.boards import recomputed, sizes_of

    sizes = sizes_of(TASKS.load(board.task), board.subset)
    usual = {average.kind for average in board.averages.values()}
    for entry in board.rows:
        yield (entry.name, *(f"{value:.2f}" for value in (*entry.values, *entry.printed)))
        if not entry.consistent:
            anew = recomputed(board, entry, sizes)
            texts = ", ".join(BLANK if value is None else f"{value:.2f}" for value in anew)
            notes.append(f"{entry.name}: its averages do not follow from its row: {texts} would")
        told = [entry.note] if entry.note else []
        if entry.kind and entry.kind not in usual:
            told.append("its average is the mean of the columns, not right by asked")
        if told:
            notes.append(f"{entry.name}: not comparable with the others: {'; '.join(told)}")


def _own(board: Board, outcome: Outcome, scoring: str) -> OwnRow | None:
    from uhrqa.benchmarks.boards import own_row
    from uhrqa.benchmarks.scores import score_rows, scoring_of, task_of

    task = task_of(outcome.manifest)
    if task.name != board.task:
        return None
    measure, rule = scoring_of(task, scoring)
    scored = score_rows(outcome.main, rule)
    return own_row(board, task, outcome, scored, scoring=scoring, measure=measure)


@opt.share(*opt.MESSAGES)
def export(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A result file.")],
    *,
    form: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORM",
            help="lrs-vqa, mme, lrs-gro, lmms-from-log, lmms-samples or vlmevalkit.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="To be written.")],
    given: opt.Given,
) -> None:
    """Write a result as the authors' scripts, lmms-eval or VLMEvalKit read it.

    Controls are left out. lmms-eval and VLMEvalKit count the records of their own file: ask that
    one, and all of it.
    """
    from uhrqa.benchmarks.exports import exported
    from uhrqa.benchmarks.rows import read_outcome

    refuse_same({"-o": output}, {"the result itself": [results]})
    require_writable(output)
    outcome = read_outcome(results)
    text = exported(outcome, form)
    write_text(output, text)
    print_part(outcome, given)
    if not given.quiet:
        print_note(f"uhrqa: {output} is written for {form}")
