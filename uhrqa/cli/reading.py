"""Options that say how an image is read: bands, contrast, size, damage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from uhrqa.cli.complete import among
from uhrqa.reading import BAD_TILES, STRETCHES, Reading, parse_bands, parse_stretch

Bands = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Bands to show, from 1; one for grey (the file's colours)."),
]
Stretch = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Percentiles shown black and white, minmax, none (2,98 above 8 bits).",
        autocompletion=among(STRETCHES[:2]),
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Largest image opened (2^36; PNG and JPEG 2^30)."),
]
OnBadTile = Annotated[
    str | None,
    typer.Option(
        metavar="error|mask",
        help="mask: leave out tiles that cannot be decoded (error).",
        autocompletion=among(BAD_TILES),
    ),
]
SHARED: Mapping[str, tuple[Any, object]] = {
    "bands": (Bands, None),
    "stretch": (Stretch, None),
    "max_pixels": (MaxPixels, None),
    "on_bad_tile": (OnBadTile, None),
}
READING = tuple(SHARED)


def take_reading(words: dict[str, Any]) -> Reading:
    """What was asked for; the words are taken out.

    Raises:
        ConfigError: one of them is written wrongly.
    """
    given = {name: words.pop(name, None) for name in READING}
    return Reading(
        bands=None if given["bands"] is None else parse_bands(given["bands"]),
        stretch=None if given["stretch"] is None else parse_stretch(given["stretch"]),
        max_pixels=given["max_pixels"],
        on_bad_tile=given["on_bad_tile"] or BAD_TILES[0],
    )
