"""How an image is to be read: what a user may say about bands, contrast, size and damage.

Knows no file and no array, so that the command line can check words before anything is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from uhrqa.errors import ConfigError

BAD_TILES = ("error", "mask")
STRETCHES = ("none", "minmax", "LOW,HIGH")
DEFAULT_PERCENTILES = (2.0, 98.0)
MINMAX = (0.0, 100.0)
MOST_BAND = 65535  # as TIFF counts samples


@dataclass(frozen=True, slots=True)
class Reading:
    """What was asked for; the defaults suit most images.

    Attributes:
        bands: numbers of the bands to show, from 1: one for grey, three for red, green and blue.
            None: what the file says is colour, else the first three, else the first.
        stretch: percentiles that become black and white, or "none". None: whole range for 8 bits
            and less, else `DEFAULT_PERCENTILES`.
        max_pixels: the largest image that is opened. None: the format's own limit.
        on_bad_tile: "error", or "mask": a tile that cannot be decoded counts as no image.
        all_bands: every band, to be copied and not to be shown; `bands` and `stretch` do not count.
    """

    bands: tuple[int, ...] | None = None
    stretch: tuple[float, float] | str | None = None
    max_pixels: int | None = None
    on_bad_tile: str = "error"
    all_bands: bool = False

    def __post_init__(self) -> None:
        _check_bands(self.bands)
        _check_stretch(self.stretch)
        if self.max_pixels is not None and self.max_pixels < 1:
            raise ConfigError(f"max_pixels {self.max_pixels}: give 1 or more")
        if self.on_bad_tile not in BAD_TILES:
            raise ConfigError(f"on_bad_tile '{self.on_bad_tile}': give {' or '.join(BAD_TILES)}")

    @property
    def masks_bad_tiles(self) -> bool:
        """Whether damage becomes a hole instead of an error."""
        return self.on_bad_tile == "mask"


def parse_bands(text: str) -> tuple[int, ...]:
    """`4,3,2` as numbers.

    Raises:
        ConfigError: not one or three numbers from 1.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"\d{1,5}", word, re.ASCII) for word in words):
        raise ConfigError(f"--bands '{text}': write one or three numbers, for example 4,3,2")
    bands = tuple(map(int, words))
    _check_bands(bands)
    return bands


def parse_stretch(text: str) -> tuple[float, float] | str:
    """`2,98`, `minmax` or `none`.

    Raises:
        ConfigError: something else, or percentiles that do not rise within 0...100.
    """
    word = text.strip()
    if word == "none":
        return word
    if word == "minmax":
        return MINMAX
    if not re.fullmatch(r"\d{1,3}(\.\d+)?\s*,\s*\d{1,3}(\.\d+)?", word, re.ASCII):
        raise ConfigError(f"--stretch '{text}': write two percentiles (2,98), minmax or none")
    low, high = map(float, word.split(","))
    _check_stretch((low, high))
    return low, high


def _check_bands(bands: tuple[int, ...] | None) -> None:
    if bands is not None and (
        len(bands) not in (1, 3) or not all(1 <= band <= MOST_BAND for band in bands)
    ):
        raise ConfigError(
            f"bands {','.join(map(str, bands))}: give one for grey or three for red, green and "
            f"blue, counted from 1"
        )


def _check_stretch(stretch: tuple[float, float] | str | None) -> None:
    if isinstance(stretch, str) and stretch != "none":
        raise ConfigError(f"stretch '{stretch}': give two percentiles, or 'none'")
    if isinstance(stretch, tuple) and not 0 <= stretch[0] < stretch[1] <= 100:
        raise ConfigError(
            f"stretch {stretch[0]:g},{stretch[1]:g}: percentiles rise from 0 to 100, as in 2,98"
        )
