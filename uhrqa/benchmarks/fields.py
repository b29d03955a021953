"""A record's fields by any of the names they go by in the wild."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from uhrqa.benchmarks.records import Embedded, Record
from uhrqa.errors import QuestionError


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


@cache
def plain(name: str) -> str:
    """A field's name without letter case and with `_` for what stands between words."""
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


class Fields:
    """One record, asked by several names for each field; the first is the official one.

    Args:
        path: the file, for messages.
        record: what it holds there.
        notes: gathers what was taken for granted.
        usual: names that are official too, in another of its files.

    Raises:
        QuestionError: the record cannot be read at all.
    """

    def __init__(
        self, path: Path, record: Record, notes: dict[str, None], usual: Collection[str] = ()
    ) -> None:
        self.path = path
        self.number = record.number
        self.line = record.line
        self.raw: Mapping[str, Any] = record.fields
        self.embedded: tuple[Embedded, ...] = record.embedded
        self._values = {plain(name): value for name, value in record.fields.items()}
        self._notes = notes
        self._usual = usual
        if record.problem:
            raise self.error(record.problem)

    def get(self, *names: str) -> Any:  # noqa: ANN401 - whatever stands there
        """The first of these that is there and not null; None for none."""
        values = self._values
        for name in names:
            value = values.get(name)
            if value is not None:
                if name is not names[0] and name not in self._usual:
                    self.note(f"'{name}' is taken for '{names[0]}'")
                return value
        return None

    def has(self, *names: str) -> bool:
        """Whether all of these are there, null or not, in any letter case."""
        return all(plain(name) in self._values for name in names)

    def text(self, *names: str) -> str:
        """The same as a text that is not empty; numbers are written out.

        Raises:
            QuestionError: there is none.
        """
        value = self.get(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(f"no '{names[0]}'" if value is None else f"'{names[0]}' is no text")
        text = str(value)
        if not text.strip():
            raise self.error(f"'{names[0]}' is empty")
        return text

    def words(self, *names: str) -> str:
        """The same as a text that somebody wrote: a number is none.

        Raises:
            QuestionError: there is none.
        """
        if isinstance(self.get(*names), int | float):
            raise self.error(f"'{names[0]}' is no text")
        return self.text(*names)

    def maybe(self, *names: str) -> str:
        """The same; the empty text where there is none."""
        return "" if self.get(*names) in (None, "") else self.text(*names)

    def id(self, *names: str) -> str | int:
        """A text or a whole number; the record's number where there is none."""
        value = self.get(*names)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return value
        if value is not None:
            raise self.error(f"'{names[0]}' is neither a text nor a whole number")
        self.note(f"records without '{names[0]}' go by their number")
        return self.number

    def names(self, *names: str) -> tuple[str, ...]:
        """Names of images: a text, or several; none where pictures are embedded without one.

        Raises:
            QuestionError: there is neither name nor picture.
        """
        value = self.get(*names)
        several = value if isinstance(value, list | tuple) else [value]
        found = tuple(name for name in several if isinstance(name, str) and name.strip())
        if not found and not self.embedded:
            raise self.error(f"no '{names[0]}'")
        return found

    def box(self, *names: str) -> tuple[tuple[float, float, float, float], ...]:
        """A box, as a tuple of none or one.

        Raises:
            QuestionError: it is not four numbers.
        """
        value = self.get(*names)
        if value is None or value == []:
            return ()
        try:
            x0, y0, x1, y1 = map(float, value)
            if not all(map(math.isfinite, (x0, y0, x1, y1))):
                raise ValueError
        except (TypeError, ValueError) as error:
            raise self.error(f"'{names[0]}' is not four numbers: {_as_json(value)[:40]}") from error
        return ((x0, y0, x1, y1),)

    def note(self, text: str) -> None:
        """Say once what is taken for granted."""
        self._notes[text] = None

    def error(self, problem: str) -> QuestionError:
        """What to raise about this record."""
        return QuestionError(f"{self.path}: record {self.line}: {problem}")
