"""JSON files of labels, with messages that name the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uhrqa.errors import LabelError


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """A JSON file.

    Raises:
        LabelError: it is none.
    """
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path}: not JSON: {error}; export the labels again") from error


def shown(value: object) -> str:
    """A value for messages: JSON has no `None`."""
    return "missing" if value is None else repr(value)


def rows_of(
    document: Any,  # noqa: ANN401
    name: str,
    where: str,
    advice: str,
) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects in a list of a document, each with its place for messages, from 1.

    Args:
        document: what the file holds.
        name: of the list.
        where: what a place begins with: file and kind of record.
        advice: what a file of this format has.

    Raises:
        LabelError: there is no such list, or something else stands in it.
    """
    rows = document.get(name) if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise LabelError(f"{where.partition(': ')[0]}: has no list '{name}'; {advice}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise LabelError(f"{where} {number}: is no object; {advice}")
        yield row, f"{where} {number}"
