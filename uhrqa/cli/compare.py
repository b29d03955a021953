"""`uhrqa compare`: strategies beside each other on questions whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.eval_report import check_outputs, print_refusals, report
from uhrqa.cli.evaluating import (
    At,
    Budgets,
    JsonFile,
    Limit,
    Markdown,
    Output,
    Plot,
    ReportOnly,
    held_rows,
    make_plan,
    run_plan,
)
from uhrqa.errors import OutputError

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    "uhrqa compare questions.jsonl -s rfm-dip,region-merge -b 256,1k,4k -o rows.jsonl",
    "uhrqa compare questions.jsonl -o rows.jsonl --report-only --plot compare.svg",
)


@app.command(epilog=EPILOG)
@opt.share(*opt.LOADING, "seed", *opt.MESSAGES)
def compare(
    questions: Annotated[
        Path, typer.Argument(metavar="QUESTIONS", help="JSON lines with the truth.")
    ],
    *,
    strategy: opt.Strategies = None,
    budget: Budgets = None,
    limit: Limit = None,
    output: Output = None,
    report_only: ReportOnly = False,
    at: At = None,
    json_file: JsonFile = None,
    plot: Plot = None,
    markdown: Markdown = None,
    given: opt.Given,
) -> None:
    """Rank strategies on your own questions.

    Each line is an object with `image`, `question` (or LRS-VQA's `text`) and `ground_truth`, and
    perhaps `category` and `hbox` or `hboxes` (x0, y0, x1, y1 in pixels), which tell whether the
    kept tokens show what is asked about. Every question is asked with every strategy at every
    budget; answers are right when they equal the truth, letter case aside. Differences between
    strategies are told with paired intervals over images. With `-o` a stopped run goes on.
    """
    from uhrqa.evaluation.file_source import FileSource
    from uhrqa.evaluation.tables import chosen_budget

    chosen = opt.read_budgets([at])[0] if at is not None else None
    check_outputs(json_file, plot, markdown)
    if output is not None and output.exists() and output.samefile(questions):
        raise OutputError(f"{output}: is the file of questions; name another one with -o")
    if report_only:
        results = held_rows(output, given.quiet)
    else:
        source = FileSource.read(questions)
        about = {
            "benchmark": "file/1", "questions": questions.name, "digest": source.digest,
            "scenes": source.scenes,
        }  # fmt: skip
        plan, manifest = make_plan(source, about, strategy, budget, limit, given)
        chosen_budget(plan.budgets, chosen)
        results = run_plan(plan, manifest, output, given, "image")
    report(results, chosen, json_file=json_file, plot=plot, markdown=markdown, paired=True)
    if not given.quiet:
        print_refusals(results)
