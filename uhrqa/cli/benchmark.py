"""`uhrqa eval TASK`: a published data set, asked and scored as its authors do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.bar import progress_bar
from uhrqa.cli.bench_flags import (
    PASTE,
    Controls,
    Data,
    Images,
    Limit,
    Option,
    Output,
    Prompt,
    Retry,
    Scoring,
    Several,
    Shard,
    Split,
    check_names,
    read_shard,
)
from uhrqa.cli.bench_report import broken_lines, report_outcome
from uhrqa.cli.choice import Choice, check_model, choose, load
from uhrqa.cli.console import print_note
from uhrqa.cli.eval_flags import JsonFile
from uhrqa.cli.files import inputs_of, is_file, refuse_same, require_writable
from uhrqa.cli.identity import run_versions, strategy_identity
from uhrqa.cli.weights import model_manifest
from uhrqa.errors import BudgetError, QuestionError

if TYPE_CHECKING:
    from uhrqa.benchmarks.items import DataSet, Item
    from uhrqa.benchmarks.places import Places
    from uhrqa.benchmarks.task import Task


def make_command(task: Task) -> Callable[..., None]:
    """The command of a benchmark."""

    def command(
        data: Data,
        *,
        output: Output = None,
        images: Images = None,
        split: Split = "",
        prompt: Prompt = None,
        scoring: Scoring = "official",
        several: Several = PASTE,
        controls: Controls = False,
        limit: Limit = None,
        shard: Shard = None,
        retry_failed: Retry = False,
        json_file: JsonFile = None,
        option: Option = None,
        given: opt.Given,
    ) -> None:
        check_names(task, prompt, scoring, split, several)
        part = read_shard(shard)
        choice = choose(given.settings, opt.read_pairs(option), rfm=given.rfm, clip=given.clip)
        files = {"-o": output, "--json": json_file}
        data_set = [data] if is_file(data) else []
        refuse_same(files, {"the data set": data_set, **inputs_of(given, choice.made)})
        require_writable(output, json_file)
        check_model(given)
        run = BenchmarkRun(
            task, choice, given, prompt or next(iter(task.prompts)), several, controls
        )
        chosen, places, found = run.questions(data, split, images, limit, part)
        refuse_same(files, {"a file of the data set": found.files})
        manifest = run.manifest(found, limit, part)
        failed = run.go(chosen, places, manifest, output, retry_failed)
        if chosen:
            report_outcome(run.outcome, task, scoring, json_file, given)
        elif not given.quiet:
            print_note(f"uhrqa: note: nothing to ask: part {shard} holds no question")
        raise typer.Exit(1 if failed or found.broken else 0)

    prompts, scorers = ", ".join(task.prompts), ", ".join(task.scorers)
    command.__doc__ = f"""Ask and score {task.title}.

    Prompts: {prompts}. Scoring: {scorers}. A result file (-o) holds every answer with what scoring
    needs; a run that was stopped goes on where it was, and `uhrqa score` scores the file again.
    Images and records that cannot be used are counted and named before anything is asked, and left
    out of the figures; the exit code is then 1.
    """
    command.__name__ = task.name
    return opt.share(*opt.ANSWERING, *opt.MESSAGES)(command)


class BenchmarkRun:
    """One run: what is asked, how, and where it goes."""

    def __init__(
        self,
        task: Task,
        choice: Choice,
        given: opt.Given,
        prompt: str,
        several: str,
        controls: bool,
    ) -> None:
        self.task = task
        self.choice = choice
        self.given = given
        self.prompt = prompt
        self.several = several
        self.controls = controls

    def questions(
        self,
        data: Path,
        split: str,
        images: Path | None,
        limit: int | None,
        part: tuple[int, int] | None,
    ) -> tuple[list[Item], Places, DataSet]:
        """The questions that are asked, with notes about what was found and what was not.

        Raises:
            QuestionError: the data set cannot be read, or a directory of images is none.
        """
        from uhrqa.benchmarks.items import shard_of
        from uhrqa.benchmarks.places import Places

        if images is not None and not images.is_dir():
            raise QuestionError(f"{images}: no such directory of images")
        found = self.task.load(data, split)
        if not found.items:
            title = self.task.title
            raise QuestionError(f"{data}: none of {found.records} records is a question of {title}")
        places = Places.around(found.files, images)
        chosen = list(found.items if limit is None else found.items[:limit])
        if part is not None:
            chosen = shard_of(chosen, *part)
        missing = places.missing(chosen)
        hit = sum(any(name in missing for name in item.images) for item in chosen)
        many = sum(len(item.embedded or item.images) > 1 for item in chosen)
        notes = [*found.notes, *places.notes(missing, hit)]
        if many:
            how = "shown side by side" if self.several == PASTE else "not asked"
            notes.append(f"questions about several images, {how}: {many}")
        for note in () if self.given.quiet else [*notes, *broken_lines(found.broken)]:
            print_note(f"uhrqa: note: {note}")
        return chosen, places, found

    def manifest(
        self, found: DataSet, limit: int | None, part: tuple[int, int] | None
    ) -> dict[str, Any]:
        """Everything that decides the rows."""
        from uhrqa.benchmarks.items import spans
        from uhrqa.benchmarks.rows import SCHEMA
        from uhrqa.strategies import make_strategy
        from uhrqa.vlm.device import choose_device, precision_text

        settings, choice = self.given.settings, self.choice
        strategy = make_strategy(choice.strategy, choice.all_options)
        device = choose_device(settings.device)
        broken = spans(part.number for part in found.broken)
        return {
            "schema": SCHEMA,
            "task": {"name": self.task.name, "version": self.task.version},
            "data": {
                "digest": found.digest,
                "questions": len(found.items),
                "records": found.records,
                "files": [path.name for path in found.files],
                **({"broken": {"count": len(found.broken), "records": broken}} if broken else {}),
            },
            "prompt": self.prompt,
            "model": model_manifest(choice.card, self.given),
            "dtype": precision_text(settings.dtype, settings.quantize, device),
            "attention": settings.attention,
            "strategy": {"name": choice.strategy, "options": strategy_identity(strategy)},
            "budget": {
                "tokens": choice.budget.tokens,
                "tiles": choice.budget.tiles,
                **({"auto": True} if choice.budget.auto else {}),
            },
            "controls": self.controls,
            "several": self.several,
            "limit": limit,
            **({"shard": list(part)} if part else {}),
            "seed": settings.seed,
            "max_new_tokens": settings.max_new_tokens,
            "versions": run_versions(),
        }

    def _ways(self) -> Mapping[str, Mapping[str, Any]]:
        from uhrqa.benchmarks.run import control_ways

        settings, choice = self.given.settings, self.choice
        ways: dict[str, Mapping[str, Any]] = {}
        arguments = choice.arguments(settings)
        arguments["options"] = choice.all_options
        ways[choice.strategy] = arguments
        if self.controls:
            extra = control_ways(settings.seed, settings.max_new_tokens, choice.budget)
            ways |= {name: how for name, how in extra.items() if name not in ways}
        return ways

    def go(
        self,
        chosen: list[Item],
        places: Places,
        manifest: Mapping[str, Any],
        output: Path | None,
        retry: bool,
    ) -> int:
        """Ask what has no row yet.

        Returns:
            How many rows have no answer.

        Raises:
            QuestionError: not one question was answered.
            BudgetError: the same, as the budget is too small for the strategy.
        """
        from uhrqa.benchmarks.rows import BenchLog
        from uhrqa.benchmarks.run import Asking, run_benchmark

        ways = self._ways()
        asking = Asking(self.task.prompts[self.prompt], ways, places, self.several == PASTE, retry)
        total = len(chosen) * len(ways)
        with BenchLog(manifest, output) as log:
            done = len(log.rows)
            try:
                with progress_bar(total, done, self.given.quiet) as advance:
                    run_benchmark(chosen, asking, lambda: load(self.given), log, advance)
            except BaseException:
                if not self.given.quiet and output is not None and log.rows:
                    print_note(
                        f"uhrqa: {len(log.rows)} of {total} rows are in {output}; "
                        "run it again to go on"
                    )
                raise
            self.outcome = log.outcome
        failed = [row for row in self.outcome.rows if row.prediction is None]
        if failed and len(failed) == len(self.outcome.rows):
            kind = BudgetError if failed[0].error.startswith("budget:") else QuestionError
            first = f"record {failed[0].number}: {failed[0].error}"
            again = "" if retry or not done else "; --retry-failed asks again what has no answer"
            raise kind(f"no question was answered; the first: {first}{again}")
        return len(failed)
