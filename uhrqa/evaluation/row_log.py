"""The rows of a run as JSON lines: appended as they are made, so that a stopped run goes on.

The first line is the manifest: everything that decides what a row says. A file whose manifest is
another one is refused. A torn last line, as a killed process leaves it, is cut off.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from uhrqa.errors import OutputError
from uhrqa.evaluation.rows import Key, Refusal, Row

Manifest = Mapping[str, Any]  # JSON-ready
ELSEWHERE = "name another file with -o, or remove it"


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run has found so far.

    Attributes:
        manifest: what decides the rows.
        rows: in the order they were made.
        refusals: trials whose budget could not be met.
    """

    manifest: Manifest
    rows: list[Row] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def add(self, found: Row | Refusal) -> None:
        """Take in one trial's outcome."""
        if isinstance(found, Row):
            self.rows.append(found)
        else:
            self.refusals.append(found)


class RowLog:
    """Rows opened for a run; a context manager, locked against a second run.

    Args:
        manifest: what decides the rows of this run.
        path: the file, made when missing; None keeps rows in memory alone.

    Attributes:
        results: all outcomes, those of earlier runs included.
        done: keys of the trials that have one.

    Raises:
        OutputError: the file cannot be written, is in use, or holds something else.
    """

    def __init__(self, manifest: Manifest, path: Path | None = None) -> None:
        self.path = path
        self.results = Results(manifest)
        self._descriptor = -1
        if path is not None:
            self._descriptor = _open(path)
            try:
                self._read(path)
            except BaseException:
                self.close()
                raise
        outcomes = (*self.results.rows, *self.results.refusals)
        self.done: set[Key] = {found.key for found in outcomes}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give up the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def append(self, found: Row | Refusal) -> None:
        """Add one outcome; it is in the file when this returns.

        Raises:
            OutputError: the disk is full or failed; the run can be continued later.
        """
        self._write({"row" if isinstance(found, Row) else "refused": asdict(found)})
        self.results.add(found)
        self.done.add(found.key)

    def _read(self, path: Path) -> None:
        with os.fdopen(os.dup(self._descriptor), "rb") as lines:
            content = lines.read()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            if content and not content.startswith(b'{"manifest"'):
                raise OutputError(f"{path}: line 1 is no manifest of ours; {ELSEWHERE}")
            os.ftruncate(self._descriptor, 0)
            self._write({"manifest": self.results.manifest})
            return
        found = parse_rows(whole, path)
        _require_same(found.manifest, self.results.manifest, path)
        os.ftruncate(self._descriptor, len(whole))
        self.results = found

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._descriptor < 0:
            return
        view = memoryview(json.dumps(record).encode() + b"\n")
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error


def read_rows(path: Path) -> Results:
    """The rows of an earlier run; a torn last line is left out.

    Raises:
        OutputError: the file cannot be read, or holds something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_rows(content[: content.rfind(b"\n") + 1], path)


def parse_rows(content: bytes, path: Path) -> Results:
    """The manifest and the outcomes in whole lines.

    Raises:
        OutputError: a line is no manifest, row or refusal of ours.
    """
    results: Results | None = None
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            ((kind, value),) = json.loads(line).items()
            if results is None:
                results = Results({"manifest": dict}[kind](value))
            else:
                results.add({"row": Row, "refused": Refusal}[kind](**value))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            what = "manifest" if results is None else "row"
            raise OutputError(f"{path}: line {number} is no {what} of ours; {ELSEWHERE}") from error
    if results is None:
        raise OutputError(f"{path}: holds no rows yet")
    return results


def _require_same(held: Manifest, wanted: Manifest, path: Path) -> None:
    wanted = json.loads(json.dumps(wanted))  # as it would come back: tuples as lists
    for name in {**held, **wanted}:
        if held.get(name) != wanted.get(name):
            where, its, ours = _difference(name, held.get(name), wanted.get(name))
            raise OutputError(
                f"{path}: holds rows of another run: its {where} {_shown(its)}, "
                f"here {_shown(ours)}; {ELSEWHERE}"
            )


def _difference(name: str, its: object, ours: object) -> tuple[str, object, object]:
    """What differs: of two mappings their keys, or the first value that is not the same."""
    if not isinstance(its, dict) or not isinstance(ours, dict):
        return name, its, ours
    if set(its) != set(ours):
        return name, list(its), list(ours)
    key = next(key for key in its if its[key] != ours[key])
    return _difference(f"{name}.{key}", its[key], ours[key])


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"is {text}" if len(text) <= 80 else f"is {text[:79]}…"


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise OutputError(f"{path}: another run is writing to it") from error
    return descriptor
