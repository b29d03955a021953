"""The file of answers: append-only JSON lines that a stopped run can continue.

Every line carries the key of its question and the fingerprint of its run. A torn last line, as a
killed process leaves it, is cut off; a line of another run, or of a question that has changed
since, is refused rather than mixed in. Whatever has to go goes with the first new answer: a run
that ends before it leaves the file as it was.
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
        self._end = 0  # bytes of whole lines; what lies behind them is torn
        self._dropped: set[int] = set()  # numbers of the lines that must go
        self._unended = False  # the last line is whole but for its line end
        self._settled = False
        self._descriptor = self._open()
        try:
            if not restart:
                self._scan(entries, retry_failed)
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
        try:
            if kind is None:
                self._settle()
        finally:
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
        self._settle()
        try:
            _write_all(self._descriptor, _line({**record, "run": self.run}))
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _open(self) -> int:
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            except OSError as error:
                raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OutputError(f"{self.path}: not a regular file; use `-o -` for stdout")
                self._lock(descriptor)
                if self._is_there(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # replaced between opening and locking: once more

    def _lock(self, descriptor: int) -> None:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise OutputError(f"{self.path}: another run is writing to it") from error

    def _is_there(self, descriptor: int) -> bool:
        """Whether the path still leads to the open file."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _scan(self, entries: Sequence[Entry], retry_failed: bool) -> None:
        """Note what is done and what must go, line by line; changes nothing."""
        keys = {entry.key for entry in entries}
        asked = {entry.id for entry in entries if not entry.error}
        with os.fdopen(os.dup(self._descriptor), "rb") as lines:
            for number, line in enumerate(lines, start=1):
                record = _parse(line)
                if record is None and _is_torn(line):
                    return
                if record is None:
                    raise OutputError(f"{self.path}: line {number} is no answer of ours; {ADVICE}")
                self._check(record, keys, asked)
                is_error = "error" in record
                if is_error and (retry_failed or record["key"] not in keys):
                    self._dropped.add(number)
                else:
                    self.done.add(record["key"])
                    self.failed += is_error
                self._end += len(line)
                self._unended = not line.endswith(b"\n")

    def _check(self, record: Mapping[str, Any], keys: set[str], asked: set[str]) -> None:
        if record["run"] != self.run:
            raise OutputError(
                f"{self.path}: holds answers of another run (model, strategy, options, "
                f"budget, seed or version differ); {ADVICE}"
            )
        if "error" not in record and record["key"] not in keys and record.get("id") in asked:
            raise OutputError(
                f"{self.path}: question '{record['id']}' has changed since it was answered; "
                + ADVICE
            )

    def _settle(self) -> None:
        """Make the file what this run goes on from; before this, nothing in it is touched."""
        if self._settled:
            return
        try:
            if self._dropped:
                self._rewrite()
            else:
                os.ftruncate(self._descriptor, self._end)
                _write_all(self._descriptor, b"\n" if self._unended else b"")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._settled = True

    def _rewrite(self) -> None:
        """Put the lines that stay in the place of the file, all at once."""
        target = self.path.resolve()
        fresh = target.with_name(target.name + ".tmp")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        descriptor = os.open(fresh, flags, 0o666)
        try:
            self._lock(descriptor)
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(self._descriptor).st_mode))
            self._copy(descriptor)
            fresh.replace(target)
        except BaseException:
            os.close(descriptor)
            fresh.unlink(missing_ok=True)
            raise
        self.close()
        self._descriptor = descriptor

    def _copy(self, descriptor: int) -> None:
        with (
            os.fdopen(os.dup(self._descriptor), "rb") as lines,
            os.fdopen(os.dup(descriptor), "wb") as fresh,
        ):
            lines.seek(0)
            left = self._end
            for number, line in enumerate(lines, start=1):
                left -= len(line)
                if left < 0:
                    break
                if number not in self._dropped:
                    fresh.write(line.rstrip(b"\n") + b"\n")
            fresh.flush()
            os.fsync(descriptor)


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
