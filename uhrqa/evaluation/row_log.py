"""The rows of `eval synth` and `compare` as JSON lines: see `line_log` for how they are kept."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from uhrqa.batch import AskedAgainWarning
from uhrqa.evaluation.line_log import Line, LineLog, Manifest, not_ours, read_lines, require_same
from uhrqa.evaluation.rows import Key, Refusal, Row, check_types

KINDS: dict[str, type[Row | Refusal]] = {"row": Row, "refused": Refusal}


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run has found so far.

    Attributes:
        manifest: what decides the rows.
        rows: in the order they were made.
        refusals: trials whose budget could not be met.
    """

    manifest: Manifest
    rows: list[Row] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def add(self, found: Row | Refusal) -> None:
        """Take in one trial's outcome."""
        if isinstance(found, Row):
            self.rows.append(found)
        else:
            self.refusals.append(found)


class RowLog(LineLog):
    """Rows opened for a run; a context manager, locked against a second run.

    Args:
        manifest: what decides the rows of this run; `images`, if any, holds a stamp of each by
            name, in the order of their scenes.
        path: the file, made when missing; None keeps rows in memory alone.

    Attributes:
        results: all outcomes, those of earlier runs included.
        done: keys of the trials that have one.

    Raises:
        OutputError: the file cannot be written, is in use, or holds something else.
    """

    def __init__(self, manifest: Manifest, path: Path | None = None) -> None:
        super().__init__(manifest, path)
        try:
            self.results = _results(self.manifest, self.held, path or Path())
        except BaseException:
            self.close()
            raise
        outcomes = (*self.results.rows, *self.results.refusals)
        self.done: set[Key] = {found.key for found in outcomes}

    def _current(self, manifest: Manifest, held: list[Line], path: Path) -> list[Line] | None:
        before, now = manifest.get("images"), self.manifest.get("images")
        if not isinstance(before, dict) or not now or before == now or list(before) != list(now):
            return None
        require_same({**manifest, "images": now}, self.manifest, path)
        replaced = {scene for scene, name in enumerate(now) if before[name] != now[name]}
        parts = _results(manifest, held, path)
        gone = {found.key for found in (*parts.rows, *parts.refusals) if found.scene in replaced}
        if gone:
            warnings.warn(
                f"{path}: rows about images that were replaced since, to be asked again: "
                f"{len(gone)}",
                AskedAgainWarning,
                stacklevel=5,
            )
        return [line for line in held if _scene_of(line) not in replaced]

    def append(self, found: Row | Refusal) -> None:
        """Add one outcome; it is in the file when this returns.

        Raises:
            OutputError: the disk is full or failed; the run can be continued later.
        """
        self.write({"row" if isinstance(found, Row) else "refused": asdict(found)})
        self.results.add(found)
        self.done.add(found.key)


def _scene_of(line: Line) -> int:
    """The scene that a line which was read is about."""
    (value,) = line.values()
    scene: int = value["scene"]
    return scene


def read_rows(path: Path) -> Results:
    """The rows of an earlier run; a torn last line is left out.

    Raises:
        OutputError: the file cannot be read, or holds something else.
    """
    return _results(*read_lines(path), path)


def _results(manifest: Manifest, lines: Sequence[Line], path: Path) -> Results:
    results = Results(manifest)
    for number, line in enumerate(lines, start=2):
        try:
            ((kind, value),) = line.items()
            found = KINDS[kind](**value)
            check_types(found)
            results.add(found)
        except (ValueError, TypeError, KeyError) as error:
            raise not_ours(path, number) from error
    return results
