"""`uhrqa compare`: strategies beside each other on questions whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.eval_flags import (
    At,
    Budgets,
    JsonFile,
    Limit,
    Markdown,
    Output,
    Plot,
    ReportOnly,
)
from uhrqa.cli.evaluating import Wanted, measure
from uhrqa.cli.files import refuse_same

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
    perhaps `choices`, `category` and `hbox` or `hboxes` (x0, y0, x1, y1 in pixels), which tell
    whether the kept tokens show what is asked about. Every question is asked with every strategy
    at every budget; answers are right when they equal the truth, letter case aside. Differences
    between strategies are told with paired intervals over images. With `-o` a stopped run goes on;
    questions about an image that was replaced since are asked again.
    """
    from uhrqa.evaluation.file_source import FileSource

    def read() -> tuple[FileSource, dict[str, Any]]:
        source = FileSource.read(questions)
        refuse_same(wanted.files, {"an image of a question": source.images})
        return source, {
            "benchmark": "file/1", "questions": questions.name, "digest": source.digest,
            "scenes": source.scenes, "images": source.stamps(),
        }  # fmt: skip

    wanted = Wanted(
        strategies=strategy, budgets=budget, limit=limit, output=output, report_only=report_only,
        at=at, json_file=json_file, plot=plot, markdown=markdown,
    )  # fmt: skip
    measure(wanted, given, read, noun="image", paired=True, questions=questions)
