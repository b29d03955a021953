"""The file of answers: append-only JSON lines that a stopped run can continue.

Every line carries the key of its question and the fingerprint of its run. A torn last line, as a
killed process leaves it, is cut off; a line of another run, or of a question that has changed
since, is refused rather than mixed in.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from uhrqa.batch.entries import Entry, digest
from uhrqa.errors import OutputError

START = b'{"id": '  # of every line
ADVICE = "name another file with -o, or start over with --restart"


def fingerprint(run: Mapping[str, object]) -> str:
    """What decides answers (model, strategy, options, budget, seed, version …), in 16 letters."""
    return digest(json.dumps(run, sort_keys=True, default=str))


class AnswerFile:
    """An output file opened for a run; a context manager, locked against a second run.

    Args:
        path: the file; made when missing.
        run: fingerprint of the run.
        entries: all lines of the questions file.
        restart: throw away what the file holds.
        retry_failed: ask again where an earlier run recorded an error.

    Attributes:
        done: keys of the entries that need no answer any more.
        failed: how many of them are errors that an earlier run recorded.

    Raises:
        OutputError: the file cannot be written, is in use, or belongs to another run.
    """

    def __init__(
        self,
        path: Path,
        run: str,
        entries: Sequence[Entry],
        *,
        restart: bool = False,
        retry_failed: bool = False,
    ) -> None:
        self.path = path
        self.run = run
        self.done: set[str] = set()
        self.failed = 0
        self._descriptor = self._open()
        try:
            if restart:
                os.ftruncate(self._descriptor, 0)
            self._continue(entries, retry_failed)
        except BaseException:
            self.close()
            raise

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

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record; it is on the disk when this returns.

        Raises:
            OutputError: the disk is full or failed; the run can be continued later.
        """
        try:
            _write_all(self._descriptor, _line({**record, "run": self.run}))
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _open(self) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OutputError(f"{self.path}: not a regular file; use `-o -` for stdout")
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise OutputError(f"{self.path}: another run is writing to it") from error
        return descriptor

    def _continue(self, entries: Sequence[Entry], retry_failed: bool) -> None:
        records, torn = self._read()
        keys = {entry.key for entry in entries}
        asked = {entry.id for entry in entries if not entry.error}
        kept = []
        for record in records:
            is_error = "error" in record
            if is_error and (retry_failed or record["key"] not in keys):
                continue
            if record["key"] not in keys and record.get("id") in asked:
                raise OutputError(
                    f"{self.path}: question '{record['id']}' has changed since it was answered; "
                    + ADVICE
                )
            kept.append(record)
            self.done.add(record["key"])
            self.failed += is_error
        if torn or len(kept) < len(records):
            self._replace(kept)

    def _read(self) -> tuple[list[dict[str, Any]], bool]:
        """All records, and whether a torn last line was left out."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            record = _parse(line)
            if record is None and number == len(lines) and _is_torn(line):
                return records, True
            if record is None:
                raise OutputError(f"{self.path}: line {number} is no answer of ours; {ADVICE}")
            if record["run"] != self.run:
                raise OutputError(
                    f"{self.path}: holds answers of another run (model, strategy, options, "
                    f"budget, seed or version differ); {ADVICE}"
                )
            records.append(record)
        return records, bool(lines) and not lines[-1].endswith(b"\n")

    def _replace(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Put these records in the place of what the file holds, all at once."""
        fresh = self.path.with_name(self.path.name + ".tmp")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write_all(descriptor, b"".join(_line(record) for record in records))
            finally:
                os.close(descriptor)
            fresh.replace(self.path)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.close()
        self._descriptor = self._open()


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(record, dict) and isinstance(record.get("key"), str) and "run" in record:
        return record
    return None


def _is_torn(line: bytes) -> bool:
    """Whether this is the start of a line of ours, or the zeros a power cut leaves."""
    is_start = line.startswith(START) or START.startswith(line)
    return not line.endswith(b"\n") and (is_start or not line.strip(b"\0"))


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
