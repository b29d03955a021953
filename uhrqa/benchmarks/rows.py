"""The result file of a benchmark: a manifest, then a row for each question and way of asking.

A row holds all that scoring needs, so that a file is scored again without model, images or data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from uhrqa.benchmarks.items import Id
from uhrqa.errors import OutputError, QuestionError
from uhrqa.evaluation.line_log import Line, LineLog, Manifest, not_ours, read_lines

SCHEMA = "uhrqa.benchmark/1"
Key = tuple[str, int]  # way, number


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One question, asked in one way.

    Attributes:
        id: of the question, as the data set has it; `question_id` is the same.
        number: of its record, from 1.
        group: number of the first record about its pictures.
        way: strategy, or control.
        images: names, as the data set has them.
        question, choices, category, subset, truth: as the data set has them.
        prompt: the text that was asked.
        prediction: what the model wrote, nothing removed; None where it was not asked.
        error: why it was not asked or gave no answer; the empty text where it did.
        pasted: pictures that were shown side by side; 1 is an image as it is.
        turn: of its dialogue, from 1; 0 for none.
        history: earlier turns that stood in the prompt.
        found: share of the objects asked about whose centre a kept token shows; None for none.
        kept: visual tokens in the answering pass.
        tiles: tiles used, as if none had been encoded before.
        tflops: of the whole answer, the same holds.
        seconds: wall time really spent.
        official: fields kept for exports.
    """

    id: Id
    question_id: Id
    number: int
    group: int
    way: str
    category: str
    subset: str
    images: tuple[str, ...]
    question: str
    choices: tuple[str, ...]
    truth: str
    prompt: str
    prediction: str | None = None
    error: str = ""
    pasted: int = 1
    turn: int = 0
    history: int = 0
    found: float | None = None
    kept: int = 0
    tiles: int = 0
    tflops: float = 0.0
    seconds: float = 0.0
    official: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What tells it from every other."""
        return self.way, self.number

    @classmethod
    def from_dict(cls, line: Line) -> BenchRow:
        """A row from its line.

        Raises:
            TypeError: the line is none of ours.
        """
        values = dict(line)
        for name in ("images", "choices"):
            values[name] = tuple(values.get(name, ()))
        row = cls(**values)
        texts = (row.way, row.category, row.subset, row.question, row.truth, row.error)
        if not all(isinstance(text, str) for text in texts) or not isinstance(row.number, int):
            raise TypeError("a field of a row is of another type")
        if row.prediction is not None and not isinstance(row.prediction, str):
            raise TypeError("an answer is no text")
        return row


NAMES = frozenset(entry.name for entry in fields(BenchRow))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A manifest and rows; of a question that was asked again the last one.

    Attributes:
        manifest: what decides the rows.
        rows: in the order they were asked.
    """

    manifest: Manifest
    rows: Sequence[BenchRow]

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways of asking, in the order they were met; controls last."""
        met = list(dict.fromkeys(row.way for row in self.rows))
        main = self.manifest.get("strategy", {}).get("name")
        return tuple(sorted(met, key=lambda way: (way != main, met.index(way))))

    def of(self, way: str) -> list[BenchRow]:
        """The rows of one way."""
        return [row for row in self.rows if row.way == way]

    @property
    def main(self) -> list[BenchRow]:
        """Those of the strategy, without controls."""
        return self.of(self.ways[0]) if self.rows else []


def last_of_each(rows: Iterable[BenchRow]) -> list[BenchRow]:
    """Of rows with one key the last one, each in the place of the first."""
    found: dict[Key, BenchRow] = {}
    for row in rows:
        found[row.key] = row
    return list(found.values())


class BenchLog(LineLog):
    """A result file opened for a run.

    Attributes:
        rows: by key.
    """

    def __init__(self, manifest: Manifest, path: Path | None = None) -> None:
        super().__init__(manifest, path)
        try:
            rows = _rows(self.held, path or Path())
        except BaseException:
            self.close()
            raise
        self.rows: dict[Key, BenchRow] = {row.key: row for row in rows}

    def append(self, row: BenchRow) -> None:
        """Add one row; it is in the file when this returns.

        Raises:
            OutputError: the disk is full or failed; the run can be continued later.
        """
        self.write(asdict(row))
        self.rows[row.key] = row

    @property
    def outcome(self) -> Outcome:
        """All rows so far."""
        return Outcome(self.manifest, list(self.rows.values()))


def read_outcome(path: Path) -> Outcome:
    """A result file of ours.

    Raises:
        QuestionError: it cannot be read, or holds something else.
    """
    try:
        manifest, lines = read_lines(path)
        rows = _rows(lines, path)
    except OutputError as error:  # nothing is written here
        raise QuestionError(str(error)) from error
    if manifest.get("schema") != SCHEMA:
        raise QuestionError(f"{path}: is no result of `uhrqa eval TASK`; its manifest is another")
    return Outcome(manifest, last_of_each(rows))


def write_outcome(outcome: Outcome, path: Path) -> None:
    """Write a result file as a run would have.

    Raises:
        OutputError: it cannot be written, or holds rows already.
    """
    if path.exists() and path.stat().st_size:
        raise OutputError(f"{path}: is there already; name another file with -o, or remove it")
    with BenchLog(outcome.manifest, path) as log:
        for row in outcome.rows:
            log.append(row)


def _rows(lines: Sequence[Line], path: Path) -> list[BenchRow]:
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            rows.append(BenchRow.from_dict(line))
        except (TypeError, ValueError) as error:
            raise not_ours(path, number) from error
    return rows


def merged(parts: Sequence[tuple[Path, Outcome]]) -> Outcome:
    """The rows of several shards, in the order of a run that was not split.

    Raises:
        OutputError: they are of different runs, or have rows in common.
    """
    from uhrqa.evaluation.line_log import require_same

    first = _whole(parts[0][1].manifest)
    owners: dict[Key, Path] = {}
    rows: list[BenchRow] = []
    for path, part in parts:
        require_same(_whole(part.manifest), first, path)
        for row in part.rows:
            if row.key in owners:
                raise OutputError(
                    f"{path}: question {row.id!r} ({row.way}) is in {owners[row.key]} too; "
                    "name each shard once"
                )
            owners[row.key] = path
        rows += part.rows
    ways = Outcome(first, rows).ways
    rows.sort(key=lambda row: (row.group, row.number, ways.index(row.way)))
    return Outcome(first, rows)


def absent_shards(parts: Iterable[Outcome]) -> list[str]:
    """Shards of which no result is given, as `2/4`; none where runs were not split."""
    given = {tuple(part.manifest["shard"]) for part in parts if "shard" in part.manifest}
    return [
        f"{number}/{count}"
        for count in sorted({count for _, count in given})
        for number in range(1, count + 1)
        if (number, count) not in given
    ]


def _whole(manifest: Manifest) -> Manifest:
    return {name: value for name, value in manifest.items() if name != "shard"}
