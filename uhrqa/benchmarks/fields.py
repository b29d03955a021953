"""A record's fields by any of the names they go by in the wild."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from uhrqa.benchmarks.items import Broken, Id, Item
from uhrqa.benchmarks.records import Embedded, Record, read_records
from uhrqa.errors import QuestionError

ENTITY = re.compile(r"&(?:#\w+|\w+);")
SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN = 5  # names told in one line


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
            raise self.error(f"'{names[0]}' is not four numbers: {str(value)[:40]}") from error
        return ((x0, y0, x1, y1),)

    def note(self, text: str) -> None:
        """Say once what is taken for granted."""
        self._notes[text] = None

    def error(self, problem: str) -> QuestionError:
        """What to raise about this record."""
        return QuestionError(f"{self.path}: record {self.line}: {problem}")


def read_items(
    files: tuple[Path, ...],
    notes: dict[str, None],
    make: Callable[[Fields], Item | None],
    usual: Collection[str] = (),
) -> tuple[tuple[Item, ...], tuple[Broken, ...], int]:
    """The questions of several files, whose records are numbered through.

    Args:
        files: of the data set.
        notes: gathers what was taken for granted.
        make: a question from its record; None for a record that is no question.
        usual: names that are official too, in another of its files.

    Returns:
        The questions, the broken records, and how many records there are in all.

    Raises:
        QuestionError: a file cannot be read or holds no record, or all that are questions are
            broken.
    """
    items: list[Item] = []
    broken: list[Broken] = []
    number = 0
    for path in files:
        for record in read_records(path, number + 1):
            number = record.number
            try:
                fields = Fields(path, record, notes, usual)
                item = make(fields)
                if item is not None:
                    _check_unicode(item, fields)
            except QuestionError as error:
                broken.append(Broken(number, str(error)))
            else:
                items += [] if item is None else [item]
        if number == 0:
            raise QuestionError(f"{path}: holds no record")
    require_some(items, broken)
    _note_oddities(items, notes)
    return tuple(items), tuple(broken), number


def _check_unicode(item: Item, fields: Fields) -> None:
    """Refuse what no tokenizer takes.

    Raises:
        QuestionError: a text is not valid Unicode.
    """
    text = "\n".join((item.question, item.truth, item.category, *item.choices, item.ready))
    if not text.isascii() and SURROGATE.search(text):
        raise fields.error(
            "not valid Unicode: half of a surrogate pair, or a byte that is no UTF-8"
        )


def require_some(items: Sequence[Item], broken: Sequence[Broken]) -> None:
    """Refuse a data set of which every question is broken.

    Raises:
        QuestionError: it tells the first.
    """
    if broken and not items:
        many = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise QuestionError(f"no record can be asked: {broken[0].problem}{many}")


def _note_oddities(items: Sequence[Item], notes: dict[str, None]) -> None:
    """Say which questions are asked although something is odd about them."""
    escaped = [
        item.number
        for item in items
        if any("&" in text and ENTITY.search(text) for text in (item.truth, item.question))
    ]
    if escaped:
        notes[
            f"records with HTML entities, asked and scored as they are written: {len(escaped)} "
            f"({some_of(escaped)})"
        ] = None
    owners: dict[Id, int] = {}
    again = [
        f"{item.number} as {owners[item.id]}"
        for item in items
        if owners.setdefault(item.id, item.number) != item.number
    ]
    if again:
        notes[
            f"records with the id of an earlier one, asked all the same: {len(again)} "
            f"({some_of(again)})"
        ] = None


def some_of(names: Sequence[object]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


def find_files(place: Path, patterns: tuple[str, ...], notes: dict[str, None]) -> tuple[Path, ...]:
    """A data set's files: the one that is named, or those of the first pattern that finds any.

    Args:
        place: a file, or a directory.
        patterns: as `Path.glob` takes them, the official layout first.
        notes: gathers which were taken.

    Raises:
        QuestionError: nothing is there, or nothing of the kind.
    """
    if place.is_file():
        return (place,)
    if not place.is_dir():
        raise QuestionError(f"{place}: no such file or directory")
    for pattern in patterns:
        found = tuple(sorted(path for path in place.glob(pattern) if path.is_file()))
        if found:
            names = some_of([path.relative_to(place) for path in found])
            notes[f"questions are read from {names}"] = None
            return found
    raise QuestionError(f"{place}: holds none of {', '.join(patterns)}; name the file of questions")
