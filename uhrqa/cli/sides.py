"""The sizes of drawn scenes, as `synth` and `eval synth` take them."""

from __future__ import annotations

from typing import Annotated

import typer

from uhrqa.cli import options as opt

SIDES = "4096,5792,8192"
LEAST_SIDE, MOST_SIDE = 256, 100_000  # px

Sides = Annotated[
    str, typer.Option(metavar="PIXELS", help="Longer sides of the scenes, taken in turn.")
]


def read_sides(text: str) -> tuple[int, ...]:
    """Sides as typed.

    Raises:
        typer.BadParameter: not whole numbers with commas, or out of range.
    """
    words = opt.split_words([text])
    pixels = tuple(int(word) if word.isdecimal() else 0 for word in words)
    if not pixels or any(not LEAST_SIDE <= side <= MOST_SIDE for side in pixels):
        raise typer.BadParameter(
            f"--sides '{text}': write whole numbers of {LEAST_SIDE} to {MOST_SIDE} px with "
            f"commas, for example {SIDES}"
        )
    return pixels
