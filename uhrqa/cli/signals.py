"""How a run ends on Ctrl-C and SIGTERM: at once while libraries load, with clean-up at work.

An exception thrown into an import of torch or transformers is swallowed there or comes out as
another one, so that until a model is loaded the system's own action holds.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_ours: list[int] = []  # signals that are ours to handle: none where another program calls us


def prepare_signals() -> None:
    """Take the signals over; a closed pipe ends at once and quietly."""
    if hasattr(signal, "SIGPIPE") and os.name == "posix":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    both = (signal.SIGINT, signal.SIGTERM)
    _ours[:] = [number for number in both if signal.getsignal(number) != signal.SIG_IGN]
    end_at_once()


def end_at_once() -> None:
    """Ctrl-C and SIGTERM end the process as the system does: nothing is there to clean up."""
    for number in _ours:
        signal.signal(number, signal.SIG_DFL)


def end_with_cleanup() -> None:
    """Ctrl-C and SIGTERM end with an exception, so that what is open gets closed."""
    for number in _ours:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _stop)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
