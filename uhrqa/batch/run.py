"""Ask every question that is not answered yet, image by image.

Knows nothing of models and opens no file: an `Opener` gives a function that answers questions about
one image, and a `Sink` takes the records.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from uhrqa.batch.entries import Entry, Place
from uhrqa.batch.stamp import stamp_image
from uhrqa.errors import UhrqaError

logger = logging.getLogger(__name__)

Record = dict[str, Any]  # one line of the output, as JSON


class Question(NamedTuple):
    """What an image is asked.

    Attributes:
        text: the user's words.
        choices: what the answer is one of; none: it is written freely.
    """

    text: str
    choices: tuple[str, ...] = ()


class Answerer(Protocol):
    """Answers questions about one image."""

    def __call__(self, questions: Sequence[Question], /) -> list[Record | Exception]:
        """The record of each question, or why there is none."""
        ...


Opener = Callable[[Place], AbstractContextManager[Answerer]]


class Sink(Protocol):
    """Where records go: a file that remembers, or a stream."""

    @property
    def done(self) -> Collection[str]:
        """Keys of the entries that need no answer any more."""

    @property
    def failed(self) -> int:
        """How many of them are errors that an earlier run recorded."""

    def append(self, record: Record) -> None:
        """Add one record; it is there for good when this returns."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a batch ended.

    Attributes:
        answered: entries answered in this run.
        failed: entries that failed in this run.
        skipped: entries that an earlier run has dealt with.
        reasons: why entries failed in this run, with how many of them, in order of appearance.
    """

    answered: int
    failed: int
    skipped: int
    reasons: Mapping[str, int] = field(default_factory=dict)


def run_batch(
    entries: list[Entry],
    sink: Sink,
    open_image: Opener,
    progress: Callable[[], None] = lambda: None,
    *,
    together: int = 1,
) -> Summary:
    """Answer what is not answered yet, image by image, in the order images first appear.

    Args:
        entries: all lines of the questions file.
        sink: where records go; it knows what is done.
        open_image: opens one image and gives a function from questions to their records.
        progress: called after each record.
        together: questions of one image that are answered at once.
    """
    pending = [entry for entry in entries if entry.key not in sink.done]
    reasons: Counter[str] = Counter()
    for record in _records(pending, open_image, together):
        sink.append(record)
        if "error" in record:
            reasons[record["error"]] += 1
        progress()
    failed = reasons.total()
    return Summary(len(pending) - failed, failed, len(entries) - len(pending), reasons)


def _records(pending: list[Entry], open_image: Opener, together: int) -> Iterator[Record]:
    groups: dict[str, list[Entry]] = {}
    for entry in pending:
        if entry.error:
            yield _record(entry, {"error": entry.error})
        else:
            groups.setdefault(_real(entry.place), []).append(entry)
    for group in groups.values():
        yield from _answer_group(group[0].place, group, open_image, together)


def _real(path: Place) -> str:
    """The file behind a path, whatever its spelling; the path itself where no file can be."""
    if isinstance(path, str):
        return path
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return str(path)


def _answer_group(
    path: Place, group: list[Entry], open_image: Opener, together: int
) -> Iterator[Record]:
    waiting = list(group)
    stamp = stamp_image(path)  # before it is opened: replaced from here on, it is asked again
    try:
        with open_image(path) as answer:
            while waiting:
                some = waiting[:together]
                found = answer([Question(entry.text, entry.choices) for entry in some])
                for entry, content in zip(some, found, strict=True):
                    waiting.pop(0)
                    yield _record(entry, _content(content), stamp)
    except Exception as error:  # noqa: BLE001 - one bad image must not end a night's run
        problem = _describe(error)
        yield from (_record(entry, {"error": problem}, stamp) for entry in waiting)


def _content(found: Record | Exception) -> Record:
    return {"error": _describe(found)} if isinstance(found, Exception) else found


def _describe(error: Exception) -> str:
    """One line for the record; a mistake of ours also leaves its traceback in the log."""
    if isinstance(error, UhrqaError):
        return str(error)
    logger.error("unexpected error", exc_info=error)
    return f"{type(error).__name__}: {error}"


def _record(entry: Entry, content: Record, stamp: str | None = None) -> Record:
    asked = {"image": entry.image, "question": entry.text} if not entry.error else {}
    return {
        "id": entry.id,
        "line": entry.line,
        **asked,
        **content,
        "key": entry.key,
        "stamp": stamp,
    }
