"""Ask one question about one raster: scene -> selection -> prompt -> answer with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from uhrqa.account import Answer, Evidence
from uhrqa.budget import Budget
from uhrqa.config import MAX_NEW_TOKENS
from uhrqa.errors import ConfigError
from uhrqa.features import FeatureCache
from uhrqa.machine import peak_memory
from uhrqa.raster import Array, Raster, open_raster
from uhrqa.scene import Scene
from uhrqa.selection import Selection, Strategy, select_within_context
from uhrqa.strategies import STRATEGIES, make_strategy
from uhrqa.tally import cost_of, count_up
from uhrqa.vlm import Generation, VisionLanguageModel, load_model
from uhrqa.vlm.card import Card
from uhrqa.vlm.turns import Turns

__all__ = ["Answer", "Evidence", "ask"]

STAGES = ("read", "encode", "relevance", "select")


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
    history: Turns = (),
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
        history: questions asked before, with their answers; they stand in the prompt.

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
        if loaded.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(loaded.device)
        scene = Scene(source, loaded, question, features=features, seed=seed, history=history,
                      max_tiles=cap.tiles)  # fmt: skip
        selection, cap, notes = select_within_context(chosen, scene, cap, max_new_tokens)
        sequence = loaded.assemble(scene.prompt, selection.tokens)
        written = loaded.generate(sequence, max_new_tokens)
    place = str(sequence.embeds.device), str(sequence.embeds.dtype).removeprefix("torch.")
    asked = _Asked(question, len(history), name, *place, notes)
    return _account(scene, chosen, selection, written, cap, asked)


class _Asked(NamedTuple):
    """Fields of an answer that neither ledger nor selection tell."""

    question: str
    history: int
    strategy: str
    device: str
    dtype: str
    notes: tuple[str, ...]


def _account(
    scene: Scene,
    chosen: Strategy,
    selection: Selection,
    written: Generation,
    cap: Budget,
    asked: _Asked,
) -> Answer:
    """What was written, with all that the ledger and the selection tell about it."""
    ledger, model = scene.ledger, scene.model
    seconds = {stage: ledger.seconds[stage] for stage in STAGES}
    seconds |= {"prefill": written.prefill_seconds, "decode": written.decode_seconds}
    on_gpu = model.device.type == "cuda"
    return Answer(
        text=written.text,
        image=str(scene.raster.path),
        size=scene.size,
        model=model.card.name,
        options=asdict(chosen) if is_dataclass(chosen) else {},
        relevance=tuple(ledger.passes),
        limits=selection.limits,
        seed=scene.seed,
        counts=count_up(scene, selection, cap, answer_tokens=len(written.ids), steps=written.steps),
        cost=cost_of(scene, selection, written.steps),
        seconds=seconds,
        bytes_read=ledger.bytes_read,
        peak_memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated(model.device) if on_gpu else None,
        evidence=_evidence(scene, selection),
        steps=selection.steps,
        **asked._asdict(),
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
        Evidence(scene.shown(box), level, None if score != score else score, weight)
        for box, level, score, weight in rows
        if weight
    )
