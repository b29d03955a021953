"""`uhrqa profile`: what budgets and strategies cost, planned from dimensions or really run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.choice import Choice, check_model, choose, load
from uhrqa.cli.console import dump_json, print_note, print_result
from uhrqa.cli.conventions import EXACT, Convention, check_convention
from uhrqa.cli.files import cache_directory
from uhrqa.cli.rows import Row, Table, measured_row, planned_row, print_table
from uhrqa.config import Settings
from uhrqa.errors import BudgetError, CheckpointError, ConfigError
from uhrqa.geometry import Size
from uhrqa.rates import save_rates

if TYPE_CHECKING:
    from uhrqa.cli.forecasting import Machine
    from uhrqa.raster import Raster

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    "uhrqa profile --calibrate",
    "uhrqa profile harbour.tif -b 1k,4k -s rfm-dip,downsample",
)


@app.command(epilog=EPILOG)
@opt.share(*opt.ANSWERING, *opt.PLACING, *opt.READING, *opt.PRINTING)
def profile(
    image: Annotated[str | None, typer.Argument(metavar="IMAGE", help=opt.IMAGE_HELP)] = None,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="About the image; it is really asked.")
    ] = None,
    *,
    size: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Plan for such an image; nothing is loaded."),
    ] = None,
    strategy: opt.Strategies = None,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", "-b", metavar="TOKENS", help="Repeatable, or with commas."),
    ] = None,
    convention: Convention = EXACT,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine, for seconds in plans.")
    ] = False,
    given: opt.Given,
) -> None:
    """Show what budgets and strategies cost, planned or really run.

    An image without a question, or a size, is planned for: no weight and no pixel is read. With
    neither image nor size, a drawn example scene is really asked about.
    """
    check_convention(convention)
    if calibrate:
        _calibrate(given)
        if image is None and size is None:
            return
    if size is not None and image is not None:
        raise typer.BadParameter("give an image or --size, not both")
    if size is not None and given.placing.roi is not None:
        raise typer.BadParameter("--roi is of an image; give --size the size of the region")
    choices = _choices(strategy, budget, given)
    if size is not None or (image is not None and question is None):
        table = _planned(image, size, choices, convention, given)
    else:
        _check(given)  # before a scene is drawn
        table = _run(*_subject(image, question, given), choices, convention, given)
    print_table(table, given.settings, given.quiet)
    if table.is_refused:
        raise BudgetError(str(table.rows[0].refused))


def _check(given: opt.Given) -> None:
    """Refuse a model that cannot be loaded.

    Raises:
        CheckpointError: its files are not on this machine, or not whole.
        ConfigError: a package that an option needs is not installed.
    """
    try:
        check_model(given)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; or plan without it: --size WIDTHxHEIGHT") from error


def _note_fault(given: opt.Given) -> None:
    """Say that a plan was made without looking at the files, where they would not load."""
    try:
        check_model(given)
    except (CheckpointError, ConfigError) as error:
        if not given.quiet:
            print_note(f"uhrqa: note: planned from sizes alone; it would not load here: {error}")


def _choices(
    strategies: list[str] | None, budgets: list[str] | None, given: opt.Given
) -> list[Choice]:
    """Every strategy at every budget; where none is named, what the settings say."""
    names: list[str | None] = [*opt.split_words(strategies)]
    caps: list[int | None] = [*opt.read_budgets(opt.split_words(budgets))]
    return [
        choose(
            given.settings,
            given.options,
            strategy=name,
            budget=tokens,
            rfm=given.rfm,
            clip=given.clip,
        )
        for name in names or [None]
        for tokens in caps or [None]
    ]


def _subject(image: str | None, question: str | None, given: opt.Given) -> tuple[str, str]:
    """What is asked about what: the example scene where nothing is named."""
    if image is not None and question is not None:
        return image, question
    from uhrqa.cli.example import example_scene

    path, questions = example_scene(given.settings, given.quiet)
    return path, questions[0].text


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


def _planned(
    image: str | None, size: str | None, choices: list[Choice], convention: str, given: opt.Given
) -> Table:
    """A plan for a size, or for an image whose storage then tells what would be read."""
    from uhrqa.cli.forecasting import Machine

    if choices[0].card.directory is not None:
        _note_fault(given)
    machine = Machine(choices[0].card, given.settings)
    if image is None:
        return _plan(read_size(str(size)), choices, convention, given.settings, machine)
    from uhrqa.raster import open_raster

    with open_raster(image, given.reading, roi=given.placing.roi) as raster:
        return _plan(raster, choices, convention, given.settings, machine)


def _plan(
    image: Size | Raster,
    choices: list[Choice],
    convention: str,
    settings: Settings,
    machine: Machine,
) -> Table:
    from uhrqa.plan import QUESTION_TOKENS, STEPS, plan

    given = "max_new_tokens" in settings.origins  # the first token needs no step of its own
    steps = settings.max_new_tokens - 1 if given else STEPS

    def one(choice: Choice) -> Row:
        found = plan(
            image,
            choice.card,
            choice.strategy,
            choice.budget,
            options=choice.options,
            steps=steps,
        )
        return planned_row(choice, machine.forecast(choice.card, found), convention)

    rows = [_attempt(one, choice) for choice in choices]
    bounded = dict.fromkeys(row.strategy for row in rows if row.bound == "at most")
    limit = f"; {', '.join(bounded)}: at most this" if bounded else ""
    assumed = {"question_tokens": QUESTION_TOKENS, "decode_steps": steps}
    subject = f"{image}" if isinstance(image, Size) else f"{image.path}, {image.size}"
    setup = machine.setup
    held = ", ".join(filter(None, (machine.name, setup.dtype, setup.quantize)))
    title = f"planned for {subject}{limit}"
    return Table(title, rows, convention, assumed, held, machine.notes())


def _calibrate(given: opt.Given) -> None:
    """Measure the device that the settings name, keep it, and tell."""
    from uhrqa.calibrate import measure
    from uhrqa.cli.forecasting import dtype_of, rates_text
    from uhrqa.vlm.device import choose_device

    device = choose_device(given.settings.device)
    dtype = dtype_of(given.settings, device)
    rates = measure(device, dtype, _answer_once())
    path = save_rates(cache_directory(given.settings), rates, str(dtype).removeprefix("torch."))
    if given.settings.format == "json":
        print_result(dump_json({**asdict(rates), "file": str(path)}))
    if not given.quiet:
        for line in (*rates_text(rates), f"kept in {path}"):
            print_note(f"uhrqa: {line}")


def _answer_once() -> float:
    """Seconds of a process's first question, about next to nothing.

    It loads what every answer needs, so that what the program itself holds can be measured.
    """
    import numpy as np

    from uhrqa.answer import ask
    from uhrqa.vlm import load_model

    blank, model = np.full((64, 64, 3), 127, np.uint8), load_model("tiny")
    begin, used = time.perf_counter(), time.process_time()
    ask(blank, "what is it?", model=model, strategy="thumbnail", max_new_tokens=1)
    return min(time.perf_counter() - begin, time.process_time() - used)


def _run(
    image: str, question: str, choices: list[Choice], convention: str, given: opt.Given
) -> Table:
    from uhrqa.raster import open_raster

    settings, placing = given.settings, given.placing
    opened = partial(open_raster, image, given.reading, roi=placing.roi)
    opened().close()  # a bad image is told before the model is loaded
    vlm = load(given)
    from uhrqa.answer import ask

    def one(choice: Choice) -> Row:
        reset_peak_memory()
        with opened() as raster:  # anew: no row profits from what another has read
            answer = ask(
                raster,
                question,
                model=vlm,
                strategy=choice.strategy,
                budget=choice.budget,
                options=choice.options,
                seed=settings.seed,
                max_new_tokens=settings.max_new_tokens,
                gsd_in_prompt=placing.gsd_in_prompt,
            )
        return measured_row(choice, answer, convention)

    warm_up = choices[0].with_strategy("thumbnail")  # so that no row pays for the first call
    _attempt(one, warm_up)
    rows = [_attempt(one, choice) for choice in choices]
    return Table(f"{image}: {question}", rows, convention)


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
