"""`uhrqa info`: what an image is made of, and what budgets would buy. Loads no model."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uhrqa.budget import Budget
from uhrqa.cli import options as opt
from uhrqa.cli.choice import choose_card
from uhrqa.cli.console import dump_json, open_console, print_result
from uhrqa.config import Settings
from uhrqa.errors import NoOverviewWarning

if TYPE_CHECKING:
    from uhrqa.pyramid import Level
    from uhrqa.raster import Raster
    from uhrqa.vlm.card import Card

app = typer.Typer(add_completion=False)

EPILOG = opt.examples("uhrqa info harbour.tif", "uhrqa info city.zarr -m tiny -b 1k -b 4k --json")
SCHEMA = "uhrqa.info/1"
PLAIN = (("uint8", "none", [1]), ("uint8", "none", [1, 2, 3]))  # nothing to tell
MASKED = "places without image (no-data, mask, transparency or region) take no tokens\n"
BUDGETS = (1000, 2000, 4000, 8000, 16000)


@app.command(epilog=EPILOG)
@opt.share("model", "roi", *opt.READING, *opt.PRINTING)
def info(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help=opt.IMAGE_HELP)],
    *,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            "-b",
            metavar="TOKENS",
            help="Budgets to compare; repeatable, or with commas.",
        ),
    ] = None,
    given: opt.Given,
) -> None:
    """Show an image's levels, tiles and tokens, and what budgets buy."""
    from uhrqa.raster import open_raster, overview_advice

    card = choose_card(given.settings)
    budgets = opt.read_budgets(opt.split_words(budget)) or _budgets(given.settings, card)
    with open_raster(image, given.reading, roi=given.placing.roi) as raster:
        if advice := overview_advice(raster):
            warnings.warn(advice, NoOverviewWarning, stacklevel=1)
        found = _describe(raster, card, sorted(set(budgets)))
    if given.settings.format == "json":
        print_result(dump_json(found))
    else:
        _print(found)


def _budgets(settings: Settings, card: Card) -> list[int]:
    """Those worth a look: the default one, and what the model's context has room for."""
    fitting = [tokens for tokens in BUDGETS if tokens < card.context]
    usual = Budget.of(settings.budget or card.budget, usual=card.budget)
    return [*fitting, usual.tokens]


def _describe(raster: Raster, card: Card, budgets: list[int]) -> dict[str, Any]:
    from uhrqa.pyramid import Pyramid
    from uhrqa.raster import absent_files, has_mask, shown
    from uhrqa.raster.ground import describe_ground, ground_of

    pyramid = Pyramid.build(
        raster.size, card.tile, card.level_one_side, stretch=card.stretch_thumbnail
    )
    levels = [_describe_level(level, card) for level in pyramid]
    return {
        "schema": SCHEMA,
        "image": raster.path,
        "width": raster.size.w,
        "height": raster.size.h,
        **describe_ground(ground_of(raster), raster.size),
        "stored_levels": [{"width": size.w, "height": size.h} for size in raster.levels],
        "shown": shown(raster),
        "has_mask": has_mask(raster),
        "absent_files": absent_files(raster),
        "model": card.name,
        "tile": card.tile,
        "tokens_per_tile": card.tokens_per_tile,
        "levels": levels,
        "budgets": [
            {
                "tokens": tokens,
                "tiles": tokens // card.tokens_per_tile,
                "share_of_level": [
                    round(min(1.0, tokens / level["tokens"]), 4) for level in levels
                ],
            }
            for tokens in budgets
        ],
    }


def _describe_level(level: Level, card: Card) -> dict[str, Any]:
    rows, cols = level.grid
    return {
        "level": level.index,
        "width": level.size.w,
        "height": level.size.h,
        "source_pixels_per_pixel": round(1 / max(level.scale), 3),
        "rows": rows,
        "cols": cols,
        "tiles": level.tile_count,
        "tokens": math.prod(level.cells(card.pixels_per_token * card.pooling(level.index))),
    }


def _ground_line(found: dict[str, Any]) -> str:
    if "crs" not in found:
        return f"ground: not known: {found['no_ground']}\n"
    across, down = found["metres_per_pixel"]
    lons, lats = zip(*found["lonlat"], strict=True)
    span = ",".join(f"{edge:.5f}" for edge in (min(lons), min(lats), max(lons), max(lats)))
    return f"ground: {found['crs']}, {across:g} x {down:g} m a pixel, lonlat:{span}\n"


def _shown_line(look: dict[str, Any]) -> str:
    """One line on bands and contrast; none for plain colours of 8 bits."""
    if not look or (look["type"], look["stretch"], look["bands"]) in PLAIN:
        return ""
    bands = ",".join(map(str, look["bands"]))
    line = f"bands {bands} of {look['bands_stored']}, {look['type']} {look['colour']}"
    if "limits" in look:
        limits = ", ".join(f"{low:g}...{high:g}" for low, high in look["limits"])
        line += f", stretch {look['stretch']}: {limits}"
    if look["nodata"] is not None:
        line += f", no data {look['nodata']}"
    return line + "\n"


def _absent_line(found: dict[str, Any]) -> str:
    """One line on chunks that are not there; none where all are."""
    absent, count = found["absent_files"] or (0, 0)
    if not absent:
        return ""
    return f"{absent} of {count} chunks are not there: shown as fill value or no data, else as 0\n"


def _print(found: dict[str, Any]) -> None:
    from uhrqa.cli.report import make_table

    stored = ", ".join(f"{size['width']} x {size['height']}" for size in found["stored_levels"])
    print_result(
        f"{found['image']}: {found['width']} x {found['height']} px\n"
        f"{_ground_line(found)}"
        f"stored levels: {stored}\n"
        f"{_shown_line(found['shown'])}"
        f"{_absent_line(found)}"
        f"{MASKED if found['has_mask'] else ''}"
        f"model {found['model']}: tiles of {found['tile']} px, "
        f"{found['tokens_per_tile']} tokens a tile"
    )
    levels = found["levels"]
    console = open_console(stderr=False, wide=True)
    console.print(
        make_table(
            ("level", "size", "source px / px", "tiles", "tokens"),
            [
                (
                    str(level["level"]),
                    f"{level['width']} x {level['height']}",
                    f"{level['source_pixels_per_pixel']:g}",
                    f"{level['rows']} x {level['cols']} = {level['tiles']}",
                    str(level["tokens"]),
                )
                for level in levels
            ],
            words=2,
        )
    )
    console.print(
        make_table(
            ("budget", "tiles", *(f"of level {level['level']}" for level in levels)),
            [
                (
                    str(row["tokens"]),
                    str(row["tiles"]),
                    *(f"{share:.1%}" for share in row["share_of_level"]),
                )
                for row in found["budgets"]
            ],
        )
    )
