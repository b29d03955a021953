"""Files that Git LFS has not fetched: a few lines of text in the place of their content."""

from __future__ import annotations

from pathlib import Path

from uhrqa.errors import CheckpointError

BEGINNING = b"version https://git-lfs"


def refuse_pointer(file: Path) -> None:
    """Refuse a file that is only a pointer; one that is missing is told where it is read.

    Raises:
        CheckpointError: says how to fetch it.
    """
    try:
        with file.open("rb") as stream:
            begins = stream.read(len(BEGINNING))
    except OSError:
        return
    if begins == BEGINNING:
        raise CheckpointError(
            f"{file}: a Git LFS pointer, not the file itself; fetch it with: "
            f"git -C {file.parent} lfs pull"
        )
