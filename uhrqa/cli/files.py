"""Files that a command is given."""

from __future__ import annotations

from pathlib import Path


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file; one that leads nowhere is another."""
    try:
        return path.samefile(other)
    except OSError:
        return False
