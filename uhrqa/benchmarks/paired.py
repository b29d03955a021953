"""Two results on the same questions: how far apart they are, and whether that may be chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb

from uhrqa.benchmarks.items import Id
from uhrqa.benchmarks.reading import some_of
from uhrqa.benchmarks.rows import Outcome
from uhrqa.benchmarks.scores import OFFICIAL, Scored, score_rows, scoring_of, task_of
from uhrqa.errors import OutputError
from uhrqa.evaluation.intervals import Interval, scene_bootstrap

DECIDES = ("task", "data", "prompt", "model", "strategy", "budget", "seed", "dtype", "versions")
"""What a manifest is compared by, to tell in what two runs differ."""


@dataclass(frozen=True, slots=True)
class Gap:
    """How the first file differs from the second.

    Attributes:
        name: of the category; the empty text for all questions.
        count: questions that both answered.
        first, second: right of them.
        gained: right in the first alone.
        lost: right in the second alone.
        interval: of the difference of shares, 95 %; None for fewer than two images.
    """

    name: str
    count: int
    first: int
    second: int
    gained: int
    lost: int
    interval: Interval | None

    @property
    def value(self) -> float:
        """The difference of shares, between -1 and 1."""
        return (self.first - self.second) / self.count

    @property
    def chance(self) -> float:
        """How likely so uneven a split of the questions that differ is by chance, two-sided."""
        return mcnemar(self.gained, self.lost)


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact test: a fair coin for every question on which two runs differ.

    Source: McNemar 1947, with the binomial distribution itself.
    """
    count, few = gained + lost, min(gained, lost)
    tail = sum(comb(count, k) for k in range(few + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**count)))


def gaps(first: Outcome, second: Outcome, scoring: str = OFFICIAL, seed: int = 0) -> list[Gap]:
    """All questions first, then each category.

    Raises:
        OutputError: the files are of other data, or have no answered question in common.
    """
    task = task_of(first.manifest)
    for part, name in (("task", "name"), ("data", "digest")):
        ours, theirs = (found.manifest.get(part, {}).get(name) for found in (first, second))
        if ours != theirs:
            raise OutputError(f"the results are not of the same {part}: {ours} and {theirs}")
    _, rule = scoring_of(task, scoring)
    key = _id_of if first.manifest.get("from") else _number_of
    ours_by, theirs_by = (_by(key, score_rows(found.main, rule)) for found in (first, second))
    pairs = [(entry, theirs_by[name]) for name, entry in ours_by.items() if name in theirs_by]
    if not pairs:
        raise OutputError(
            "the results have no answered question in common; if a run was stopped, start it again"
        )
    names = dict.fromkeys(entry.row.category for entry, _ in pairs)
    parts = [[pair for pair in pairs if pair[0].row.category == name] for name in names]
    return [
        _gap("", pairs, seed),
        *(_gap(name, part, seed) for name, part in zip(names, parts, strict=True)),
    ]


def oddities(first: Outcome, second: Outcome) -> list[str]:
    """What keeps answer files of others from being paired question by question, a line each."""
    if not first.manifest.get("from"):
        return []
    notes = []
    truths = [_truths(outcome) for outcome in (first, second)]
    for name, held in zip("AB", truths, strict=True):
        if again := [id_ for id_, every in held.items() if len(every) > 1]:
            notes.append(
                f"ids that {name} has more than once, paired in their order: {len(again)} "
                f"({some_of(again)})"
            )
    ours, theirs = truths
    apart = [id_ for id_ in ours if id_ in theirs and set(ours[id_]) != set(theirs[id_])]
    if apart:
        notes.append(
            f"ids whose truth in A is not that in B, left out: {len(apart)} ({some_of(apart)})"
        )
    return notes


def _truths(outcome: Outcome) -> dict[Id, list[str]]:
    found: dict[Id, list[str]] = {}
    for row in outcome.main:
        found.setdefault(row.id, []).append(row.truth)
    return found


def _by(
    key: Callable[[Scored], object], rows: Iterable[Scored]
) -> dict[tuple[object, int], Scored]:
    """Scored answers by what names their questions; a name's second question is its second."""
    seen: Counter[object] = Counter()
    found: dict[tuple[object, int], Scored] = {}
    for entry in rows:
        name = key(entry)
        found[name, seen[name]] = entry
        seen[name] += 1
    return found


def _number_of(entry: Scored) -> object:
    return entry.row.number


def _id_of(entry: Scored) -> object:
    """For answer files of others, whose order says nothing."""
    return entry.row.id, entry.row.truth


def _gap(name: str, pairs: Sequence[tuple[Scored, Scored]], seed: int) -> Gap:
    images: dict[int, list[int]] = {}
    for one, other in pairs:
        images.setdefault(one.row.group, []).append(one.right - other.right)
    return Gap(
        name,
        len(pairs),
        sum(one.right for one, _ in pairs),
        sum(other.right for _, other in pairs),
        sum(one.right > other.right for one, other in pairs),
        sum(one.right < other.right for one, other in pairs),
        scene_bootstrap([(sum(gap), len(gap)) for gap in images.values()], seed),
    )


def differing(first: Outcome, second: Outcome) -> list[str]:
    """What else two runs differ in, by the names of their manifests."""
    return [n for n in DECIDES if first.manifest.get(n) != second.manifest.get(n)]
