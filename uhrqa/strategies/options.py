"""Options that several strategies share, each with its meaning and its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

RELEVANCE = ("auto", "rfm", "llm", "clip")
RELEVANCE_DOC = (
    "rfm, llm (the model's own attention), clip (cosines of the towers that --clip names), or "
    "auto: rfm where the model has one"
)
LAYER_DOC = "decoder layer read with relevance=llm; the card's by default"
NEWLINES_DOC = "end every row that holds a kept token with the model's newline token"


def option(default: Any, doc: str, *, file: bool = False) -> Any:  # noqa: ANN401 - of any type
    """A dataclass field with its meaning, as `uhrqa strategies` prints it.

    Args:
        default: its value where none is given.
        doc: its meaning.
        file: its value names a file that is read, whose content then decides answers too.
    """
    return field(default=default, metadata={"doc": doc, "file": file})


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is none of those allowed.

    Raises:
        ValueError: another word.
    """
    if value not in allowed:
        *others, last = allowed
        raise ValueError(f"{name}={value}: give {', '.join(others)} or {last}")


def check_share(name: str, value: float) -> None:
    """Refuse a share outside (0, 1].

    Raises:
        ValueError: out of range.
    """
    if not 0 < value <= 1:
        raise ValueError(f"{name}={value}: give a share above 0 and at most 1")


def check_count(name: str, value: int | None) -> None:
    """Refuse a count below 1.

    Raises:
        ValueError: out of range.
    """
    if value is not None and value < 1:
        raise ValueError(f"{name}={value}: give a whole number above 0")
