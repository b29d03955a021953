"""The file of answers: append-only JSON lines that a stopped run can continue.

Every line carries the key of its question, the stamp of its image and the fingerprint of its run. A
torn last line, as a killed process leaves it, is cut off; damaged lines, and those about an image
that was replaced since, make way for new answers; a line of another run, or of a question that has
changed since, is refused rather than mixed in. Whatever has to go goes with the first new answer: a
run that ends before it leaves the file as it was.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from uhrqa.batch.entries import Entry, digest
from uhrqa.batch.lines import append, open_to_append, write_all, write_anew
from uhrqa.batch.scan import Scan
from uhrqa.errors import OutputError


class AskedAgainWarning(UserWarning):
    """Lines of the output are left out, and their questions asked again."""


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
        self._settled = False
        self._descriptor = open_to_append(path, "use `-o -` for stdout")
        try:
            if restart:
                self._refuse_image(entries)
                self._scan = Scan(path, run, entries, retry_failed)
            else:
                self._scan = self._read(entries, retry_failed)
        except BaseException:
            self.close()
            raise
        self.done = self._scan.done
        self.failed = self._scan.failed

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
        append(self._descriptor, self.path, {**record, "run": self.run})

    def _read(self, entries: Sequence[Entry], retry_failed: bool) -> Scan:
        """What the file holds for this run; warns of what must go."""
        scan = Scan(self.path, self.run, entries, retry_failed)
        with os.fdopen(os.dup(self._descriptor), "rb") as lines:
            scan.read(lines)
        for message in scan.warnings():
            warnings.warn(message, AskedAgainWarning, stacklevel=4)
        return scan

    def _refuse_image(self, entries: Sequence[Entry]) -> None:
        """Start over in no file that a question is about."""
        for path in {entry.path for entry in entries if not entry.error}:
            try:
                is_same = os.path.samestat(os.fstat(self._descriptor), path.stat())
            except (OSError, ValueError):
                continue
            if is_same:
                raise OutputError(
                    f"{self.path}: is an image of a question; name another file with -o"
                )

    def _settle(self) -> None:
        """Make the file what this run goes on from; before this, nothing in it is touched."""
        if self._settled:
            return
        try:
            if self._scan.dropped:
                self._rewrite()
            else:
                os.ftruncate(self._descriptor, self._scan.end)
                write_all(self._descriptor, b"\n" if self._scan.unended else b"")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._settled = True

    def _rewrite(self) -> None:
        """Put the lines that stay in the place of the file, all at once."""
        self._descriptor = write_anew(self._descriptor, self.path, self._copy)

    def _copy(self, descriptor: int) -> None:
        with (
            os.fdopen(os.dup(self._descriptor), "rb") as lines,
            os.fdopen(os.dup(descriptor), "wb") as fresh,
        ):
            lines.seek(0)
            left = self._scan.end
            for number, line in enumerate(lines, start=1):
                left -= len(line)
                if left < 0:
                    break
                if number not in self._scan.dropped:
                    fresh.write(line.rstrip(b"\n") + b"\n")
            fresh.flush()
            os.fsync(descriptor)
