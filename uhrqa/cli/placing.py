"""Options that say which part of an image is asked about, and what its place is used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

Roi = Annotated[
    str | None,
    typer.Option(
        "--roi",
        metavar="REGION",
        help="x0,y0,x1,y1 px, lonlat:w,s,e,n or a GeoJSON file (all of it).",
    ),
]
GsdInPrompt = Annotated[
    bool,
    typer.Option("--gsd-in-prompt", help="Tell the model the metres a pixel."),
]
PLACING = ("roi", "gsd_in_prompt")
SHARED: Mapping[str, tuple[Any, object]] = {
    "roi": (Roi, None),
    "gsd_in_prompt": (GsdInPrompt, False),
}


@dataclass(frozen=True, slots=True)
class Placing:
    """What these options come to.

    Attributes:
        roi: the region that is asked about; None: the whole image.
        gsd_in_prompt: tell the model the ground sample distance.
    """

    roi: str | None = None
    gsd_in_prompt: bool = False


def take_placing(words: dict[str, Any]) -> Placing:
    """Take these options out of those of a command.

    Raises:
        ConfigError: the region is written wrongly.
    """
    placing = Placing(words.pop("roi", None), words.pop("gsd_in_prompt", False))
    if placing.roi is not None:
        from uhrqa.raster.roi import read_roi

        read_roi(placing.roi)
    return placing
