"""`uhrqa ask`: one question, one image, one answer on stdout."""

from __future__ import annotations

from typing import Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.choice import choose, load
from uhrqa.cli.console import dump_json, print_result, read_stdin
from uhrqa.errors import QuestionError

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    'uhrqa ask harbour.tif "How many ships are there?"',
    'uhrqa ask city.zarr "What colour is the roof by the pool?" -b 2k -s region-merge --json',
)


@app.command(epilog=EPILOG)
def ask(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="TIFF, Zarr, PNG or JPEG.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="`-` reads stdin.")],
    model: opt.Model = None,
    strategy: opt.Strategy = None,
    budget: opt.Budget = None,
    option: opt.Option = None,
    rfm: opt.Rfm = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    attention: opt.Attention = None,
    seed: opt.Seed = None,
    max_new_tokens: opt.MaxNewTokens = None,
    max_tiles: opt.MaxTiles = None,
    format_: opt.Format = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Ask one question about one image.

    The answer goes to stdout; counts, cost and times go to stderr.
    """
    settings = opt.resolve(
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
        model=model,
        strategy=strategy,
        budget=budget,
        device=device,
        dtype=dtype,
        attention=attention,
        seed=seed,
        max_new_tokens=max_new_tokens,
        max_tiles=max_tiles,
        format=format_,
    )
    text = _read_question(question)
    choice = choose(settings, opt.read_pairs(option), rfm=rfm)
    from uhrqa.raster import open_raster

    with open_raster(image) as raster:
        vlm = load(settings, quiet, rfm)
        from uhrqa.answer import ask as ask_model

        answer = ask_model(
            raster,
            text,
            model=vlm,
            strategy=choice.strategy,
            budget=choice.budget,
            options=choice.options,
            seed=settings.seed,
            max_new_tokens=settings.max_new_tokens,
        )
    print_result(dump_json(answer.to_dict()) if settings.format == "json" else answer.text)
    if not quiet:
        from uhrqa.cli.report import print_report

        print_report(answer, steps=verbose > 0)


def _read_question(question: str) -> str:
    if question == "-":
        question = read_stdin().read().decode("utf-8", "surrogateescape")
    if not question.strip():
        raise QuestionError("the question is empty; ask something, or use - to read it from stdin")
    if any("\ud800" <= letter <= "\udfff" for letter in question):  # as bytes that are not UTF-8
        raise QuestionError("the question is not valid UTF-8")
    return question.strip()
