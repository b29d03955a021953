"""The records of a data set's files, whatever their kind, with pictures left where they are.

JSON lines, a JSON array, tab-separated values, parquet, and Arrow streams as `save_to_disk` of
`datasets` writes them. Parquet and Arrow need pyarrow.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uhrqa.benchmarks import columns
from uhrqa.errors import QuestionError

LEAST_CODE = 128  # letters; a shorter text is a path and no picture
MOST_CELL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Embedded:
    """A picture that a data set holds in its own file.

    Attributes:
        path: the file.
        kind: of the file, as `READERS` names it.
        at: byte offset of the record, or its row where the file has columns.
        column: that holds it.
        index: which of the record's pictures.
    """

    path: Path
    kind: str
    at: int
    column: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One record, without its pictures.

    Attributes:
        number: from 1, through all files of the data set.
        line: the same in its own file; blank lines do not count.
        fields: as they are named there.
        embedded: its pictures.
        problem: why it cannot be read; the empty text when it can.
    """

    number: int
    line: int
    fields: dict[str, Any]
    embedded: tuple[Embedded, ...] = ()
    problem: str = ""


Row = dict[str, Any] | str  # the fields of a record, or why it has none


def read_records(path: Path, first: int = 1) -> Iterator[Record]:
    """The records of one file; those that cannot be read have a `problem`.

    Args:
        path: its name tells its kind.
        first: number of its first record.

    Raises:
        QuestionError: the file cannot be read, or not to its end.
    """
    kind = kind_of(path)
    line = 0
    try:
        for line, (at, row) in enumerate(READERS[kind](path), start=1):
            number = first + line - 1
            if isinstance(row, str):
                yield Record(number, line, {}, problem=row)
            else:
                embedded = _take_pictures(row, path, kind, at)
                yield Record(number, line, row, embedded)
    except ValueError as error:
        raise QuestionError(f"{path}: behind record {line}: {error}") from error
    except (OSError, csv.Error) as error:
        raise QuestionError(f"{path}: cannot be read: {error}") from error


def kind_of(path: Path) -> str:
    """A file's kind, by its suffix.

    Raises:
        QuestionError: it has none that is read.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in READERS:
        raise QuestionError(f"{path}: not a file of questions; name one of .{', .'.join(READERS)}")
    return kind


def _take_pictures(fields: dict[str, Any], path: Path, kind: str, at: int) -> tuple[Embedded, ...]:
    """The pictures of a record, of which only their names stay in its fields."""
    embedded: tuple[Embedded, ...] = ()
    for column in columns.PICTURES:
        value = fields.get(column)
        if value is None or (isinstance(value, str) and len(value) < LEAST_CODE):
            continue
        several = value if isinstance(value, list) else [value]
        if several and all(map(_is_picture, several)):
            embedded = tuple(
                Embedded(path, kind, at, column, index) for index in range(len(several))
            )
            names = [part["path"] for part in several if isinstance(part, dict) and "path" in part]
            fields[column] = [name for name in names if name]
    return embedded


def _is_picture(value: object) -> bool:
    """Whether a value holds a picture and not its name."""
    if isinstance(value, str):
        return len(value) >= LEAST_CODE and value[:LEAST_CODE].isascii() and "." not in value
    return isinstance(value, bytes) or (isinstance(value, dict) and "bytes" in value)


def _lines(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open("rb") as file:
        at = 0
        for line in file:
            raw = line if at else line.removeprefix(codecs.BOM_UTF8)
            if raw.strip():
                yield at, _parsed(raw)
            at += len(line)


def _parsed(raw: bytes) -> Row:
    try:
        return _object(json.loads(raw.decode().strip()))
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} (column {error.colno})"
    except RecursionError:
        return "not JSON: nested too deep"


def _array(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        rows = json.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise QuestionError(f"{path}: not UTF-8 at byte {error.start + 1}") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON lines in a file with the other's name
            yield from _lines(path)
            return
        where = f"line {error.lineno}, column {error.colno}"
        raise QuestionError(f"{path}: not JSON, or not whole: {error.msg} ({where})") from error
    if isinstance(rows, dict):
        rows = next((value for value in rows.values() if isinstance(value, list)), [rows])
    for index, row in enumerate(rows if isinstance(rows, list) else [rows]):
        yield index, _object(row)


def _object(row: object) -> Row:
    return row if isinstance(row, dict) else f"not an object but {json.dumps(row)[:40]!r}"


def _table(path: Path) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(MOST_CELL)
    with path.open("rb") as file:
        at = 0

        def lines() -> Iterator[str]:
            nonlocal at
            for line in file:
                at += len(line)
                yield line.decode("utf-8-sig", "surrogateescape")

        rows = csv.reader(lines(), delimiter="\t")
        heads = next(rows, [])
        while True:
            start = at
            row = next(rows, None)
            if row is None:
                return
            if len(row) != len(heads):
                yield start, f"{len(row)} columns where the first line has {len(heads)}"
            else:
                yield start, dict(zip(heads, row, strict=True))


READERS: Mapping[str, Callable[[Path], Iterator[tuple[int, Row]]]] = {
    "jsonl": _lines,
    "json": _array,
    "tsv": _table,
    "parquet": columns.parquet_rows,
    "arrow": columns.arrow_rows,
}


def read_picture(place: Embedded) -> bytes:
    """The bytes of an embedded picture, as an image file would hold them.

    Raises:
        QuestionError: there is none, or its base64 is damaged.
    """
    value = _fields_at(place)[place.column]
    part = value[place.index] if isinstance(value, list) else value
    code = part["bytes"] if isinstance(part, dict) else part
    if isinstance(code, bytes):
        return code
    try:
        return base64.b64decode(code, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise QuestionError(f"its picture is no base64: {error}") from error


def _fields_at(place: Embedded) -> dict[str, Any]:
    """The record that holds a picture, read again.

    Raises:
        QuestionError: it is no longer there.
    """
    row: Row
    if place.kind == "jsonl":
        with place.path.open("rb") as file:
            file.seek(place.at)
            row = _parsed(file.readline().removeprefix(codecs.BOM_UTF8))
    elif place.kind == "tsv":
        row = _table_row(place)
    elif place.kind in columns.CELLS:
        row = {place.column: columns.CELLS[place.kind](place.path, place.column, place.at)}
    else:
        row = next(row for at, row in READERS[place.kind](place.path) if at == place.at)
    if isinstance(row, str):
        raise QuestionError(f"{place.path}: {row}; it was replaced while it was read")
    return row


def _table_row(place: Embedded) -> Row:
    with place.path.open("rb") as file:
        heads = next(csv.reader([file.readline().decode("utf-8-sig")], delimiter="\t"))
        file.seek(place.at)
        row = next(csv.reader((line.decode() for line in file), delimiter="\t"))
    return dict(zip(heads, row, strict=True))
