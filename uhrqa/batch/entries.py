"""The lines of a file of questions. Reads no image and asks nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uhrqa.errors import QuestionError
from uhrqa.registry import suggest


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the questions file.

    Attributes:
        line: its number, from 1.
        id: as given, or `line-N`.
        key: what makes it this question: it changes when id, image or text change.
        image: path as written.
        path: the same, relative to the working directory.
        text: the question.
        error: why this line cannot be asked; the empty text when it can.
    """

    line: int
    id: str
    key: str
    image: str = ""
    path: Path = Path()
    text: str = ""
    error: str = ""


def read_entries(lines: Iterable[bytes], directory: Path) -> list[Entry]:
    """Parse a file of questions, one JSON object a line; blank lines do not count.

    Args:
        lines: the file's lines.
        directory: what relative image paths are relative to.

    Raises:
        QuestionError: there is no line at all.
    """
    entries: list[Entry] = []
    first_line: dict[str, int] = {}
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        entry = _read_entry(number, raw, directory)
        if not entry.error and entry.id in first_line:
            problem = f"id '{entry.id}' is already taken by line {first_line[entry.id]}"
            entry = _bad_entry(number, raw, entry.id, problem)
        first_line.setdefault(entry.id, number)
        entries.append(entry)
    if not entries:
        raise QuestionError('no questions; write one {"image": …, "question": …} a line')
    return entries


def _read_entry(number: int, raw: bytes, directory: Path) -> Entry:
    id_ = f"line-{number}"
    try:
        row = json.loads(raw.decode("utf-8-sig"))
        if not isinstance(row, dict):
            raise ValueError('not an object; write {"image": …, "question": …}')  # noqa: TRY004
        id_ = _read_id(row, id_)
        image, text = _read_field(row, "image"), _read_field(row, "question")
    except (ValueError, RecursionError) as error:
        return _bad_entry(number, raw, id_, f"line {number}: {error}")
    key = digest(json.dumps([id_, image, text]))
    return Entry(number, id_, key, image, directory / image, text)


def _read_id(row: dict[str, Any], default: str) -> str:
    value = row.get("id", default)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ValueError("'id' is neither a text nor a whole number")
    return str(value)


def _read_field(row: dict[str, Any], name: str) -> str:
    if name not in row:
        raise ValueError(f"'{name}' is missing{suggest(name, row)}")
    value = row[name]
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"'{name}' is not a text, or an empty one")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"'{name}' is not valid Unicode: half of a surrogate pair")
    return value


def _bad_entry(number: int, raw: bytes, id_: str, problem: str) -> Entry:
    return Entry(number, id_, digest(f"{number} {raw!r}"), error=problem)


def digest(text: str) -> str:
    """A text in 16 letters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
