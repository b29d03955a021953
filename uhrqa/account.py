"""An answer with its whole account: what was asked, where it looked, what it cost; and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from uhrqa.attempts import Attempt
from uhrqa.cost import Cost
from uhrqa.geometry import Box, Size
from uhrqa.ledger import RelevancePass
from uhrqa.machine import package_versions
from uhrqa.raster.ground import Ground, NoGround, describe_ground, usable
from uhrqa.tally import Counts
from uhrqa.vlm import ScoredChoice

SCHEMA = "uhrqa.answer/1"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One kept token.

    Attributes:
        box: the part of the source it shows, XYXY source pixels.
        level: pyramid level.
        relevance: its score for the question, or None where the strategy gave none.
        weight: encoder tokens it stands for; more than 1 when merged.
    """

    box: Box
    level: int
    relevance: float | None
    weight: int


@dataclass(frozen=True)
class Answer:
    """An answer, where it looked and what it cost.

    Attributes:
        text: what the model wrote.
        question: as it was asked.
        preface: what the model was told before it, such as the metres a pixel; mostly empty.
        history: how many earlier questions, with their answers, stood before it.
        image: path of the raster, or what stands for one.
        size: (h, w) of the image in pixels.
        model: the name its card goes by.
        strategy: its registered name, or its class where it has none.
        options: all of the strategy's options, as they were asked for.
        relevance: every reading of attention, so also what `auto` and a default layer came to.
        limits: options that, and not the budget, decided how many tokens were kept.
        seed: of every random choice.
        device: where it was computed.
        dtype: what the decoder's weights are held in.
        counts: tiles and tokens, level by level.
        cost: FLOPs by stage.
        seconds: wall time by stage.
        bytes_read: encoded bytes taken from storage.
        requests: to the server the image lies on; 0 for a file.
        peak_memory: most resident bytes of the process so far.
        device_memory: most bytes on the GPU during the question, and those that were answered
            together with it; None on a CPU.
        evidence: the kept tokens, in the order of the prompt, separators left out.
        steps: the strategy's decisions, a line each.
        notes: what the user should know, such as a lowered budget.
        attempts: with an `auto` budget, each that was tried, in order; cost, seconds and bytes
            are those of all of them, counts and evidence those of the last.
        choices: the answers there were to choose from, with probabilities; none where it was free.
        roi: the part of the image that was asked about, as the user wrote it; None for all.
        ground: where the image says it lies on the Earth.
        shown: bands, contrast and masked tiles of the image, as `uhrqa.raster.shown` tells them.
    """

    text: str
    question: str
    history: int
    image: str
    size: Size
    model: str
    strategy: str
    options: Mapping[str, Any]
    relevance: tuple[RelevancePass, ...]
    limits: tuple[str, ...]
    seed: int
    device: str
    dtype: str
    counts: Counts
    cost: Cost
    seconds: Mapping[str, float]
    bytes_read: int
    requests: int
    peak_memory: int
    device_memory: int | None
    evidence: tuple[Evidence, ...] = field(repr=False)
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    choices: tuple[ScoredChoice, ...] = ()
    roi: str | None = None
    ground: Ground | NoGround = field(default_factory=NoGround, repr=False)
    shown: Mapping[str, Any] = field(default_factory=dict)
    preface: str = ""

    def lonlat(self) -> list[list[list[float]]] | None:
        """Evidence as closed rings of longitude and latitude; None where the image has no place."""
        ground = usable(self.ground, self.size)
        if isinstance(ground, NoGround):
            return None
        return ground.rings([entry.box for entry in self.evidence])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with a schema version and the versions of the packages that matter."""
        counts = asdict(self.counts) | {
            name: getattr(self.counts, name)
            for name in ("tiles_read", "tiles_encoded", "tiles_reused", "entering")
        }
        for level in counts["levels"]:
            level["size"] = {"width": level["size"].w, "height": level["size"].h}
        return {
            "schema": SCHEMA,
            "answer": self.text,
            "question": self.question,
            **({"preface": self.preface} if self.preface else {}),
            "history": self.history,
            "image": {
                "path": self.image,
                "width": self.size.w,
                "height": self.size.h,
                **({} if self.roi is None else {"roi": self.roi}),
                **describe_ground(self.ground, self.size),
                **({"shown": dict(self.shown)} if self.shown else {}),
            },
            "model": self.model,
            "strategy": {"name": self.strategy, "options": dict(self.options)},
            "relevance": [_pass_dict(entry) for entry in self.relevance],
            "limits": list(self.limits),
            "seed": self.seed,
            "device": self.device,
            "dtype": self.dtype,
            "counts": counts,
            "tflops": self.cost.to_dict(),
            "seconds": dict(self.seconds),
            "bytes_read": self.bytes_read,
            "requests": self.requests,
            "peak_memory_bytes": self.peak_memory,
            "device_memory_bytes": self.device_memory,
            "evidence": self._evidence_dicts(),
            "steps": list(self.steps),
            "notes": list(self.notes),
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "choices": [asdict(choice) for choice in self.choices],
            "versions": package_versions(),
        }

    def _evidence_dicts(self) -> list[dict[str, Any]]:
        rows, rings = [_entry_dict(entry) for entry in self.evidence], self.lonlat()
        for row, ring in zip(rows, rings or (), strict=rings is not None):
            row["lonlat"] = ring
        return rows


def _entry_dict(entry: Evidence) -> dict[str, Any]:
    """One piece of evidence, JSON-ready; box edges to a hundredth of a source pixel."""
    box = [round(edge, 2) for edge in entry.box]
    return {
        "box": box,
        "level": entry.level,
        "relevance": entry.relevance,
        "weight": entry.weight,
    }


def _pass_dict(entry: RelevancePass) -> dict[str, Any]:
    """One reading of attention, JSON-ready; the layer is that of the RFM or of the decoder."""
    return {
        "source": entry.source,
        "layer": entry.full_layers,  # those before it ran in full
        "rows": entry.rows,
        "seen": entry.seen,
        "scored": entry.columns,
    }
