"""`uhrqa ask`: one question, one image, one answer on stdout."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from uhrqa.cli import options as opt
from uhrqa.cli.caching import TileCaches
from uhrqa.cli.choice import choose, load
from uhrqa.cli.console import (
    check_question,
    dump_json,
    print_note,
    print_result,
    read_stdin,
)
from uhrqa.cli.conventions import EXACT, Convention, check_convention
from uhrqa.cli.files import inputs_of, refuse_same, require_writable
from uhrqa.cli.pyramids import kept_levels

if TYPE_CHECKING:
    from uhrqa.answer import Answer

app = typer.Typer(add_completion=False)

EPILOG = opt.examples(
    'uhrqa ask harbour.tif "How many ships are there?"',
    'uhrqa ask s3://bucket/city.tif "Where is the pool?" -b 2k --roi 0,0,9000,6000 --json',
)


@app.command(epilog=EPILOG)
@opt.share(
    *opt.ANSWERING,
    "choices",
    *opt.CACHES,
    *opt.LIMITS,
    *opt.PLACING,
    *opt.READING,
    *opt.PRINTING,
)
def ask(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help=opt.IMAGE_HELP)],
    question: Annotated[
        str,
        typer.Argument(metavar="QUESTION", help="`-` reads stdin; `--` before one with a dash."),
    ],
    *,
    geojson: Annotated[
        str | None,
        typer.Option("--geojson", metavar="FILE", help="Write the evidence as GeoJSON polygons."),
    ] = None,
    convention: Convention = EXACT,
    given: opt.Given,
) -> None:
    """Ask one question about one image.

    The answer goes to stdout; counts, cost and times go to stderr.
    """
    check_convention(convention)
    answer, loading = _answer(image, _read_question(question), given, geojson)
    if geojson is not None:
        from uhrqa.cli.geojson import write_geojson

        write_geojson(answer, geojson)
    as_json = given.settings.format == "json"
    counted = None if convention == EXACT else _counted(answer, convention, given)
    record = answer.to_dict() | ({"counted": counted} if counted else {})
    print_result(dump_json(record) if as_json else answer.text)
    if not given.quiet:
        from uhrqa.cli.report import print_report

        if not answer.text.strip():
            print_note("uhrqa: note: the model gave an empty answer")
        print_report(answer, loading=loading, verbose=given.verbose > 0)
        if counted:
            total = f"{counted['total']:.4g} T{counted['unit']}"
            print_note(f"uhrqa: as {convention} counts it: {total} in all")


def _counted(answer: Answer, convention: str, given: opt.Given) -> dict[str, object]:
    """The answer's cost under another convention, beside the exact one."""
    from uhrqa.conventions import UNITS, cost_by

    dims = choose(given.settings, given.options, rfm=given.rfm, clip=given.clip).card.dims
    cost = cost_by(convention, dims, answer.counts, answer.relevance, answer.cost)
    unit = UNITS.get(convention, "FLOPs")
    return {"convention": convention, "unit": unit, **cost.to_dict()}


def _answer(
    image: str, question: str, given: opt.Given, geojson: str | None
) -> tuple[Answer, float]:
    """The answer, and the seconds it took to load the model.

    Args:
        image: its path.
        question: the user's words.
        given: the options.
        geojson: file that the evidence is written to afterwards.
    """
    choice = choose(given.settings, given.options, rfm=given.rfm, clip=given.clip)
    refuse_same({"--geojson": geojson}, {"the image": [image], **inputs_of(given, choice.made)})
    require_writable(geojson)
    caches = TileCaches(given, choice)
    owner = caches.owner(image)
    kept = kept_levels(image, given)
    from uhrqa.raster import open_raster

    with open_raster(image, given.reading, roi=given.placing.roi, kept=kept) as raster:
        if geojson is not None or given.placing.gsd_in_prompt:  # told before the model is loaded
            from uhrqa.raster.ground import require_ground

            require_ground(raster)
        if given.limits:
            from uhrqa.cli.forecasting import fit

            choice, told = fit(choice, raster, given.settings, given.limits, question)
            if not given.quiet:
                print_note(f"uhrqa: {told}")
        begin = time.perf_counter()
        vlm = load(given)
        from uhrqa.answer import ask as ask_model

        loading = time.perf_counter() - begin
        answer = ask_model(
            raster,
            question,
            model=vlm,
            gsd_in_prompt=given.placing.gsd_in_prompt,
            choices=given.choices or None,
            features=caches.open(owner, vlm.device),
            **choice.arguments(given.settings),
        )
    return answer, loading


def _read_question(question: str) -> str:
    if question == "-":
        question = read_stdin().read().decode("utf-8", "surrogateescape")
    return check_question(question)
