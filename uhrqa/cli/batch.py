"""`uhrqa batch`: a file of questions in, a line per answer out; stops and continues."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from uhrqa.batch import (
    AnswerFile,
    Entry,
    Opener,
    Record,
    Sink,
    Summary,
    fingerprint,
    read_entries,
    run_batch,
)
from uhrqa.cli import options as opt
from uhrqa.cli.bar import progress_bar
from uhrqa.cli.bench_flags import Option
from uhrqa.cli.choice import choose, load
from uhrqa.cli.console import dump_json, print_note, print_result, read_stdin
from uhrqa.cli.files import inputs_of, refuse_same
from uhrqa.cli.identity import identity
from uhrqa.cli.images import Images
from uhrqa.cli.report import count_text
from uhrqa.errors import QuestionError

app = typer.Typer(add_completion=False)

MOST_REASONS = 3  # of failures, told after the run

EPILOG = opt.examples(
    "uhrqa batch questions.jsonl -o answers.jsonl",
    "uhrqa batch questions.jsonl -o answers.jsonl --retry-failed -b 4k",
)


@app.command(epilog=EPILOG)
@opt.share(
    *opt.ANSWERING,
    "choices",
    *opt.CACHES,
    *opt.LIMITS,
    *opt.PLACING,
    *opt.READING,
    *opt.MESSAGES,
)
def batch(
    questions: Annotated[
        str, typer.Argument(metavar="QUESTIONS", help="JSON lines; `-` reads stdin.")
    ],
    outputs: Annotated[
        list[str],
        typer.Option("--output", "-o", metavar="FILE", help="JSON lines; `-` is stdout."),
    ],
    *,
    option: Option = None,
    evidence: Annotated[bool, typer.Option("--evidence", help="Keep the boxes too.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again what failed in an earlier run.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what the output holds.")
    ] = False,
    together: Annotated[
        int,
        typer.Option(
            "--together",
            metavar="N",
            min=1,
            help="Answers about one image written at once; pays where they are long, or on a GPU.",
        ),
    ] = 1,
    given: opt.Given,
) -> None:
    """Answer a file of questions; continues where it was stopped.

    Each line is an object with `image`, `question` and perhaps `id` and `choices`; image paths are
    relative to the file. Stopped at any point, the same command continues. Questions about an image
    that was replaced since (another size or time of change) are asked again, and so are those whose
    line in the output is damaged; the old lines go. Questions of one image share its encoded tiles,
    so answers come image by image. A line or an image that cannot be used becomes a line with
    `error`, and the exit code is 1.
    """
    output = _read_output(outputs)
    if together > 1 and given.limits.memory is not None:
        raise typer.BadParameter(
            f"--together {together} does not go with --max-memory: what is foreseen is one answer "
            "at a time; leave one of them out"
        )
    choice = choose(given.settings, opt.read_pairs(option), rfm=given.rfm, clip=given.clip)
    entries = _read_questions(questions, output)
    refuse_same({"-o": output}, inputs_of(given, choice.made))
    known = identity(given, choice, evidence=evidence)
    if given.limits:
        known |= {"limits": asdict(given.limits)}
    run = fingerprint(known)
    images = Images(given, choice, evidence)
    with _open_sink(output, run, entries, restart, retry_failed) as sink:
        if any(not entry.error and entry.key not in sink.done for entry in entries):
            images.model = load(given)  # what is wrong with it is told once
        failed = _answer(entries, sink, images, given.quiet, together)
    raise typer.Exit(1 if failed else 0)


def _open_sink(
    output: str, run: str, entries: list[Entry], restart: bool, retry_failed: bool
) -> AbstractContextManager[Sink]:
    if output == "-":
        return nullcontext(_Stdout())
    return AnswerFile(Path(output), run, entries, restart=restart, retry_failed=retry_failed)


class _Stdout:
    """Records on stdout: nothing is remembered."""

    done: Collection[str] = ()
    failed = 0

    def append(self, record: Record) -> None:
        print_result(dump_json(record))


def _answer(entries: list[Entry], sink: Sink, images: Images, quiet: bool, together: int) -> int:
    """Run the batch with a bar and a closing line.

    Returns:
        How many entries failed, in this run or recorded by an earlier one.
    """
    left = sum(entry.key not in sink.done for entry in entries)
    opener: Opener = images.open
    with progress_bar(len(entries), len(entries) - left, quiet) as advance:

        def progress() -> None:
            nonlocal left
            left -= 1
            advance(1)

        try:
            summary = run_batch(entries, sink, opener, progress, together=together)
        except BaseException:
            if not quiet and left:
                again = "; run it again to go on" if isinstance(sink, AnswerFile) else ""
                print_note(f"uhrqa: stopped with {left} of {len(entries)} left{again}")
            raise
    if not quiet:
        _print_summary(summary, sink)
    return summary.failed + sink.failed


def _print_summary(summary: Summary, sink: Sink) -> None:
    """How the run ended, and what to do about failures."""
    done, failed = summary.skipped - sink.failed, summary.failed + sink.failed
    before = f" ({sink.failed} of them before)" if sink.failed else ""
    print_note(f"uhrqa: {summary.answered} answered, {done} done before, {failed} failed{before}")
    _print_reasons(summary.reasons)
    if failed and isinstance(sink, AnswerFile):
        print_note(f"uhrqa: see the error key in {sink.path}; --retry-failed asks again")
    elif failed:
        print_note("uhrqa: see the error key")


def _print_reasons(reasons: Mapping[str, int]) -> None:
    """The first reasons of failures, each with how often it was met."""
    for reason, count in islice(reasons.items(), MOST_REASONS):
        print_note(f"uhrqa: {count} failed: {' '.join(reason.split())}")
    if len(reasons) > MOST_REASONS:
        more = len(reasons) - MOST_REASONS
        print_note(f"uhrqa: and {count_text(more, 'more kind of error', 'more kinds of error')}")


def _read_output(outputs: list[str]) -> str:
    """The one output; an option of the strategy is not taken for it.

    Raises:
        typer.BadParameter: several, or one that reads KEY=VALUE.
    """
    for output in outputs:
        if re.fullmatch(r"\w+=[^/]*", output):
            raise typer.BadParameter(
                f"-o {output}: -o names the output here; write --option {output} for an option "
                f"of the strategy, or -o ./{output} for a file of that name"
            )
    if len(outputs) > 1:
        raise typer.BadParameter(
            f"--output is given {len(outputs)} times: {', '.join(outputs)}; name one file "
            "(an option of the strategy is --option KEY=VALUE)"
        )
    return outputs[0]


def _read_questions(questions: str, output: str) -> list[Entry]:
    if questions == "-":
        return read_entries(read_stdin(), Path())
    path = Path(questions)
    refuse_same({"-o": output}, {"the file of questions": [path]})
    try:
        with path.open("rb") as file:
            return read_entries(file, path.parent)
    except OSError as error:
        raise QuestionError(f"{questions}: cannot be read: {error.strerror}") from error
    except QuestionError as error:
        raise QuestionError(f"{questions}: {error}") from error
