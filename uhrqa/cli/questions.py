"""`uhrqa questions`: questions with their truth from detection labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.complete import among
from uhrqa.cli.console import print_note, print_result
from uhrqa.cli.files import is_file, refuse_same, require_writable
from uhrqa.cli.report import count_text

if TYPE_CHECKING:
    from uhrqa.labels.objects import Labels
    from uhrqa.labels.records import Wanted

app = typer.Typer(add_completion=False)

FORMATS = ("dota", "coco", "fair1m", "geojson")
LISTED = "dota, coco, fair1m or geojson"

EPILOG = opt.examples(
    "uhrqa questions labelTxt --format dota --images images -o questions.jsonl",
    "uhrqa questions ships.geojson --format geojson --images scene.tif -o q.jsonl --per-category 4",
)


@app.command(epilog=EPILOG)
@opt.share("seed", *opt.MESSAGES)
def questions(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="File of labels, or a directory of them.")
    ],
    *,
    format: Annotated[
        str, typer.Option(metavar="NAME", help=f"{LISTED}.", autocompletion=among(FORMATS))
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Questions, as JSON lines.")
    ],
    images: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Directory of images, or the image (beside the labels)."),
    ] = None,
    per_category: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="At most N of a category an image, answers balanced (all)."
        ),
    ] = None,
    min_side: Annotated[
        int, typer.Option(metavar="PX", min=1, help="Leave out images with a shorter side.")
    ] = 1024,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Subset, in each id (that of LABELS).")
    ] = None,
    given: opt.Given,
) -> None:
    """Write questions with their truth from detection labels.

    What is asked follows from labels alone: how many, whether any, where, which are more, what
    lies on what. Objects are named by the rules of LRS-VQA, so that each name fits one. The file
    is in its format, which `uhrqa compare` and `uhrqa batch` read.
    """
    if format not in FORMATS:
        raise typer.BadParameter(f"--format '{format}': expected {LISTED}")
    from uhrqa.labels.images import Images
    from uhrqa.labels.reading import read_labels
    from uhrqa.labels.records import Wanted, make_records, write_records

    refuse_same({"-o": output}, {"the file of labels": [labels] if is_file(labels) else []})
    require_writable(output)
    place = images or (labels if labels.is_dir() else labels.parent)
    read = read_labels(labels, format, Images(place))
    wanted = Wanted(name or labels.stem or "LABELS", given.settings.seed, per_category, min_side)
    records = make_records(read, wanted, output.parent)
    write_records(records, output)
    if not given.quiet:
        _say_left_out(read, wanted)
        _say_found(records)
    print_result(f"{output}: {count_text(len(records), 'question')}")


def _say_left_out(labels: Labels, wanted: Wanted) -> None:
    small = sum(min(image.size) < wanted.min_side for image in labels.images)
    if small:
        print_note(
            f"uhrqa: {small} of {count_text(len(labels.images), 'image')} left out, with a shorter "
            f"side below {wanted.min_side} px; see --min-side"
        )
    if labels.outside:
        print_note(f"uhrqa: {count_text(labels.outside, 'object')} left out, outside the image")
    if labels.repeated:
        from uhrqa.benchmarks.reading import some_of

        print_note(
            f"uhrqa: {count_text(len(labels.repeated), 'object')} left out, written twice: "
            f"{some_of(labels.repeated)}"
        )


def _say_found(records: list[dict[str, Any]]) -> None:
    found = Counter(record["category"] for record in records)
    several = ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
    print_note(f"uhrqa: {count_text(len({r['image'] for r in records}), 'image')}: {several}")
