"""`uhrqa profile`: what budgets and strategies cost, planned from dimensions or really run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from uhrqa.budget import parse_tokens
from uhrqa.cli import options as opt
from uhrqa.cli.choice import Choice, choose, load
from uhrqa.cli.rows import Row, measured_row, planned_row, print_rows
from uhrqa.config import Settings
from uhrqa.errors import BudgetError
from uhrqa.geometry import Size

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    "uhrqa profile --budget 1k,4k -s rfm-dip,downsample",
    "uhrqa profile --size 32768x32768 -b 4k --json",
)


@app.command(epilog=EPILOG)
def profile(
    image: Annotated[
        str | None, typer.Argument(metavar="IMAGE", help="TIFF, Zarr, PNG or JPEG.")
    ] = None,
    question: Annotated[str | None, typer.Argument(metavar="QUESTION")] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Plan for such an image; nothing is loaded."),
    ] = None,
    model: opt.Model = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", "-s", metavar="NAMES", help="Repeatable, or with commas."),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", "-b", metavar="TOKENS", help="Repeatable, or with commas."),
    ] = None,
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
    """Show what budgets and strategies cost, planned or really run.

    With neither an image nor a size, a drawn example scene is used.
    """
    settings = opt.resolve(
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
        model=model,
        device=device,
        dtype=dtype,
        attention=attention,
        seed=seed,
        max_new_tokens=max_new_tokens,
        max_tiles=max_tiles,
        format=format_,
    )
    if size is not None and image is not None:
        raise typer.BadParameter("give an image or --size, not both")
    if image is not None and question is None:
        raise typer.BadParameter("give a question behind the image")
    names: list[str | None] = [*_split(strategy)]
    budgets: list[int | None] = [parse_tokens(text) for text in _split(budget)]
    options = opt.read_pairs(option)
    choices = [
        choose(settings, options, strategy=name, budget=tokens, rfm=rfm)
        for name in names or [None]
        for tokens in budgets or [None]
    ]
    if size is not None:
        rows = _plan(read_size(size), choices, settings)
        bounded = dict.fromkeys(row.strategy for row in rows if row.bound == "at most")
        limit = f"; {', '.join(bounded)}: at most this" if bounded else ""
        title = f"planned for {size} px{limit}"
    else:
        if image is None or question is None:
            from uhrqa.cli.example import example_scene

            image, questions = example_scene(settings, quiet)
            question = questions[0].text
        rows = _run(image, question, choices, settings, rfm=rfm, quiet=quiet)
        title = f"{image}: {question}"
    print_rows(rows, settings, title, quiet)
    if all(row.refused for row in rows):
        raise BudgetError(str(rows[0].refused))


def read_size(text: str) -> Size:
    """`8192x4096` as width and height.

    Raises:
        typer.BadParameter: not such a pair.
    """
    match = re.fullmatch(r"(\d{1,9})\s*[xX×]\s*(\d{1,9})", text.strip(), re.ASCII)
    size = Size(int(match[2]), int(match[1])) if match else Size(0, 0)
    if not size.area:
        raise typer.BadParameter(f"--size '{text}': write WIDTHxHEIGHT, for example 8192x8192")
    return size


def _split(words: Iterable[str] | None) -> list[str]:
    """Words given again and again, or with commas; each once."""
    parts = [part.strip() for word in words or () for part in word.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def _plan(size: Size, choices: list[Choice], settings: Settings) -> list[Row]:
    from uhrqa.plan import STEPS, plan

    given = "max_new_tokens" in settings.origins  # the first token needs no step of its own
    steps = settings.max_new_tokens - 1 if given else STEPS

    def one(choice: Choice) -> Row:
        options = choice.options
        found = plan(
            size, choice.card, choice.strategy, choice.budget, options=options, steps=steps
        )
        return planned_row(choice, found)

    return [_attempt(one, choice) for choice in choices]


def _run(
    image: str,
    question: str,
    choices: list[Choice],
    settings: Settings,
    *,
    rfm: str | None,
    quiet: bool,
) -> list[Row]:
    from uhrqa.raster import open_raster

    open_raster(image).close()  # a bad image is told before the model is loaded
    vlm = load(settings, quiet, rfm)
    from uhrqa.answer import ask

    def one(choice: Choice) -> Row:
        reset_peak_memory()
        with open_raster(image) as raster:  # anew: no row profits from what another has read
            answer = ask(
                raster,
                question,
                model=vlm,
                strategy=choice.strategy,
                budget=choice.budget,
                options=choice.options,
                seed=settings.seed,
                max_new_tokens=settings.max_new_tokens,
            )
        return measured_row(choice, answer)

    warm_up = choices[0].with_strategy("thumbnail")  # so that no row pays for the first call
    _attempt(one, warm_up)
    return [_attempt(one, choice) for choice in choices]


def _attempt(run: Callable[[Choice], Row], choice: Choice) -> Row:
    """A row, refused where the budget is too small: the others are still of use."""
    try:
        return run(choice)
    except BudgetError as error:
        return Row(choice.strategy, choice.budget.tokens, refused=str(error))


def reset_peak_memory() -> None:
    """Let the next reading of the peak be that of what follows, where the system can do so."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
