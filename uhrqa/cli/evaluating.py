"""What `eval` and `compare` share: the ways asked for, and the run with its progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.choice import check_model, choose, load
from uhrqa.cli.console import print_note
from uhrqa.cli.eval_flags import BUDGETS
from uhrqa.cli.eval_report import check_outputs, print_refusals, report
from uhrqa.cli.files import inputs_of, refuse_same
from uhrqa.cli.identity import run_versions, strategy_identity
from uhrqa.cli.report import count_text
from uhrqa.cli.weights import model_manifest
from uhrqa.errors import BudgetError

if TYPE_CHECKING:
    from uhrqa.evaluation.cases import Questions
    from uhrqa.evaluation.row_log import Results
    from uhrqa.evaluation.run import Plan

WAYS = "strategies and budgets"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line, as it was written."""

    strategies: list[str] | None
    budgets: list[str] | None
    limit: int | None
    output: Path | None
    report_only: bool
    at: str | None
    json_file: str | None
    plot: Path | None
    markdown: Path | None

    @property
    def files(self) -> dict[str, Path | str | None]:
        """What is written, by the option that names it."""
        return {
            "-o": self.output, "--json": self.json_file, "--plot": self.plot,
            "--markdown": self.markdown,
        }  # fmt: skip


def measure(
    wanted: Wanted,
    given: opt.Given,
    read: Callable[[], tuple[Questions, Mapping[str, Any]]],
    *,
    noun: str,
    paired: bool = False,
    questions: Path | None = None,
) -> None:
    """Ask what has no row yet, or nothing, and report.

    Args:
        wanted: the command's own options.
        given: the shared ones.
        read: gives the source, and what tells it from others; called unless only to report.
        noun: what one of the source's subjects is called.
        paired: also tell differences between strategies.
        questions: the file that `read` reads, if any.
    """
    refuse_same(wanted.files, {"the file of questions": [questions], **inputs_of(given)})
    if not wanted.report_only:
        check_model(given)  # before torch is imported, and anything drawn
    from uhrqa.evaluation.tables import chosen_budget

    at = opt.read_budgets([wanted.at])[0] if wanted.at is not None else None
    files: dict[str, Any] = {
        "json_file": wanted.json_file, "plot": wanted.plot, "markdown": wanted.markdown
    }  # fmt: skip
    check_outputs(**files)
    if wanted.report_only:
        results = held_rows(wanted.output, given.quiet)
    else:
        source, about = read()
        plan, manifest = make_plan(
            source, about, wanted.strategies, wanted.budgets, wanted.limit, given
        )
        chosen_budget(plan.budgets, at)  # a budget that is not asked is told at once
        results = run_plan(plan, manifest, wanted.output, given, noun)
    report(results, at, **files, paired=paired)
    if not given.quiet:
        print_refusals(results)
    _refuse_nothing_asked(results)


def _refuse_nothing_asked(results: Results) -> None:
    """End with an error where no strategy could work within any budget: controls alone say little.

    Raises:
        BudgetError: the first refusal.
    """
    from uhrqa.evaluation.controls import CONTROLS

    refused = [refusal for refusal in results.refusals if refusal.strategy not in CONTROLS]
    if refused and all(row.strategy in CONTROLS for row in results.rows):
        ways = len({(refusal.strategy, refusal.budget) for refusal in refused})
        first = refused[0]
        raise BudgetError(
            f"every budget was refused, {count_text(ways, 'strategy and budget', WAYS)} in all; "
            f"{first.strategy}: {first.reason}"
        )


def make_plan(
    source: Questions,
    about: Mapping[str, Any],
    strategies: list[str] | None,
    budgets: list[str] | None,
    limit: int | None,
    given: opt.Given,
) -> tuple[Plan, dict[str, Any]]:
    """What is asked, and the manifest that its rows belong to.

    Args:
        source: of images and questions.
        about: what tells it from other sources, for the manifest.
        strategies: as given; all of them when None.
        budgets: as given; `BUDGETS` when None.
        limit: questions in all.
        given: the shared options.

    Raises:
        UnknownNameError: no such model or strategy.
        UhrqaError: what else is wrong with the model's card or its files.
    """
    from uhrqa.evaluation.run import Plan
    from uhrqa.strategies import STRATEGIES, make_strategy
    from uhrqa.vlm.device import choose_device, precision_text

    names = opt.split_words(strategies)
    if strategies and not names:
        raise typer.BadParameter("-s: name a strategy, or leave it out for all of them")
    caps = opt.read_budgets(opt.split_words(budgets) or BUDGETS)
    settings = given.settings
    choices = [choose(settings, {}, strategy=name) for name in names or sorted(STRATEGIES)]
    made: dict[str, Any] = {c.strategy: make_strategy(c.strategy, c.all_options) for c in choices}
    plan = Plan(
        source, made, tuple(caps), limit, settings.seed, settings.max_new_tokens,
        settings.max_tiles,
    )  # fmt: skip
    card = choices[0].card
    manifest = {
        "model": model_manifest(card, given),
        "dtype": precision_text(settings.dtype, settings.quantize, choose_device(settings.device)),
        "attention": settings.attention,
        **about,
        "strategies": {name: strategy_identity(strategy) for name, strategy in made.items()},
        "budgets": plan.budgets,
        **({"tiles": plan.tiles} if plan.tiles else {}),
        "limit": limit,
        "seed": plan.seed,
        "max_new_tokens": plan.max_new_tokens,
        "versions": run_versions(),
    }
    return plan, manifest


def held_rows(output: Path | None, quiet: bool) -> Results:
    """The rows of an earlier run; says on stderr when it was stopped before its last scene.

    Raises:
        typer.BadParameter: no file is named.
        OutputError: it cannot be read, or is none of ours.
    """
    from uhrqa.evaluation.row_log import read_rows

    if output is None:
        raise typer.BadParameter("--report-only: name the file of rows with -o")
    results = read_rows(output)
    asked = len({row.scene for row in [*results.rows, *results.refusals]})
    whole = results.manifest.get("scenes", asked)
    if not quiet and not results.manifest.get("limit") and asked < whole:
        print_note(
            f"uhrqa: rows of {asked} of {whole} scenes: the run was stopped; "
            "leave out --report-only to go on"
        )
    return results


def run_plan(
    plan: Plan, manifest: dict[str, Any], output: Path | None, given: opt.Given, noun: str
) -> Results:
    """Ask what has no row yet, with a line on stderr for each scene or image."""
    from uhrqa.evaluation.row_log import RowLog
    from uhrqa.evaluation.run import evaluate

    begin = time.perf_counter()

    def progress(scene: int, questions: int) -> None:
        if not given.quiet:
            took = time.perf_counter() - begin
            left = took / (scene + 1) * (plan.source.scenes - scene - 1)
            print_note(
                f"uhrqa: {noun} {scene + 1} of {plan.source.scenes}: "
                f"{count_text(questions, 'question')}, {took:.0f} s so far, about {left:.0f} s "
                f"left; right: {_right_so_far(log.results)}"
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
