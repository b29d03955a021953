"""What was really done for one question: the one source of every count and cost that is printed."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from uhrqa.pyramid import Level


@dataclass(frozen=True, slots=True)
class RelevancePass:
    """One reading of attention.

    Attributes:
        source: `rfm`, `llm` or `clip`.
        full_layers: decoder layers that ran in full before the scores.
        sequence: tokens in the pass, text included.
        seen: visual tokens in the pass, separators included.
        rows: query rows that were read.
        columns: visual tokens that were scored.
        flops: of a pass that did not go through the decoder; None where it did.
    """

    source: str
    full_layers: int
    sequence: int
    seen: int
    rows: int
    columns: int
    flops: int | None = None


@dataclass(frozen=True, slots=True)
class Clustering:
    """A k-means over the tokens of a view, or its passes that look at points alike.

    Attributes:
        points: tokens.
        regions: wanted.
        rounds: passes over all points, as many as are usual.
        width: of a point, or of what is looked at of it.
    """

    points: int
    regions: int
    rounds: int
    width: int

    @property
    def flops(self) -> int:
        """Of the distances, all rounds."""
        return 2 * self.rounds * self.points * self.regions * self.width


@dataclass(frozen=True, slots=True)
class Choosing:
    """A choice of tokens one by one, each compared with all.

    Attributes:
        points: tokens to choose from.
        picks: tokens that are compared with all.
        width: of a token's features.
        compared: of what is looked at of them.
        has_factor: a row for each pick is held and gone through again at every later one.
    """

    points: int
    picks: int
    width: int
    compared: int
    has_factor: bool = False

    @property
    def flops(self) -> int:
        """Of the projection of features that are wider than what is compared."""
        return 2 * self.points * self.width * self.compared * (self.compared < self.width)

    @property
    def swept_bytes(self) -> int:
        """What goes by, float32: all features at each pick, and half of the factor.

        That is gone through across its rows, which takes as long as three times as many bytes.
        """
        factor = 3 * self.picks // 2 if self.has_factor else 0
        return 4 * self.picks * self.points * (self.compared + factor)

    @property
    def held_bytes(self) -> int:
        """Of the features and the factor."""
        return 4 * self.points * (self.compared + self.picks * self.has_factor)


@dataclass
class Ledger:
    """What was really done for one question; every count and cost that is printed comes from here.

    Attributes:
        encoded: tiles encoded, by level.
        blank: tiles that were read and show no image, so that they were not encoded, by level.
        reused: tiles taken from the cache, by level.
        seen: visual tokens that were looked at, by level; each once, as tiles are.
        watched: tiles encoded of which the vision tower's attention was read, too.
        passes: readings of attention.
        clusterings: k-means over tokens.
        choosings: of tokens one by one.
        seconds: wall time by stage; of reading, what was waited for, not what was hidden.
        bytes_read: encoded bytes taken from storage.
        requests: to a server, repeated ones counted once.
    """

    encoded: Counter[Level] = field(default_factory=Counter)
    blank: Counter[Level] = field(default_factory=Counter)
    reused: Counter[Level] = field(default_factory=Counter)
    seen: Counter[Level] = field(default_factory=Counter)
    watched: int = 0
    passes: list[RelevancePass] = field(default_factory=list)
    clusterings: list[Clustering] = field(default_factory=list)
    choosings: list[Choosing] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    bytes_read: int = 0
    requests: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin
