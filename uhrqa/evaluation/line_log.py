"""A file of JSON lines that a stopped run goes on with: a manifest, then what was found.

The first line is the manifest: everything that decides what the other lines say. A file whose
manifest is another one is refused; where only images were replaced, the lines about these go with
the first new one, and until then the file is left as it was. A torn last line, as a killed process
leaves it, is cut off. A file that is open for a run is locked against a second one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from uhrqa.batch.lines import append, encoded, open_to_append, write_all, write_anew
from uhrqa.errors import OutputError

Manifest = Mapping[str, Any]  # JSON-ready
Line = dict[str, Any]
ELSEWHERE = "name another file with -o, or remove it"


class LineLog:
    """Lines opened for a run; a context manager.

    Args:
        manifest: what decides the lines of this run.
        path: the file, made when missing; None keeps nothing but what the caller keeps.

    Attributes:
        held: lines of earlier runs, in the order they were written.
        manifest: the file's own, which is the same.

    Raises:
        OutputError: the file cannot be written, is in use, or holds something else.
    """

    def __init__(self, manifest: Manifest, path: Path | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self.held: list[Line] = []
        self._outdated = False  # the file has lines that go
        self._descriptor = -1
        if path is not None:
            self._descriptor = open_to_append(path)
            try:
                self._read(path)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give up the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add one line; it is in the file when this returns.

        Raises:
            OutputError: the disk is full or failed; the run can be continued later.
        """
        if self.path is None or self._descriptor < 0:
            return
        if self._outdated:
            self._write_anew(self.path)
        append(self._descriptor, self.path, line)

    def _read(self, path: Path) -> None:
        with os.fdopen(os.dup(self._descriptor), "rb") as lines:
            content = lines.read()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            if content and not content.startswith(b'{"manifest"'):
                raise OutputError(f"{path}: line 1 is no manifest of ours; {ELSEWHERE}")
            os.ftruncate(self._descriptor, 0)
            self.write({"manifest": self.manifest})
            return
        manifest, held = parse_lines(whole, path)
        current = self._current(manifest, held, path)
        if current is None:
            require_same(manifest, self.manifest, path)
            os.ftruncate(self._descriptor, len(whole))
            self.manifest, self.held = manifest, held
        else:
            self.held, self._outdated = current, True

    def _current(self, manifest: Manifest, held: list[Line], path: Path) -> list[Line] | None:
        """What stays of a file of the same run before images were replaced; None for any other."""
        return None

    def _write_anew(self, path: Path) -> None:
        lines = [{"manifest": self.manifest}, *self.held]
        content = b"".join(map(encoded, lines))
        try:
            self._descriptor = write_anew(
                self._descriptor, path, lambda fresh: write_all(fresh, content)
            )
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        self._outdated = False


def read_lines(path: Path) -> tuple[Manifest, list[Line]]:
    """The manifest and the lines of an earlier run; a torn last line is left out.

    Raises:
        OutputError: the file cannot be read, or holds something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_lines(content[: content.rfind(b"\n") + 1], path)


def parse_lines(content: bytes, path: Path) -> tuple[Manifest, list[Line]]:
    """The manifest and what stands behind it, from whole lines.

    Raises:
        OutputError: a line is no manifest or no object.
    """
    objects = list(_objects(content, path))
    if not objects:
        raise OutputError(f"{path}: holds no rows yet")
    manifest = objects[0].get("manifest")
    if len(objects[0]) != 1 or not isinstance(manifest, dict):
        raise OutputError(f"{path}: line 1 is no manifest of ours; {ELSEWHERE}")
    return manifest, objects[1:]


def _objects(content: bytes, path: Path) -> Iterator[Line]:
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise not_ours(path, number) from error
        if not isinstance(value, dict):
            raise not_ours(path, number)
        yield value


def not_ours(path: Path, number: int) -> OutputError:
    """What to raise about a line, counted from 1, that no run of ours has written."""
    what = "manifest" if number == 1 else "row"
    return OutputError(f"{path}: line {number} is no {what} of ours; {ELSEWHERE}")


def require_same(held: Manifest, wanted: Manifest, path: Path) -> None:
    """Refuse to mix runs.

    Raises:
        OutputError: two manifests are not the same; the message names the first difference.
    """
    wanted = json.loads(json.dumps(wanted))  # as it would come back: tuples as lists
    for name in {**held, **wanted}:
        if held.get(name) != wanted.get(name):
            where, its, ours = difference(name, held.get(name), wanted.get(name))
            raise OutputError(
                f"{path}: holds rows of another run: its {where} {_shown(its)}, "
                f"here {_shown(ours)}; {ELSEWHERE}"
            )


def difference(name: str, its: object, ours: object) -> tuple[str, object, object]:
    """What differs: of two mappings their keys, or the first value that is not the same."""
    if not isinstance(its, dict) or not isinstance(ours, dict):
        return name, its, ours
    if set(its) != set(ours):
        return name, list(its), list(ours)
    key = next(key for key in its if its[key] != ours[key])
    return difference(f"{name}.{key}", its[key], ours[key])


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"is {text}" if len(text) <= 80 else f"is {text[:79]}…"
