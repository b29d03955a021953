"""`uhrqa synth`: drawn scenes with truth and questions, as files for any tool."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.complete import among
from uhrqa.cli.console import open_console, print_note, print_result
from uhrqa.cli.report import bytes_text, count_text
from uhrqa.cli.sides import SIDES, Sides, read_sides
from uhrqa.cli.signals import end_at_once, end_with_cleanup
from uhrqa.config import SPLITS

if TYPE_CHECKING:
    from uhrqa.synth.dataset import Recipe

app = typer.Typer(add_completion=False)

WRITTEN = (*SPLITS, "train")
FORMATS = ("tif", "zarr")
COMPRESSIONS = ("jpeg", "deflate")

EPILOG = opt.examples(
    "uhrqa synth scenes --scenes 20",
    "uhrqa synth large --scenes 1 --sides 27648 --compression deflate",
)


@app.command(epilog=EPILOG)
@opt.share(*opt.MESSAGES)
def synth(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Made when missing.")],
    *,
    scenes: Annotated[int, typer.Option(metavar="N", min=1, help="Scenes to write.")] = 10,
    sides: Sides = SIDES,
    split: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="test, validation or train.", autocompletion=among(WRITTEN)
        ),
    ] = WRITTEN[0],
    format: Annotated[
        str, typer.Option(metavar="NAME", help="tif or zarr.", autocompletion=among(FORMATS))
    ] = FORMATS[0],
    compression: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Of a TIFF: jpeg or deflate.", autocompletion=among(COMPRESSIONS)
        ),
    ] = COMPRESSIONS[0],
    quality: Annotated[
        int, typer.Option(metavar="N", min=1, max=100, help="Of JPEG, 1 to 100.")
    ] = 92,
    noise: Annotated[
        float, typer.Option(metavar="X", min=0, max=1, help="Sensor noise, 0 to 1.")
    ] = 1.0,
    per_category: Annotated[
        int, typer.Option(metavar="N", min=1, help="Questions of a category a scene, at most.")
    ] = 2,
    shards: Annotated[bool, typer.Option("--shards", help="Zarr: 64 chunks a file.")] = False,
    first: Annotated[
        int, typer.Option(metavar="N", min=0, help="First scene of the split; others are new.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")
    ] = False,
    given: opt.Given,
) -> None:
    """Write drawn scenes with their truth and questions.

    `images/` holds the scenes with overviews, `truth/` every object, and `questions.jsonl` the
    questions in LRS-VQA's format, which `uhrqa batch` reads too. Memory does not grow with the
    size. Started again, the same command writes only what is missing.
    """
    from uhrqa.synth.dataset import Recipe

    _check("--split", split, WRITTEN)
    _check("--format", format, FORMATS)
    _check("--compression", compression, COMPRESSIONS)
    if shards and format != "zarr":
        raise typer.BadParameter(f"--shards is of a Zarr, not of {format}; add --format zarr")
    pixels = read_sides(sides)
    recipe = Recipe(
        scenes=scenes,
        split=split,
        sides=pixels,
        per_category=per_category,
        format=format,
        compression=compression,
        quality=quality,
        noise=noise,
        shards=shards,
        first=first,
    )
    if dry_run:
        _say_plan(recipe)
    else:
        _write(recipe, directory, given.quiet)


def _check(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise typer.BadParameter(f"{option} '{value}': expected {' or '.join(known)}")


def _say_plan(recipe: Recipe) -> None:
    total = 0
    for index, scene, questions in recipe.drawn():
        size = recipe.bytes_of(scene.size)
        total += size
        print_result(
            f"{recipe.name(index)}: {scene.size}, about {bytes_text(size)}, "
            f"{count_text(len(questions), 'question')}"
        )
    print_result(f"about {bytes_text(total)} in all")


def _write(recipe: Recipe, directory: Path, quiet: bool) -> None:
    from uhrqa.synth.dataset import QUESTIONS, write_dataset

    done = 0

    def progress(image: str, new: bool) -> None:
        nonlocal done
        done += 1
        if not quiet:
            how = "written" if new else "was there"
            print_note(f"uhrqa: scene {done} of {recipe.scenes}: {image} {how}")

    end_with_cleanup()
    try:
        with _bar(quiet) as drawn:
            count = write_dataset(recipe, directory, progress, drawn)
    except (KeyboardInterrupt, SystemExit):
        if not quiet:
            print_note(f"uhrqa: {done} of {recipe.scenes} scenes are there; run it again to go on")
        raise
    finally:
        end_at_once()
    print_result(f"{directory / QUESTIONS}: {count_text(count, 'question')}")


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """The tiles of the scene at work, on stderr; nothing where there is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda image, done, tiles: None
        return
    from rich.progress import Progress

    with Progress(console=open_console(), transient=True) as bar:
        task = bar.add_task("tiles", total=None)
        yield lambda image, done, tiles: bar.update(
            task, description=image, completed=done, total=tiles
        )
