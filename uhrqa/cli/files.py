"""Files that a command is given."""

from __future__ import annotations

from pathlib import Path

from uhrqa.config import AUTO, Settings
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


def kept_directory(settings: Settings, wanted: str | None, name: str, option: str) -> Path:
    """A directory of what is kept for later runs, made when missing.

    Args:
        settings: tell where the user's cache is.
        wanted: the directory; None or `auto`: the one called `name` in the user's cache.
        name: see there.
        option: what it is given with, for the message.

    Raises:
        OutputError: it cannot be made.
    """
    automatic = wanted in (None, AUTO)
    found = cache_directory(settings) / name if automatic else Path(str(wanted)).expanduser()
    try:
        found.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{option} {found}: cannot be made: {error.strerror}; name another directory"
        ) from error
    return found
