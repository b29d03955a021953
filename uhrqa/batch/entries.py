"""The lines of a file of questions. Reads no image and asks nothing.

LRS-VQA's own names of fields, `question_id` and `text`, are read as well, and its paths, which
begin with the name of the directory that holds the file.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from uhrqa.choices import check_choices, parse_choices
from uhrqa.errors import ConfigError, QuestionError
from uhrqa.registry import suggest

Id = str | int
Place = Path | str  # a file, or an address on a server


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the questions file.

    Attributes:
        line: its number, from 1.
        id: as given, text or number; of a line without one, `line-N`.
        key: what makes it this question: it changes when id, image's name, text or choices change.
        image: path as written.
        path: the same, relative to the working directory; of no use where `image` is an address.
        text: the question.
        choices: the answers there are; none: it is written freely, or as the run says.
        error: why this line cannot be asked; the empty text when it can.
    """

    line: int
    id: Id
    key: str
    image: str = ""
    path: Path = Path()
    text: str = ""
    choices: tuple[str, ...] = ()
    error: str = ""

    @property
    def place(self) -> Place:
        """What to open."""
        from uhrqa.raster.formats import is_remote

        return self.image if is_remote(self.image) else self.path


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as written, before lines without an id get one."""

    number: int
    raw: bytes
    id: Id | None = None
    image: str = ""
    text: str = ""
    choices: tuple[str, ...] = ()
    problem: str = ""


def read_entries(lines: Iterable[bytes], directory: Path) -> list[Entry]:
    """Parse a file of questions, one JSON object a line; blank lines do not count.

    Args:
        lines: the file's lines.
        directory: what relative image paths are relative to.

    Raises:
        QuestionError: there is no line at all.
    """
    found = [
        _read_line(number, raw)
        for number, raw in enumerate(lines, start=1)
        if raw.removeprefix(codecs.BOM_UTF8).strip()
    ]
    if not found:
        raise QuestionError('no questions; write one {"image": …, "question": …} a line')
    owners: dict[Id, int] = {}  # of every id that is written, the line that has it first
    for line in found:
        if line.id is not None:
            owners.setdefault(line.id, line.number)
    return [_to_entry(line, owners, directory) for line in found]


def _to_entry(line: _Line, owners: Mapping[Id, int], directory: Path) -> Entry:
    id_ = _free_id(line.number, owners) if line.id is None else line.id
    problem = line.problem
    if not problem and owners.get(id_, line.number) != line.number:
        problem = f"id {id_!r} is already taken by line {owners[id_]}"
    if problem:
        key = digest(f"{line.number} {line.raw!r}")
        return Entry(line.number, id_, key, error=f"line {line.number}: {problem}")
    asked = [id_, line.image, line.text, *([line.choices] if line.choices else [])]
    return Entry(
        line.number,
        id_,
        digest(json.dumps(asked)),
        line.image,
        _find(directory, line.image),
        line.text,
        line.choices,
    )


def is_there(path: Path) -> bool:
    """Whether a path leads to something; one that no system takes does not."""
    try:
        return path.exists()
    except OSError:
        return False


def _find(directory: Path, image: str) -> Path:
    """An image relative to the file's directory, or beside it: `LRS_VQA/a.tif` in `LRS_VQA`."""
    path = directory / image
    if Path(image).parts[:1] == (directory.resolve().name,):
        beside = directory / os.pardir / image
        try:
            return beside if beside.exists() and not path.exists() else path
        except OSError:  # no system takes such a path: opening it says so
            return path
    return path


def _free_id(number: int, owners: Collection[Id]) -> str:
    """`line-N`, or `line-N-2` and so on where another line has taken that."""
    names = (f"line-{number}{f'-{turn}' if turn > 1 else ''}" for turn in count(1))
    return next(name for name in names if name not in owners)


def _read_line(number: int, raw: bytes) -> _Line:
    id_: Id | None = None
    try:
        row = _read_object(raw)
        id_ = _read_id(row)
        image = _read_field(row, "image")
        text = _read_field(row, "text" if "text" in row and "question" not in row else "question")
        choices = _read_choices(row)
    except (ValueError, RecursionError, ConfigError) as error:
        return _Line(number, raw, id_, problem=str(error))
    return _Line(number, raw, id_, image, text, choices)


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8-sig").strip())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno})") from error
    if not isinstance(row, dict):
        raise ValueError('not an object; write {"image": …, "question": …}')  # noqa: TRY004
    return row


def _read_id(row: Mapping[str, Any]) -> Id | None:
    """The id as written, by LRS-VQA's name for it where it has none of ours; null is no id."""
    value = row.get("id", row.get("question_id"))
    if isinstance(value, bool) or not isinstance(value, str | int | None) or value == "":
        raise ValueError("'id' is neither a whole number nor a text, or an empty one")
    return value


def _read_choices(row: Mapping[str, Any]) -> tuple[str, ...]:
    """`["A", "B"]` or `"A,B"`; null and nothing are no choices."""
    value = row.get("choices")
    if value is None:
        return ()
    if isinstance(value, str):
        return parse_choices(value)
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError('\'choices\' is no list of texts; write ["A", "B"]')
    return check_choices(value, "'choices'")


def _read_field(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        raise ValueError(f"'{name}' is missing{suggest(name, row)}")
    value = row[name]
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"'{name}' is not a text, or an empty one")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"'{name}' is not valid Unicode: half of a surrogate pair")
    return value


def digest(text: str) -> str:
    """A text in 16 letters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
