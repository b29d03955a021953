"""A data set's files as questions: which are read, what is broken, and what is odd."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uhrqa.benchmarks.fields import Fields
from uhrqa.benchmarks.items import Broken, Id, Item
from uhrqa.benchmarks.records import read_records
from uhrqa.errors import QuestionError

ENTITY = re.compile(r"&(?:#\w+|\w+);")
SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN = 5  # names told in one line


@contextmanager
def _uncollected() -> Iterator[None]:
    """Records hold no cycles; looking for some among 100,000 takes a sixth of reading them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@_uncollected()
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


def note_boxes(numbers: Sequence[int], notes: dict[str, None]) -> None:
    """Say which records have a box that shows nothing of their image."""
    if numbers:
        notes[
            f"records whose box is inverted or lies outside the image, asked without it: "
            f"{len(numbers)} ({some_of(numbers)})"
        ] = None


def shows_nothing(item: Item, width: float, height: float) -> bool:
    """Whether a box of a question is inverted or lies outside its image.

    Args:
        item: the question.
        width: of what its boxes are drawn in; infinite where that is not known.
        height: the same.
    """
    return any(
        max(x0, 0) >= min(x1, width) or max(y0, 0) >= min(y1, height)
        for x0, y0, x1, y1 in item.boxes
    )


def require_known(items: Sequence[Item], known: Collection[str], notes: dict[str, None]) -> None:
    """Note categories that a benchmark has not.

    Args:
        items: its questions.
        known: categories that it has.
        notes: gathers the others.

    Raises:
        QuestionError: it has none of these: the questions are another benchmark's.
    """
    met = dict.fromkeys(item.category for item in items)
    if met and not any(category in known for category in met):
        raise QuestionError(
            f"no record is of a known category ({some_of(list(known))}), but of "
            f"{some_of(list(met))}; name the task that the questions are of"
        )
    for category in met:
        if category not in known:
            notes[f"category '{category}' is none of the {len(known)} that are known"] = None


def find_files(
    place: Path,
    patterns: tuple[str, ...],
    notes: dict[str, None],
    wanted: Callable[[Path], bool] = Path.is_file,
) -> tuple[Path, ...]:
    """A data set's files: the one that is named, or those of the first pattern that finds any.

    Args:
        place: a file, or a directory.
        patterns: as `Path.glob` takes them, the official layout first.
        notes: gathers which were taken.
        wanted: whether a file of a directory holds questions.

    Raises:
        QuestionError: nothing is there, or nothing of the kind.
    """
    if place.is_file():
        return (place,)
    if not place.is_dir():
        raise QuestionError(f"{place}: no such file or directory")
    others: list[Path] = []
    for pattern in patterns:
        files = sorted(path for path in place.glob(pattern) if path.is_file())
        found = tuple(path for path in files if wanted(path))
        others += [path for path in files if path not in found]
        if found:
            names = some_of([path.relative_to(place) for path in found])
            notes[f"questions are read from {names}"] = None
            return found
    held = f", but {some_of([path.name for path in others])}" if others else ""
    raise QuestionError(
        f"{place}: holds no questions in {', '.join(patterns)}{held}; name the file of questions"
    )
