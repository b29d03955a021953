"""A drawn scene as vectors: where everything lies, before any pixel exists.

Coordinates are source pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.synth.kinds import BY_NAME

FILLED = {"round": math.pi / 4, "oval": math.pi / 4, "l-shaped": 0.75}
"""Share of its rectangle that a shape covers; others fill it."""
FIELD = 24  # grid of the fields that divide the land into zones


@dataclass(frozen=True, slots=True)
class Thing:
    """One object.

    Attributes:
        kind: name of its kind.
        colour: name of its colour.
        state: its status, or "".
        shape: its shape, or "".
        x: centre.
        y: centre.
        length: longer side in source pixels.
        angle: direction of the longer side, radians.
        site: index of its site.
    """

    kind: str
    colour: str
    state: str
    shape: str
    x: float
    y: float
    length: float
    angle: float
    site: int

    @property
    def width(self) -> float:
        """Shorter side in source pixels."""
        if self.shape == "round":
            return self.length
        return self.length * (0.8 if self.shape == "l-shaped" else BY_NAME[self.kind].aspect)

    @property
    def area(self) -> float:
        """What it covers of its own rectangle, square source pixels."""
        return self.length * self.width * FILLED.get(self.shape, 1.0)

    @property
    def box(self) -> Box:
        """The least upright box around it, source pixels."""
        c, s = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        half_w = (self.length * c + self.width * s) / 2
        half_h = (self.length * s + self.width * c) / 2
        return Box(self.x - half_w, self.y - half_h, self.x + half_w, self.y + half_h)


@dataclass(frozen=True, slots=True)
class Site:
    """A place made for one kind of object: a harbour, an apron, a car park.

    Attributes:
        kind: name of the kind it is made for.
        place: where in the scene, a word of `PLACES`.
        surface: what its ground is.
        x: centre.
        y: centre.
        radius: half its width in source pixels.
        angle: its orientation, radians.
        things: indices of its objects in `SceneTruth.things`; none when it is empty.
        at_sea: it lies off the coast, without quays.
    """

    kind: str
    place: str
    surface: str
    x: float
    y: float
    radius: float
    angle: float
    things: tuple[int, ...]
    at_sea: bool = False

    @property
    def box(self) -> Box:
        """The upright box in which its objects may lie, source pixels; a pad may reach further."""
        r = self.radius
        return Box(self.x - r, self.y - r, self.x + r, self.y + r)


@dataclass(frozen=True, slots=True)
class Clutter:
    """Something no question asks about: a tree, or what looks like an object and is none.

    Attributes:
        kind: a word of `uhrqa.synth.clutter.CLUTTER`.
        x: centre, source pixels.
        y: centre.
        length: longer side, source pixels.
        angle: direction of the longer side, radians.
        tone: which of its colours.
    """

    kind: str
    x: float
    y: float
    length: float
    angle: float
    tone: int


@dataclass(frozen=True, slots=True)
class Light:
    """How and when a scene was taken.

    Attributes:
        season: a word of `SEASONS`.
        sun: where shadows fall, radians clockwise from the x axis.
        reach: a shadow's length / the height of what throws it.
        haze: share of air light, in 0..1.
        tint: gains of red, green and blue.
        gsd: ground sample distance, metres to the pixel.
    """

    season: str
    sun: float
    reach: float
    haze: float
    tint: tuple[float, float, float]
    gsd: float


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """A whole scene and all that is true of it.

    Attributes:
        seed: what it was drawn from.
        size: of the image, source pixels.
        unit: object size in source pixels: a kind's length is a multiple of it.
        light: season, sun, haze and ground sample distance.
        zones: names of the land covers, one per field.
        fields: `[Z, FIELD, FIELD]`; the zone with the highest field covers a point.
        shares: area share of each zone name.
        sites: places made for objects.
        things: objects.
        clutter: what no question asks about.
        roads: lines of (x, y), source pixels.
    """

    seed: int
    size: Size
    unit: float
    light: Light
    zones: tuple[str, ...]
    fields: np.ndarray
    shares: dict[str, float]
    sites: tuple[Site, ...]
    things: tuple[Thing, ...]
    clutter: tuple[Clutter, ...]
    roads: tuple[tuple[tuple[float, float], ...], ...]

    @property
    def is_urban(self) -> bool:
        """True when town covers more land than farm and forest."""
        rural = self.shares.get("farm", 0.0) + self.shares.get("forest", 0.0)
        return self.shares.get("town", 0.0) > rural
