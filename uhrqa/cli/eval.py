"""`uhrqa eval`: how often a checkpoint is right where the truth is known."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uhrqa.benchmarks import TASKS
from uhrqa.cli import eval_files
from uhrqa.cli import options as opt
from uhrqa.cli.benchmark import make_command
from uhrqa.cli.complete import among
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
from uhrqa.cli.sides import SIDES, Sides, read_sides
from uhrqa.config import SPLITS

if TYPE_CHECKING:
    from uhrqa.evaluation.source import Source

app = typer.Typer(add_completion=False, no_args_is_help=True)

SCENES = 14

EPILOG = opt.examples(
    "uhrqa eval synth -o rows.jsonl --plot synth.svg",
    "uhrqa eval synth -o rows.jsonl --report-only --json synth.json",
)


@app.callback(epilog=EPILOG)
def evaluate() -> None:
    """Measure how often a checkpoint is right, by strategy and budget.

    On drawn scenes (synth), or on a published data set. A command of another name works on the
    result files of the latter.
    """


@app.command(epilog=EPILOG)
@opt.share(*opt.LOADING, "seed", *opt.MESSAGES)
def synth(
    *,
    strategy: opt.Strategies = None,
    budget: Budgets = None,
    scenes: Annotated[int, typer.Option(metavar="N", min=1, help="Scenes to draw.")] = SCENES,
    sides: Sides = SIDES,
    split: Annotated[
        str,
        typer.Option(metavar="NAME", help="test or validation.", autocompletion=among(SPLITS)),
    ] = SPLITS[0],
    limit: Limit = None,
    output: Output = None,
    report_only: ReportOnly = False,
    at: At = None,
    json_file: JsonFile = None,
    plot: Plot = None,
    markdown: Markdown = None,
    given: opt.Given,
) -> None:
    """Put a checkpoint through the drawn benchmark.

    Every question about every scene is asked with every strategy at every budget, and of three
    controls: the most common answer, the model without any visual token, and the model with all
    the tokens that matter. With `-o` the rows are kept as they are made, and a run that was stopped
    goes on where it was.
    """
    from uhrqa.evaluation.source import BENCHMARK

    def read() -> tuple[Source, dict[str, Any]]:
        source = _source(scenes, split, sides)
        return source, {"benchmark": BENCHMARK, **asdict(source)}

    wanted = Wanted(
        strategies=strategy, budgets=budget, limit=limit, output=output, report_only=report_only,
        at=at, json_file=json_file, plot=plot, markdown=markdown,
    )  # fmt: skip
    measure(wanted, given, read, noun="scene")


def _source(scenes: int, split: str, sides: str) -> Source:
    """Which scenes are asked about.

    Raises:
        typer.BadParameter: no such split, or sides that are none.
    """
    from uhrqa.evaluation.source import Source

    if split not in SPLITS:
        raise typer.BadParameter(f"--split '{split}': expected {' or '.join(SPLITS)}")
    return Source(scenes, split, read_sides(sides))


for _name in TASKS:
    app.command(
        _name,
        epilog=opt.examples(
            f"uhrqa eval {_name} DATA -m MODEL -o results.jsonl",
            f"uhrqa eval {_name} DATA -m MODEL -o results.jsonl --controls --limit 100",
        ),
    )(make_command(TASKS.load(_name)))

app.command(
    "merge",
    epilog=opt.examples(
        "uhrqa eval merge part1.jsonl part2.jsonl -o whole.jsonl",
        "uhrqa eval merge p*.jsonl -o w.jsonl",
    ),
)(eval_files.merge)
app.command(
    "diff",
    epilog=opt.examples(
        "uhrqa eval diff a.jsonl b.jsonl", "uhrqa eval diff a.jsonl b.jsonl --scoring strict"
    ),
)(eval_files.diff)
app.command(
    "table",
    epilog=opt.examples("uhrqa eval table --task xlrs", "uhrqa eval table results.jsonl"),
)(eval_files.table)
app.command(
    "export",
    epilog=opt.examples(
        "uhrqa eval export results.jsonl --to lrs-vqa -o answers.jsonl",
        "uhrqa eval export results.jsonl --to vlmevalkit -o uhrqa_XLRS-Bench-lite.tsv",
    ),
)(eval_files.export)
