"""Files that a command is given."""

from __future__ import annotations

from pathlib import Path

from uhrqa.config import Settings


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
