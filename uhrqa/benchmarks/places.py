"""Where the pictures of a data set lie on this disk, and how those of one question are opened.

A name as written is looked for under each root; then the file of that name anywhere below the first
one, then one of that stem with another suffix. Users flatten folders and convert formats.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from uhrqa.batch.entries import is_there
from uhrqa.benchmarks.items import Item
from uhrqa.benchmarks.reading import some_of
from uhrqa.benchmarks.records import Embedded, read_picture
from uhrqa.errors import RasterError
from uhrqa.raster import Raster, open_raster
from uhrqa.raster.side_by_side import SideBySide

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".zarr")


@dataclass
class Places:
    """Finds images by the names that a data set has for them.

    Attributes:
        roots: directories that are looked into, first come first.
        how: how often each way of finding an image was needed.
    """

    roots: Sequence[Path]
    how: Counter[str] = field(default_factory=Counter)
    _known: dict[str, Path | None] = field(default_factory=dict, repr=False)

    @classmethod
    def around(cls, files: Sequence[Path], images: Path | None) -> Places:
        """The directory that is named, or those of the files and the ones they lie in."""
        if images is not None:
            return cls([images])
        folder = files[0].resolve().parent
        return cls([folder, folder.parent])

    def find(self, name: str) -> Path | None:
        """The file an image's name stands for; None where there is none."""
        if name not in self._known:
            self._known[name] = self._look(name)
        return self._known[name]

    def _look(self, name: str) -> Path | None:
        plain = name.replace("\\", "/").lstrip("/")
        for root in self.roots:
            path = root / plain
            if is_there(path):
                return path
        bare = PurePosixPath(plain)
        for way, key, table in (
            ("by name", bare.name, self._below[0]),
            ("by stem", bare.stem, self._below[1]),
        ):
            if key in table:
                self.how[way] += 1
                return table[key]
        return None

    @cached_property
    def _below(self) -> tuple[dict[str, Path], dict[str, Path]]:
        """Images below the first root, by name and by stem."""
        names: dict[str, Path] = {}
        stems: dict[str, Path] = {}
        for root in self.roots[:1]:
            for folder, folders, files in os.walk(root):
                folders.sort()
                for name in sorted(files):
                    path = Path(folder, name)
                    if path.suffix.lower() in SUFFIXES:
                        names.setdefault(name, path)
                        stems.setdefault(path.stem, path)
        return names, stems

    def missing(self, items: Iterable[Item]) -> dict[str, int]:
        """Names of images that are not there, with how many questions each is needed for."""
        found: Counter[str] = Counter()
        for item in items:
            if not item.embedded:
                found.update(name for name in item.images if self.find(name) is None)
        return dict(found)

    def notes(self, missing: dict[str, int], questions: int) -> list[str]:
        """What is to be said about the search, a line each."""
        notes = [f"images found {way}, not by path: {count}" for way, count in self.how.items()]
        if missing:
            roots = ", ".join(map(str, self.roots))
            names = some_of(list(missing))
            count = "1 question" if questions == 1 else f"{questions} questions"
            notes.append(
                f"images missing: {len(missing)} ({names}), needed by {count}; not "
                f"below {roots}; name their directory with --images"
            )
        return notes


@contextmanager
def opened(item: Item, places: Places) -> Iterator[Raster]:
    """The raster of a question; of several pictures one that shows them side by side.

    Raises:
        RasterError: one of them cannot be opened.
        QuestionError: an embedded one is damaged.
    """
    with ExitStack() as stack:
        if item.embedded:
            paths = [stack.enter_context(_unpacked(place)) for place in item.embedded]
        else:
            paths = [places.find(name) or Path(name) for name in item.images]
        parts = [stack.enter_context(open_raster(path)) for path in paths]
        yield parts[0] if len(parts) == 1 else SideBySide(parts)


@contextmanager
def _unpacked(place: Embedded) -> Iterator[Path]:
    """An embedded picture as a file of its own, while it is needed."""
    with tempfile.NamedTemporaryFile(prefix="uhrqa-", suffix=".image") as file:
        file.write(read_picture(place))
        file.flush()
        try:
            yield Path(file.name)
        except RasterError as error:  # the user knows no file of that name
            raise type(error)(str(error).replace(file.name, "its picture")) from error
