"""`uhrqa eval synth`: how often a checkpoint is right about drawn scenes, and at what cost."""

from __future__ import annotations

import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.choice import choose, load
from uhrqa.cli.complete import among
from uhrqa.cli.console import print_note
from uhrqa.cli.eval_report import check_outputs, print_refusals, report
from uhrqa.cli.identity import checkpoint_stamp
from uhrqa.cli.report import count_text
from uhrqa.cli.sides import SIDES, Sides, read_sides

if TYPE_CHECKING:
    from uhrqa.evaluation.row_log import Results
    from uhrqa.evaluation.run import Plan
    from uhrqa.evaluation.source import Source

app = typer.Typer(add_completion=False, no_args_is_help=True)

BUDGETS = ["64", "128", "256", "512", "1k"]
SPLITS = ("test", "validation")
SCENES = 14
VERSIONS = ("uhrqa", "torch", "transformers", "numpy")

Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="TOKENS",
        help=f"Repeatable, or with commas ({','.join(BUDGETS)}).",
    ),
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

EPILOG = opt.examples(
    "uhrqa eval synth -o rows.jsonl --plot synth.svg",
    "uhrqa eval synth -o rows.jsonl --report-only --json synth.json",
)


@app.callback(epilog=EPILOG)
def evaluate() -> None:
    """Measure how often a checkpoint is right, by strategy and budget."""


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
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Questions in all, at most (no limit).")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Rows as JSON lines; goes on there."),
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Report the rows of -o; ask nothing.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(metavar="TOKENS", help="Budget of the tables that show one (256)."),
    ] = None,
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
    from uhrqa.evaluation.tables import chosen_budget

    chosen = opt.read_budgets([at])[0] if at is not None else None
    check_outputs(json_file, plot, markdown)
    if report_only:
        results = _held(output)
    else:
        source = _source(scenes, split, sides)
        if strategy and not opt.split_words(strategy):
            raise typer.BadParameter("-s: name a strategy, or leave it out for all of them")
        names, caps = opt.split_words(strategy), opt.read_budgets(opt.split_words(budget))
        plan, manifest = _plan(source, names, caps, limit, given)
        chosen_budget(plan.budgets, chosen)  # a budget that is not asked is told at once
        results = _run(plan, manifest, output, given)
    report(results, chosen, json_file=json_file, plot=plot, markdown=markdown)
    if not given.quiet:
        print_refusals(results)


def _source(scenes: int, split: str, sides: str) -> Source:
    """Which scenes are asked about.

    Raises:
        typer.BadParameter: no such split, or sides that are none.
    """
    from uhrqa.evaluation.source import Source

    if split not in SPLITS:
        raise typer.BadParameter(f"--split '{split}': expected {' or '.join(SPLITS)}")
    return Source(scenes, split, read_sides(sides))


def _plan(
    source: Source, names: list[str], budgets: list[int], limit: int | None, given: opt.Given
) -> tuple[Plan, dict[str, Any]]:
    """What is asked, and the manifest that its rows belong to.

    Raises:
        UnknownNameError: no such model or strategy.
        UhrqaError: what else is wrong with the model's card.
    """
    from uhrqa.evaluation.run import Plan
    from uhrqa.evaluation.source import BENCHMARK
    from uhrqa.strategies import STRATEGIES, make_strategy
    from uhrqa.vlm.device import choose_device, precision_text

    settings = given.settings
    choices = [choose(settings, {}, strategy=name) for name in names or sorted(STRATEGIES)]
    made: dict[str, Any] = {c.strategy: make_strategy(c.strategy, c.all_options) for c in choices}
    plan = Plan(
        source,
        tuple(made),
        tuple(budgets or opt.read_budgets(BUDGETS)),
        limit,
        settings.seed,
        settings.max_new_tokens,
    )
    card = choices[0].card
    manifest = {
        "model": {"name": card.name, "stamp": checkpoint_stamp(card)},
        "dtype": precision_text(settings.dtype, settings.quantize, choose_device(settings.device)),
        "attention": settings.attention,
        "benchmark": BENCHMARK,
        **asdict(source),
        "strategies": {name: asdict(strategy) for name, strategy in made.items()},
        "budgets": plan.budgets,
        "limit": limit,
        "seed": plan.seed,
        "max_new_tokens": plan.max_new_tokens,
        "versions": {name: version(name) for name in VERSIONS},
    }
    return plan, manifest


def _held(output: Path | None) -> Results:
    """The rows of an earlier run.

    Raises:
        typer.BadParameter: no file is named.
        OutputError: it cannot be read, or is none of ours.
    """
    from uhrqa.evaluation.row_log import read_rows

    if output is None:
        raise typer.BadParameter("--report-only: name the file of rows with -o")
    return read_rows(output)


def _run(plan: Plan, manifest: dict[str, Any], output: Path | None, given: opt.Given) -> Results:
    """Ask what has no row yet, with a line on stderr for each scene."""
    from uhrqa.evaluation.row_log import RowLog
    from uhrqa.evaluation.run import evaluate

    begin = time.perf_counter()

    def progress(scene: int, questions: int) -> None:
        if not given.quiet:
            took = time.perf_counter() - begin
            print_note(
                f"uhrqa: scene {scene + 1} of {plan.source.scenes}: "
                f"{count_text(questions, 'question')}, {took:.0f} s so far; "
                f"right: {_right_so_far(log.results)}"
            )

    with RowLog(manifest, output) as log:
        try:
            evaluate(plan, lambda: load(given), log, progress)
        except BaseException:
            if not given.quiet and output is not None and log.done:
                print_note(f"uhrqa: {len(log.done)} rows are in {output}; run it again to go on")
            raise
        return log.results


def _right_so_far(results: Results) -> str:
    """Share right by strategy, all budgets together."""
    from uhrqa.evaluation.figures import Share, group
    from uhrqa.evaluation.tables import share_text

    groups = group(results.rows, lambda row: row.strategy)
    return ", ".join(f"{name} {share_text(Share.of(rows))}" for name, rows in groups.items())
