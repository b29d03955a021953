"""Ask one question about one raster: scene -> selection -> prompt -> answer with its evidence."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import torch

from uhrqa.budget import Budget
from uhrqa.config import MAX_NEW_TOKENS
from uhrqa.cost import Cost
from uhrqa.errors import ConfigError
from uhrqa.features import FeatureCache
from uhrqa.geometry import Box, Size
from uhrqa.ledger import RelevancePass
from uhrqa.raster import Array, Raster, open_raster
from uhrqa.scene import Scene
from uhrqa.selection import Selection, Strategy, select_within_context
from uhrqa.strategies import STRATEGIES, make_strategy
from uhrqa.tally import Counts, cost_of, count_up
from uhrqa.vlm import VisionLanguageModel, load_model
from uhrqa.vlm.card import Card

SCHEMA = "uhrqa.answer/1"
PACKAGES = ("uhrqa", "torch", "transformers", "tifffile", "zarr", "numpy")
STAGES = ("read", "encode", "relevance", "select")


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
        image: path of the raster, or what stands for one.
        size: (h, w) of the image in pixels.
        model: the name its card goes by.
        strategy: its registered name, or its class where it has none.
        options: all of the strategy's options, as they were asked for.
        relevance: every reading of attention, so also what `auto` and a default layer came to.
        limits: options that, and not the budget, decided how many tokens were kept.
        seed: of every random choice.
        device: where it was computed.
        dtype: in which precision.
        counts: tiles and tokens, level by level.
        cost: FLOPs by stage.
        seconds: wall time by stage.
        bytes_read: encoded bytes taken from storage.
        peak_memory: most resident bytes of the process so far.
        device_memory: most bytes on the GPU during the question; None on a CPU.
        evidence: the kept tokens, in the order of the prompt, separators left out.
        steps: the strategy's decisions, a line each.
        notes: what the user should know, such as a lowered budget.
    """

    text: str
    question: str
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
    peak_memory: int
    device_memory: int | None
    evidence: tuple[Evidence, ...] = field(repr=False)
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with a schema version and the versions of the packages that matter."""
        counts = asdict(self.counts) | {
            name: getattr(self.counts, name)
            for name in ("tiles_read", "tiles_encoded", "tiles_reused")
        }
        for level in counts["levels"]:
            level["size"] = {"width": level["size"].w, "height": level["size"].h}
        return {
            "schema": SCHEMA,
            "answer": self.text,
            "question": self.question,
            "image": {"path": self.image, "width": self.size.w, "height": self.size.h},
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
            "peak_memory_bytes": self.peak_memory,
            "device_memory_bytes": self.device_memory,
            "evidence": [_entry_dict(entry) for entry in self.evidence],
            "steps": list(self.steps),
            "notes": list(self.notes),
            "versions": package_versions(),
        }


def ask(  # noqa: PLR0913 - the front door; everything rare is keyword-only
    raster: Raster | Array | str | Path,
    question: str,
    *,
    model: VisionLanguageModel | str | Path = "tiny",
    strategy: Strategy | str | None = None,
    options: Mapping[str, Any] | None = None,
    budget: Budget | int | str | None = None,
    max_tiles: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    seed: int = 0,
    features: FeatureCache | None = None,
) -> Answer:
    """Answer a question about an image within a hard budget of visual tokens.

    Args:
        raster: an open raster, an array `[h, w, 3]` uint8, or a path.
        question: the user's words.
        model: a loaded model, or what `load_model` takes.
        strategy: its name, or an instance; the model card's default when None.
        options: the strategy's own options, where it is given by name.
        budget: visual tokens that may enter the answering pass, as a number, as text (`"4k"` is
            4000, `"4Ki"` 4096) or as a `Budget`; the card's default when None.
        max_tiles: cap on tiles used, those of the relevance passes and of the cache included.
        max_new_tokens: longest answer.
        seed: of every random choice.
        features: encoded tiles shared between questions about the same image.

    Raises:
        RasterError: the image cannot be opened or read.
        CheckpointError: the model cannot be loaded.
        QuestionError: the question is empty, too long, or holds the image token.
        BudgetError: a budget below 1, or less than the strategy can do with.
        ConfigError: a budget, option or seed that is written wrongly.
        UnknownNameError: no such model, strategy or option.
    """
    loaded = load_model(str(model)) if isinstance(model, str | Path) else model
    chosen, name = _strategy(strategy, options, loaded.card)
    cap = Budget.of(loaded.card.budget if budget is None else budget, max_tiles)
    with ExitStack() as stack:
        source = raster if isinstance(raster, Raster) else stack.enter_context(open_raster(raster))
        on_gpu = loaded.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(loaded.device)
        scene = Scene(source, loaded, question, features=features, max_tiles=cap.tiles, seed=seed)
        selection, cap, notes = select_within_context(chosen, scene, cap, max_new_tokens)
        sequence = loaded.assemble(scene.prompt, selection.tokens)
        written = loaded.generate(sequence, max_new_tokens)
    seconds = {stage: scene.ledger.seconds[stage] for stage in STAGES}
    seconds |= {"prefill": written.prefill_seconds, "decode": written.decode_seconds}
    return Answer(
        text=written.text,
        question=question,
        image=str(source.path),
        size=source.size,
        model=loaded.card.name,
        strategy=name,
        options=asdict(chosen) if is_dataclass(chosen) else {},
        relevance=tuple(scene.ledger.passes),
        limits=selection.limits,
        seed=seed,
        device=str(sequence.embeds.device),
        dtype=str(sequence.embeds.dtype).removeprefix("torch."),
        counts=count_up(scene, selection, cap, answer_tokens=len(written.ids), steps=written.steps),
        cost=cost_of(scene, selection, written.steps),
        seconds=seconds,
        bytes_read=scene.ledger.bytes_read,
        peak_memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated(loaded.device) if on_gpu else None,
        evidence=_evidence(scene, selection),
        steps=selection.steps,
        notes=notes,
    )


def _strategy(
    strategy: Strategy | str | None, options: Mapping[str, Any] | None, card: Card
) -> tuple[Strategy, str]:
    if strategy is not None and not isinstance(strategy, str):
        if options:
            raise ConfigError("options go with a strategy's name; set an instance's own fields")
        table = {target: name for name, target in STRATEGIES.items()}
        kind = type(strategy)
        return strategy, table.get(f"{kind.__module__}:{kind.__qualname__}", kind.__qualname__)
    name = strategy or card.strategy
    return make_strategy(name, {**card.options.get(name, {}), **(options or {})}), name


def _evidence(scene: Scene, selection: Selection) -> tuple[Evidence, ...]:
    tokens = selection.tokens
    rows = zip(
        tokens.box,
        tokens.level.tolist(),
        selection.relevance.tolist(),
        tokens.weight.tolist(),
        strict=True,
    )
    return tuple(
        Evidence(shown, level, None if score != score else score, weight)
        for box, level, score, weight in rows
        if weight and not (shown := scene.shown(box)).is_empty  # released views hold padding
    )


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


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages an answer depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def peak_memory() -> int:
    """Most resident bytes this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
