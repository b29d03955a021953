"""What is written aside and then renamed: under its own name it is whole, or what it was before."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE

SUFFIX = ".tmp"


@contextmanager
def draft_of(path: Path, old: Sequence[Path] = (), *, alone: bool = False) -> Iterator[Path]:
    """A name to write a file or a directory under; what is there in the end becomes `path`.

    The draft has the same name, in a folder beside `path` that is its owner's alone, so that no
    link can lie in its way. Where the block fails or is broken off, all is as it was before.

    Args:
        path: a file there is replaced, an empty directory by a directory; of a link, the link.
        old: what lies beside `path` and goes with it, or a directory at `path` that is not empty.
        alone: no other process writes there now, so that what killed ones left can go.

    Raises:
        OSError: it cannot be written.
    """
    if alone:
        clear_drafts(path)
    folder = Path(tempfile.mkdtemp(SUFFIX, f".{path.name}.", path.parent))
    draft, set_apart = folder / path.name, folder / f"{path.name}.old"
    try:
        yield draft
        follow_umask(draft if draft.is_dir() else folder)
        set_apart.mkdir()
        for file in old:
            file.rename(set_apart / file.name)
        draft.replace(path)
    finally:
        if draft.exists() and set_apart.exists():  # where this fails, the folder is left
            for file in set_apart.iterdir():
                file.rename(path.with_name(file.name))
        shutil.rmtree(folder, ignore_errors=True)


def clear_drafts(path: Path, age: float = 0.0) -> None:
    """Remove the drafts of a path that killed processes left.

    Where nothing is at the path, what one of them had set apart goes back first.

    Args:
        path: as for `draft_of`.
        age: seconds since it was begun, from which a draft is nobody's any more; none where no
            other process writes there now.

    Raises:
        OSError: what was set apart cannot be put back.
    """
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(SUFFIX)}")
    for left in [file for file in path.parent.iterdir() if ours.fullmatch(file.name)]:
        try:
            begun = left.stat().st_mtime
        except OSError:  # gone in the meantime
            continue
        if age and time.time() - begun < age:
            continue
        set_apart = left / f"{path.name}.old"
        if set_apart.is_dir() and not path.exists():
            for file in set_apart.iterdir():
                if not (place := path.with_name(file.name)).exists():
                    file.rename(place)
        _remove(left)


def follow_umask(folder: Path, pattern: str = "*") -> None:
    """Give files the rights of any new file; safetensors writes for the owner alone.

    Args:
        folder: where they lie.
        pattern: of their names.

    Raises:
        OSError: the rights cannot be set.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        fresh = Path(place, "fresh")
        fresh.touch()
        rights = S_IMODE(fresh.stat().st_mode)
    for file in filter(Path.is_file, folder.glob(pattern)):
        file.chmod(rights)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
