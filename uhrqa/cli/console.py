"""What reaches the terminal: results on stdout, everything else on stderr, no control characters.

rich is imported only by what draws tables or bars.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from uhrqa.errors import OutputError, QuestionError

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 240  # where nobody looks at a screen, no cell is cut
QUIET_LIBRARIES = {  # bars and advice of other libraries do not belong on our stderr
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def strip_controls(text: str) -> str:
    """Text a terminal shows and does not obey: no escape sequences, no direction overrides."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text)).encode("utf-8", "replace").decode("utf-8")


def dump_json(value: object, indent: int | None = None) -> str:
    """JSON as UTF-8 text, with what a terminal might obey escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_result(text: str) -> None:
    """Write a result to stdout, and make sure that it got there.

    Raises:
        OutputError: stdout cannot be written.
    """
    if sys.stdout is None:
        raise OutputError("the result cannot be written: stdout is closed")
    try:
        sys.stdout.write(strip_controls(text) + "\n")
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(f"the result cannot be written to stdout: {error.strerror}") from error


def fold(line: str, indent: int) -> str:
    """A line of a result folded to the terminal, its rest indented; whole where there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return line
    return textwrap.fill(
        line,
        shutil.get_terminal_size().columns,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_note(text: str) -> None:
    """Write a line for people to stderr."""
    with stderr_optional():
        sys.stderr.write(strip_controls(text) + "\n")


def print_error(text: str) -> None:
    """Write the one line that says why a command ended."""
    with stderr_optional():
        sys.stderr.write(f"uhrqa: error: {' '.join(strip_controls(text).split())}\n")


@contextmanager
def stderr_optional() -> Iterator[None]:
    """Around writing to stderr: where that fails, the run goes on without."""
    try:
        yield
        sys.stderr.flush()
    except (OSError, ValueError):
        mute_stderr()


def mute_stderr() -> None:
    """Let nothing fail on stderr any more, the flush at the end of the process included."""
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - open until the process ends


def read_stdin() -> BinaryIO:
    """The bytes of stdin.

    Raises:
        QuestionError: it is closed.
    """
    if sys.stdin is None:
        raise QuestionError("stdin is closed: there is no question to read")
    return sys.stdin.buffer


def check_question(text: str) -> str:
    """A question as it is asked, from bytes that were decoded with `surrogateescape`.

    Raises:
        QuestionError: it is empty, or its bytes are not UTF-8.
    """
    if not text.strip():
        raise QuestionError("the question is empty; ask something, or use - to read it from stdin")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise QuestionError("the question is not valid UTF-8")
    return text.strip()


def open_console(stderr: bool = True, *, wide: bool = False) -> Console:
    """A rich console; plain and as wide as it takes where there is no terminal.

    Args:
        stderr: rather than stdout.
        wide: as wide as it takes on a terminal too, which folds a line but cuts no digit.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    plain = not stream.isatty() or bool(os.environ.get("NO_COLOR"))
    return Console(
        file=stream,
        color_system=None if plain else "auto",
        width=None if stream.isatty() and not wide else PLAIN_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )


def prepare_messages(verbose: int, quiet: bool) -> None:
    """Send log lines and warnings to stderr: our own warnings once each, others with `-v`."""
    level = {0: logging.ERROR, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", force=True)
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        ours = category.__module__.startswith("uhrqa")
        if (verbose or (ours and not quiet)) and str(message) not in shown:
            shown.add(str(message))
            print_note(f"uhrqa: warning: {message}")

    warnings.simplefilter("always")
    warnings.showwarning = show  # type: ignore[assignment]
