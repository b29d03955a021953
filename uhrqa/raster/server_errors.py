"""What obstore says of a server that fails, as a few words for people.

obstore writes all its causes into the text of an error, behind a line on its own settings; where
they change, `reason` falls back to that line.
"""

from __future__ import annotations

import re

NO_ANSWER = {  # in the causes, the most telling first
    "dns error": "no such host",
    "ConnectionRefused": "connection refused",
    "NetworkUnreachable": "network unreachable",
    "HostUnreachable": "no route to it",
    "certificate": "its certificate is not trusted",
    "kind: Connect": "no connection",
    "ConnectionReset": "connection reset",
    "IncompleteMessage": "it closed the connection",
}
CAUSES = "Debug source"
STATUS = re.compile(r"status code: (\d{3}[ \w]*)")
ADDRESS = re.compile(r"https?://(?:[^/\s@]*@)?([^/\s,?]+)")
DURATION = re.compile(r" in (\d+(?:\.\d+)?)s\b")
LONGEST = 200


def is_unreachable(text: str) -> bool:
    """Whether a server gave no answer, or stopped in one: it need not be asked for other things."""
    if STATUS.search(text) is not None:
        return False
    return _is_late(text) or _is_broken(text) or _no_answer(text) is not None


def reason(text: str, url: str) -> str:
    """A few words for people.

    Args:
        text: of the error.
        url: that was asked, for its host where the text names none.
    """
    if (status := STATUS.search(text)) is not None:
        return f"cannot be read: the server answers {status[1].strip()}"
    place = ADDRESS.search(text) or ADDRESS.search(url)
    host = place[1] if place else "server"
    if _is_late(text):
        took = DURATION.search(text)
        after = f" after {float(took[1]):.3g} s" if took else ""
        return f"cannot be read: {host} timed out{after}"
    if (why := _no_answer(text)) is not None:
        return f"server not reachable: {host} ({why})"
    if _is_broken(text):
        return "cannot be read: the answer of the server broke off; ask again"
    line = " ".join(text.partition(CAUSES)[0].split())
    return f"cannot be read: {line[:LONGEST]}" if line else "cannot be read"


def _is_late(text: str) -> bool:
    return any(word in text for word in ("kind: Timeout", "TimedOut"))


def _is_broken(text: str) -> bool:
    """Also of a server that sends files as a whole alone, which was asked for the rest of one."""
    return any(word in text for word in ("IncompleteBody", "RangeNotSupported"))


def _no_answer(text: str) -> str | None:
    causes = text.partition(CAUSES)[2]
    return next((words for mark, words in NO_ANSWER.items() if mark in causes), None)
