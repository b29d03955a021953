"""Sizes and boxes. Sizes are (h, w), points (x, y), boxes XYXY half-open in source pixels."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Height and width in pixels, in this order."""

    h: int
    w: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.h * self.w

    def __str__(self) -> str:
        """Width first, as people write it: `8192 x 4096 px`."""
        return f"{self.w} x {self.h} px"


class Box(NamedTuple):
    """A rectangle `[x0, x1) x [y0, y1)` in source pixels; edges may be fractional."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def w(self) -> float:
        """Width in source pixels."""
        return self.x1 - self.x0

    @property
    def h(self) -> float:
        """Height in source pixels."""
        return self.y1 - self.y0

    @property
    def is_empty(self) -> bool:
        """True when the box holds no area."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    @classmethod
    def whole(cls, size: Size) -> Box:
        """The box of a whole image."""
        return cls(0.0, 0.0, float(size.w), float(size.h))

    def intersect(self, other: Box) -> Box:
        """The common part; empty (zero-sized) when there is none."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, y0, max(x0, min(self.x1, other.x1)), max(y0, min(self.y1, other.y1)))

    def moved(self, dx: float, dy: float) -> Box:
        """The same rectangle elsewhere."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def scale(self, sx: float, sy: float) -> Box:
        """The same rectangle after stretching both axes."""
        return Box(self.x0 * sx, self.y0 * sy, self.x1 * sx, self.y1 * sy)
