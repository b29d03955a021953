"""`uhrqa models convert`: a checkpoint as stock safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.complete import complete_model
from uhrqa.cli.console import dump_json, print_result
from uhrqa.cli.report import count_text
from uhrqa.cli.signals import end_at_once, end_with_cleanup

EPILOG = opt.examples(
    "uhrqa models convert downloads/UHR-BAT uhr-bat",
    "uhrqa models convert llava-v1.5 stock --allow-pickle --vision-tower clip-vit-l-336",
    "uhrqa models convert Qwen2-VL-pickled Qwen2-VL-stock --allow-pickle",
)
SCHEMA = "uhrqa.convert/1"


@opt.share("allow_pickle", *opt.PRINTING)
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="Card, directory or hub id.", autocompletion=complete_model
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DST", help="Directory to write; new or empty.")
    ],
    *,
    vision_tower: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="Vision tower of a checkpoint that only names it."),
    ] = None,
    given: opt.Given,
) -> None:
    """Write a checkpoint as safetensors in the layout of stock transformers.

    Originals of LLaVA 1.5 and 1.6, LRS-VQA, LongVA, UHR-BAT and GeoLLaVA-8K, and with
    `--allow-pickle` pickles of these and of every stock family; tensors alone are taken from them.
    What comes out loads as fast as any stock checkpoint and answers the same; name it with -m DST.
    """
    from uhrqa.vlm.convert import convert as write

    end_with_cleanup()
    try:
        done = write(source, target, vision_tower=vision_tower, allow_pickle=given.allow_pickle)
    finally:
        end_at_once()
    if given.settings.format == "json":
        report = {
            "schema": SCHEMA,
            "path": str(done.path),
            "layout": done.release,
            "tensors": done.tensors,
            "card": str(done.card) if done.card else None,
        }
        print_result(dump_json(report))
        return
    parts = [f"{count_text(count, 'tensor')} in {kind}" for kind, count in done.tensors.items()]
    print_result(f"{done.path}: {done.release}, {', '.join(parts)}")
    if done.card and not given.quiet:
        print_result(f"{done.card}: what its card said")
