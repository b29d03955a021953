"""Makers for supplies. A file of their own: a worker that imports it needs no torch."""

from __future__ import annotations

from collections.abc import Callable


def build_squares() -> Callable[[int], int]:
    return lambda index: index * index
