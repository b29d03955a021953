"""Files that a command is given."""

from __future__ import annotations

from pathlib import Path

from uhrqa.config import Settings
from uhrqa.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written: {reason}") from error


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file; one that leads nowhere is another."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def cache_directory(settings: Settings) -> Path:
    """Where what is kept between runs lies: `UHRQA_CACHE`, or the user's cache."""
    if settings.cache:
        return Path(settings.cache).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("uhrqa", appauthor=False)
