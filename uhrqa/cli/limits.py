"""Options that bound a question's memory and seconds, and how they are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from uhrqa.errors import ConfigError

MaxMemory = Annotated[
    str | None,
    typer.Option("--max-memory", metavar="SIZE", help="Largest budget that fits, as in 20GB."),
]
MaxSeconds = Annotated[
    str | None,
    typer.Option("--max-seconds", metavar="S", help="The same for time; see profile --calibrate."),
]
LIMITS = ("max_memory", "max_seconds")
SHARED: Mapping[str, tuple[Any, object]] = {
    "max_memory": (MaxMemory, None),
    "max_seconds": (MaxSeconds, None),
}
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kMGT]i?)?B?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a question may take.

    Attributes:
        memory: bytes on the device; None: no limit.
        seconds: for the question, without loading the model; None: no limit.
    """

    memory: int | None = None
    seconds: float | None = None

    def __bool__(self) -> bool:
        return self.memory is not None or self.seconds is not None


def take_limits(words: dict[str, Any]) -> Limits:
    """Take these options out of those of a command.

    Raises:
        ConfigError: one is written wrongly.
    """
    memory, seconds = (words.pop(name, None) for name in LIMITS)
    return Limits(
        None if memory is None else read_bytes(memory),
        None if seconds is None else read_seconds(seconds),
    )


def read_bytes(text: str) -> int:
    """`20GB` (20 * 10^9), `16GiB` (16 * 2^30), `800MB`, `1.5G` as bytes.

    Raises:
        ConfigError: not such a size, or none.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = (match[2] or "").lower() if match else ""
    base = 1024 if unit.endswith("i") else 1000
    count = int(float(match[1]) * base ** _POWERS[unit.removesuffix("i")]) if match else 0
    if count < 1:
        raise ConfigError(f"--max-memory '{text}': write a size, for example 20GB or 16GiB")
    return count


def read_seconds(text: str) -> float:
    """`5`, `0.5` or `5s` as seconds.

    Raises:
        ConfigError: no such number, or not above 0.
    """
    try:
        seconds = float(text.strip().removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ConfigError(f"--max-seconds '{text}': write a number of seconds above 0")
    return seconds
