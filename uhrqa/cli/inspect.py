"""`uhrqa models inspect`: what a checkpoint is, and whether it would load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.complete import complete_model
from uhrqa.cli.console import dump_json, fold, print_result
from uhrqa.cli.report import bytes_text, count_text
from uhrqa.errors import CardError, CheckpointError

if TYPE_CHECKING:
    from uhrqa.vlm.report import Report

EPILOG = opt.examples(
    "uhrqa models inspect ./llava-v1.6-mistral-7b-hf",
    "uhrqa models inspect org/name@main --json",
    "uhrqa models inspect ./llava-v1.5-7b --allow-pickle",
)
SHOWN = 20  # names of a long list; --json has all
LOADS = "loads, by its headers: no weight was looked at"


@opt.share("allow_pickle", *opt.PRINTING)
def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Card, directory or hub id.", autocompletion=complete_model
        ),
    ],
    given: opt.Given,
) -> None:
    """Show what a checkpoint is, and whether it would load.

    Reads headers and configuration, never a weight, so that a checkpoint of any size takes seconds;
    of pickles, which `--allow-pickle` lets it look into, names and shapes.
    Whether weights are numbers is told when they are loaded.
    Ends with 4 when it would not load; the last line says why and what to do.
    """
    from uhrqa.vlm.inspecting import inspect_named
    from uhrqa.vlm.report import SCHEMA

    try:
        report = inspect_named(model, allow_pickle=given.allow_pickle)
    except (CardError, CheckpointError) as error:
        if given.settings.format == "json":
            fault = {"schema": SCHEMA, "name": model, "loads": False, "fault": str(error)}
            print_result(dump_json(fault))
            raise typer.Exit(error.exit_code) from error
        raise
    if given.settings.format == "json":
        print_result(dump_json(report.to_dict()))
    elif not given.quiet:
        print_result("\n".join(fold(line, 13) for line in _lines(report)))
    if given.settings.format != "json":
        print_result(f"does not load: {report.fault}" if report.fault else LOADS)
    raise typer.Exit(CheckpointError.exit_code if report.fault else 0)


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.name}: {report.family}, {report.kind}, {report.layout} layout"
    yield f"  directory  {report.directory}"
    yield f"  weights    {_weights(report)}"
    sizes = {"tower": _tower(report), "decoder": _decoder(report)}
    for name in dict.fromkeys([*sizes, *report.parts]):
        yield f"  {name:10} {'; '.join(filter(None, (sizes.get(name), _share(report, name))))}"
    beside = {
        "tokenizer": report.tokenizer,
        "template": report.template,
        "processor": report.processor,
    }
    for name, file in beside.items():
        yield f"  {name:10} {file or 'none of its own'}"
    for note in report.assumed:
        yield f"  note       {note}"
    if report.renamed:
        yield f"  renamed    {count_text(report.renamed, 'tensor')}, to the names transformers has"
    for name in ("dropped", "missing", "unexpected", "mismatched"):
        if names := getattr(report, name):
            yield f"  {name:10} {_few(names)}"


def _decoder(report: Report) -> str:
    sizes = report.decoder
    heads = f"{sizes['heads']} heads, {sizes['kv_heads']} of keys"
    experts = f", {sizes['experts']} experts" if sizes["experts"] > 1 else ""
    return (
        f"{sizes['type']}: {count_text(sizes['layers'], 'layer')} of {sizes['width']:,}, {heads}, "
        f"MLP {sizes['mlp']:,}{experts}, {sizes['vocab']:,} words, context {report.context:,}"
    )


def _tower(report: Report) -> str:
    sizes = report.tower
    return (
        f"{count_text(sizes['layers'], 'layer')} of {sizes['width']:,}, "
        f"tiles of {sizes['tile']} px in patches of {sizes['patch']}"
    )


def _weights(report: Report) -> str:
    dtypes = ", ".join(f"{name} {bytes_text(held)}" for name, held in report.dtypes.items())
    files = count_text(len(report.files), "file")
    if not report.files:
        return "none that can be read"
    return f"{report.parameters:,} numbers, {bytes_text(report.bytes)} in {files}: {dtypes}"


def _share(report: Report, name: str) -> str:
    share = report.parts.get(name)
    return f"{share.parameters:,} numbers, {bytes_text(share.bytes)}" if share else ""


def _few(names: Iterable[str]) -> str:
    all_names = list(names)
    rest = len(all_names) - SHOWN
    shown = ", ".join(all_names[:SHOWN])
    return f"{len(all_names)}: {shown}{f' and {rest} more (--json lists all)' if rest > 0 else ''}"
