"""`uhrqa prepare`: an image converted once to one that reads fast. Loads no model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.bar import progress_bar
from uhrqa.cli.console import dump_json, print_note, print_result
from uhrqa.cli.report import count_text
from uhrqa.cli.signals import end_at_once, end_with_cleanup

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    "uhrqa prepare harbour.png harbour.tif",
    "uhrqa prepare city.tif city.zarr --compression none --overwrite",
)
SCHEMA = "uhrqa.prepare/1"


@app.command(epilog=EPILOG)
@opt.share("max_pixels", "on_bad_tile", *opt.PRINTING)
def prepare(
    source: Annotated[str, typer.Argument(metavar="SRC", help=opt.IMAGE_HELP)],
    target: Annotated[str, typer.Argument(metavar="DST", help="File.tif or directory.zarr.")],
    *,
    compression: Annotated[
        str, typer.Option(metavar="NAME", help="zstd, deflate (TIFF) or none; without loss.")
    ] = "zstd",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DST.")] = False,
    given: opt.Given,
) -> None:
    """Convert an image once to one that reads fast.

    The full resolution is copied value by value, in tiles of 512 px; coarser levels are antialiased
    and leave no-data out. Depth, bands, no-data, masks, alpha and reference system stay. DST is
    there when it is whole.
    """
    from uhrqa.raster.prepare import prepare as convert

    end_with_cleanup()
    try:
        with ExitStack() as stack:

            def started(rows: int) -> Callable[[int], None]:
                return stack.enter_context(progress_bar(rows, 0, given.quiet, "rows"))

            done = convert(
                source,
                target,
                compression=compression,
                overwrite=overwrite,
                max_pixels=given.reading.max_pixels,
                on_bad_tile=given.reading.on_bad_tile,
                started=started,
            )
    finally:
        end_at_once()
    if given.settings.format == "json":
        report = {
            "schema": SCHEMA,
            "path": str(done.path),
            "levels": [{"width": size.w, "height": size.h} for size in done.sizes],
            "bands": done.bands,
            "type": done.dtype,
            "left_out": list(done.notes),
        }
        print_result(dump_json(report))
        return
    if not given.quiet:
        for note in done.notes:
            print_note(f"uhrqa: note: {source}: {note}")
    size, bands = done.sizes[0], count_text(done.bands, "band")
    levels = count_text(len(done.sizes), "level")
    print_result(f"{done.path}: {size.w} x {size.h} px, {bands} of {done.dtype}, {levels}")
