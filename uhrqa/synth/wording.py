"""Chances of wording: which of several ways a question is put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from uhrqa.synth import phrases

AN = re.compile(r" a (?=[aeio]|u(?!ni|fo))")  # "a airplane", but "a unicorn"
T = TypeVar("T")
Syllables = tuple[Sequence[str], Sequence[str]]


def plural_of(noun: str) -> str:
    """More than one of something."""
    if noun in phrases.PLURALS:
        return phrases.PLURALS[noun]
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "sh", "ch")) else f"{noun}s"


class Wording:
    """Random choices among phrases.

    Args:
        rng: of every choice.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return bool(self.rng.random() < share)

    def one_of(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[int(self.rng.integers(len(options)))]

    def words(self, kind: str) -> tuple[str, str]:
        """A word for a kind, singular and plural."""
        return self.one_of(phrases.WORDS[kind])

    def at(self, place: str) -> str:
        """In a place."""
        return self.one_of(phrases.AT).format(place=place)

    def whole(self) -> str:
        """In the image, or nothing."""
        return self.one_of(phrases.WHOLE)

    def say(self, options: Sequence[str], **parts: str) -> str:
        """One of some templates, filled in."""
        parts.setdefault("at", self.whole())
        text = " ".join(self.one_of(options).format(**parts).split())
        text = text.replace(" ?", "?").replace(" .", ".").replace(" ,", ",")
        return re.sub(AN, " an ", text)

    def strange(self, nouns: Sequence[str], syllables: Syllables) -> tuple[str, str]:
        """A noun of another world, or one that nobody knows, singular and plural.

        Args:
            nouns: of other worlds.
            syllables: beginnings and ends of those that nobody knows.
        """
        if self.chance(0.3):
            noun = "".join(self.one_of(part) for part in (*syllables, *syllables))
        else:
            noun = self.one_of(nouns)
        return noun, plural_of(noun)

    def dressed(self, text: str, suffix: float) -> str:
        """Capital letter, or not; question mark, or not; the benchmark's suffix, or not."""
        if self.chance(0.15):
            text = text.rstrip("?.")
        if self.chance(0.7):
            text = text[0].upper() + text[1:]
        if self.chance(suffix):
            text = f"{text}{self.one_of((' ', chr(10)))}{phrases.SUFFIX}"
        return text
