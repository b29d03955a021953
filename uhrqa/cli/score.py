"""`uhrqa score`: the answers of a result file scored again, without model, images or data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.bench_report import print_part, report_outcome
from uhrqa.cli.eval_flags import JsonFile
from uhrqa.cli.files import refuse_same, require_writable

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    "uhrqa score results.jsonl",
    "uhrqa score results.jsonl --scoring strict --json scores.json",
)


@app.command(epilog=EPILOG)
@opt.share("seed", *opt.MESSAGES)
def score(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="Result of `uhrqa eval TASK`.")
    ],
    *,
    scoring: Annotated[
        str, typer.Option(metavar="NAME", help="official, strict, or another of the task's.")
    ] = "official",
    json_file: JsonFile = None,
    given: opt.Given,
) -> None:
    """Score answers again, without model, images or data.

    Answer files of LRS-VQA, MME-RealWorld and LRS-GRO are scored too, and lmms-eval's samples and
    VLMEvalKit's tables of XLRS-Bench and MME-RealWorld. The seed is that of the intervals' draws.
    """
    from uhrqa.benchmarks.imports import read_any
    from uhrqa.benchmarks.scores import task_of

    refuse_same({"--json": json_file}, {"the result itself": [results]})
    require_writable(json_file)
    outcome = read_any(results)
    report_outcome(outcome, task_of(outcome.manifest), scoring, json_file, given)
    print_part(outcome, given)
