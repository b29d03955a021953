"""`uhrqa ask`: one question, one image, one answer on stdout."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.choice import choose, load
from uhrqa.cli.console import dump_json, print_note, print_result, read_stdin
from uhrqa.errors import QuestionError

if TYPE_CHECKING:
    from uhrqa.answer import Answer

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    'uhrqa ask harbour.tif "How many ships are there?"',
    'uhrqa ask city.zarr "Where is the pool?" -b 2k -s region-merge --json',
)


@app.command(epilog=EPILOG)
@opt.share(*opt.ANSWERING, *opt.READING, *opt.PRINTING)
def ask(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help=opt.IMAGE_HELP)],
    question: Annotated[
        str,
        typer.Argument(metavar="QUESTION", help="`-` reads stdin; `--` before one with a dash."),
    ],
    given: opt.Given,
) -> None:
    """Ask one question about one image.

    The answer goes to stdout; counts, cost and times go to stderr.
    """
    answer, loading = _answer(image, _read_question(question), given)
    as_json = given.settings.format == "json"
    print_result(dump_json(answer.to_dict()) if as_json else answer.text)
    if not given.quiet:
        from uhrqa.cli.report import print_report

        if not answer.text.strip():
            print_note("uhrqa: note: the model gave an empty answer")
        print_report(answer, loading=loading, verbose=given.verbose > 0)


def _answer(image: str, question: str, given: opt.Given) -> tuple[Answer, float]:
    """The answer, and the seconds it took to load the model."""
    settings = given.settings
    choice = choose(settings, given.options, rfm=given.rfm)
    from uhrqa.raster import open_raster

    with open_raster(image, given.reading) as raster:
        begin = time.perf_counter()
        vlm = load(given)
        from uhrqa.answer import ask as ask_model

        loading = time.perf_counter() - begin
        answer = ask_model(
            raster,
            question,
            model=vlm,
            strategy=choice.strategy,
            budget=choice.budget,
            options=choice.options,
            seed=settings.seed,
            max_new_tokens=settings.max_new_tokens,
        )
    return answer, loading


def _read_question(question: str) -> str:
    if question == "-":
        question = read_stdin().read().decode("utf-8", "surrogateescape")
    if not question.strip():
        raise QuestionError("the question is empty; ask something, or use - to read it from stdin")
    if any("\ud800" <= letter <= "\udfff" for letter in question):  # as bytes that are not UTF-8
        raise QuestionError("the question is not valid UTF-8")
    return question.strip()
