"""Which of an image's resolutions serves a read, and what counts as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from uhrqa.geometry import Size

Sides = tuple[float, float]  # (h, w) of all of an image at one resolution

SLACK = 0.01  # a level may be this much coarser than asked, and one pixel at most
LARGEST_OVERVIEW = 0.8  # share of the area; an overview nearer to the image saves nothing
WHOLE_GAP = 2.5  # views of all of the image are made of a level so many times as fine
WHOLE_PIXELS = 3 * 2**20  # that such a level has at most: views must stay cheap


def level_for(sizes: Sequence[Sides], asked: Sides, *, whole: bool) -> int:
    """The coarsest level that has at least the resolution asked for; the finest if none has.

    Resizing a level that is little finer than asked is not resizing the image: 37 to 45 dB from it
    on fine texture, more than 50 from 2.5 times as fine on. Every question begins with a view of
    all of the image, and small levels cost little: such a read takes a finer one, until it is
    `WHOLE_GAP` times as fine or the next has more than `WHOLE_PIXELS`. A read of the size of a
    level shows that level.

    Args:
        sizes: finest first.
        asked: what all of the image would have at the scale of the read.
        whole: the read shows all of the image, or nearly so.
    """
    number = max((n for n, size in enumerate(sizes) if serves(size, asked)), default=0)
    rounding = [abs(has - sought) for has, sought in zip(sizes[number], asked, strict=True)]
    if not whole or max(rounding) <= 1:
        return number
    wanted = WHOLE_GAP * asked[0], WHOLE_GAP * asked[1]
    while number and not serves(sizes[number], wanted):
        if math.prod(sizes[number - 1]) > WHOLE_PIXELS:
            break
        number -= 1
    return number


def serves(size: Sides, asked: Sides) -> bool:
    """Whether a level is fine enough; writers round the sizes of levels down or up."""
    return all(
        has > sought - 1 - 1e-6 and has >= sought * (1 - SLACK)
        for has, sought in zip(size, asked, strict=True)
    )


def is_reduction(size: Size, whole: Size) -> bool:
    """Whether a size is another one reduced by one factor, rounded down or up."""
    low = max((size.h - 1) / whole.h, (size.w - 1) / whole.w)
    high = min((size.h + 1) / whole.h, (size.w + 1) / whole.w)
    return low < high and size.area <= LARGEST_OVERVIEW * whole.area
