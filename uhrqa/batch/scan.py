"""What earlier runs have left in a file of answers: which lines stay, which must go, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uhrqa.batch.entries import Entry, Place
from uhrqa.batch.stamp import stamp_image
from uhrqa.errors import OutputError

START = b'{"id": '  # of every line
ADVICE = "name another file with -o, or start over with --restart"
MOST_STRANGE = 100  # lines of a file that is not ours, read before it is refused
MOST_LISTED = 8  # numbers of damaged lines that a message lists


class Scan:
    """An output read line by line; nothing is changed.

    Args:
        path: the output, for messages.
        run: fingerprint of the run that goes on.
        entries: all lines of the questions file.
        retry_failed: errors that an earlier run recorded must go.

    Attributes:
        done: keys of the entries that need no answer any more.
        failed: how many of them are errors.
        dropped: numbers of the lines that must go.
        damaged: those of them that cannot be read.
        replaced: how many lines are about an image that was replaced since.
        end: bytes of whole lines; what lies behind them is torn.
        unended: the last line is whole but for its line end.
    """

    def __init__(self, path: Path, run: str, entries: Sequence[Entry], retry_failed: bool) -> None:
        self.done: set[str] = set()
        self.failed = 0
        self.dropped: set[int] = set()
        self.damaged: list[int] = []
        self.replaced = 0
        self.end = 0
        self.unended = False
        self._is_ours = False  # a line of ours was met
        self._path = path
        self._run = run
        self._retry_failed = retry_failed
        self._entries = {entry.key: entry for entry in entries}
        self._asked = {entry.id for entry in entries if not entry.error}
        self._stamps: dict[Place, str | None] = {}

    def read(self, lines: Iterable[bytes]) -> None:
        """Go through all lines.

        Raises:
            OutputError: the file is not ours, or belongs to another run.
        """
        for number, line in enumerate(lines, start=1):
            if _is_torn(line):
                break
            if line.strip():
                self._is_ours |= self._take(number, line) or line.startswith(START)
            if not self._is_ours and len(self.damaged) >= MOST_STRANGE:
                break
            self.end += len(line)
            self.unended = not line.endswith(b"\n")
        if self.damaged and not self._is_ours:
            raise self._strange(self.damaged[0])

    def warnings(self) -> list[str]:
        """What the user should know of the lines that go, one line each."""
        found = []
        if self.damaged:
            one = len(self.damaged) == 1
            found.append(
                f"{self._path}: {_listed(self.damaged)} {'is' if one else 'are'} damaged and left "
                f"out; what {'it' if one else 'they'} answered is asked again"
            )
        if self.replaced:
            found.append(
                f"{self._path}: lines about an image that was replaced since, to be asked "
                f"again: {self.replaced}"
            )
        return found

    def _take(self, number: int, line: bytes) -> bool:
        """Judge a line; whether it is a record."""
        record = self._parse(number, line)
        if record is None:
            self.damaged.append(number)
            self.dropped.add(number)
            return False
        self._check(record)
        if not self._stays(record):
            self.dropped.add(number)
        elif record["key"] not in self.done:
            self.done.add(record["key"])
            self.failed += "error" in record
        return True

    def _parse(self, number: int, line: bytes) -> dict[str, Any] | None:
        """The record in a line; none where the line is damaged."""
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(record, dict):
            return None
        if (
            isinstance(record.get("key"), str)
            and isinstance(record.get("id"), str | int)
            and "run" in record
        ):
            return record
        raise self._strange(number)

    def _strange(self, number: int) -> OutputError:
        remedy = "remove it" if self._is_ours else "name another file with -o"
        return OutputError(f"{self._path}: line {number} is no answer of ours; {remedy}")

    def _check(self, record: Mapping[str, Any]) -> None:
        if record["run"] != self._run:
            raise OutputError(
                f"{self._path}: holds answers of another run (model, strategy, options, "
                "budget, seed, --evidence, choices, ways to read the image or versions differ); "
                f"{ADVICE}"
            )
        is_known = "error" in record or record["key"] in self._entries
        if not is_known and record["id"] in self._asked:
            raise OutputError(
                f"{self._path}: question {record['id']!r} has changed since it was answered; "
                + ADVICE
            )

    def _stays(self, record: Mapping[str, Any]) -> bool:
        is_error, entry = "error" in record, self._entries.get(record["key"])
        if is_error and (self._retry_failed or entry is None):
            return False
        if entry is None or not self._is_replaced(entry, record.get("stamp")):
            return True
        self.replaced += 1
        return False

    def _is_replaced(self, entry: Entry, stamp: object) -> bool:
        """Whether another image lies there now; one that is gone replaces nothing."""
        if entry.error:
            return False
        if entry.place not in self._stamps:
            self._stamps[entry.place] = stamp_image(entry.place)
        return self._stamps[entry.place] not in (None, stamp)


def _is_torn(line: bytes) -> bool:
    """Whether this is the start of a line of ours, or the zeros a power cut leaves."""
    if line.endswith(b"\n"):
        return False
    is_start = line.startswith(START) or START.startswith(line)
    return (is_start and not _is_json(line)) or not line.strip(b"\0")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _listed(numbers: Sequence[int]) -> str:
    names = ", ".join(map(str, numbers[:MOST_LISTED]))
    more = len(numbers) - MOST_LISTED
    plural = "s" if len(numbers) > 1 else ""
    return f"line{plural} {names}" + (f" and {more} more" if more > 0 else "")
