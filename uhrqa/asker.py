"""Ask questions the same way: scene -> selection -> prompt -> what is to be written -> answer."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Self

import torch

from uhrqa.account import Answer, Evidence
from uhrqa.attempts import Try, Unwritten, Writing, answer_until_stable
from uhrqa.budget import Budget
from uhrqa.choices import check_choices
from uhrqa.config import MAX_NEW_TOKENS
from uhrqa.errors import ConfigError
from uhrqa.features import FeatureCache
from uhrqa.machine import peak_memory
from uhrqa.raster import Raster, shown, whole_of
from uhrqa.raster.ground import ground_of, gsd_sentence
from uhrqa.scene import Scene
from uhrqa.selection import Selection, Strategy
from uhrqa.strategies import STRATEGIES, make_strategy
from uhrqa.tally import answering_cost, answering_of, cost_of, count_up
from uhrqa.vlm import Generation, VisionLanguageModel
from uhrqa.vlm.card import Card
from uhrqa.vlm.prefix import Prefix
from uhrqa.vlm.turns import Turns

Steps = Generator[Unwritten, Generation, Answer]

STAGES = ("read", "encode", "relevance", "select")


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks questions, each the same way.

    Attributes:
        model: what answers.
        strategy: what selects.
        name: of the strategy.
        budget: visual tokens and tiles of each answer.
        max_new_tokens: longest answer.
        seed: of every random choice.
        features: encoded tiles, shared by questions about one image.
        prefix: keys and values of the visual tokens, shared where they are the same.
        gsd_in_prompt: whether the model is told how many metres a pixel is.
        ahead: batches of tiles read before they are asked for, see `TileBatches`.
    """

    model: VisionLanguageModel
    strategy: Strategy
    name: str
    budget: Budget
    max_new_tokens: int = MAX_NEW_TOKENS
    seed: int = 0
    features: FeatureCache | None = None
    prefix: Prefix | None = None
    gsd_in_prompt: bool = False
    ahead: int | None = None

    @classmethod
    def of(
        cls,
        model: VisionLanguageModel,
        *,
        strategy: Strategy | str | None = None,
        options: Mapping[str, Any] | None = None,
        budget: Budget | int | str | None = None,
        max_tiles: int | None = None,
        **fields: Any,  # noqa: ANN401 - the other attributes
    ) -> Self:
        """From the arguments of `ask`; errors as there."""
        chosen, name = _strategy(strategy, options, model.card)
        usual = model.card.budget
        cap = Budget.of(usual if budget is None else budget, max_tiles, usual=usual)
        return cls(model, chosen, name, cap, **fields)

    def steps(
        self, raster: Raster, question: str, choices: tuple[str, ...] = (), history: Turns = ()
    ) -> Steps:
        """Answer a question, but for the writing: that is handed over.

        Args:
            raster: the image.
            question: the user's words.
            choices: the answers there are; none: it is written freely.
            history: questions asked before, with their answers.

        Yields:
            What is to be written, by itself or with other answers; it is sent what was.

        Raises:
            UhrqaError: see `ask`.
        """
        offered = check_choices(choices) if choices else ()
        model = self.model
        scene = Scene(
            raster,
            model,
            question,
            features=self.features,
            max_tiles=self.budget.tiles,
            seed=self.seed,
            history=history,
            preface=gsd_sentence(raster) if self.gsd_in_prompt else "",
            ahead=self.ahead,
        )
        writing = Writing(self.max_new_tokens, offered, self.prefix)
        tries = yield from answer_until_stable(self.strategy, scene, model, self.budget, writing)
        attempts = tuple(entry.summary(scene.decoder_layers) for entry in tries)
        return _account(
            scene,
            self.strategy,
            tries,
            shown(raster),
            history=len(history),
            strategy=self.name,
            attempts=attempts if self.budget.auto else (),
        )


def watch_memory(model: VisionLanguageModel) -> None:
    """Begin to note the most memory that is taken on a model's device."""
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)


def _account(
    scene: Scene,
    chosen: Strategy,
    tries: list[Try],
    look: Mapping[str, Any],
    **asked: Any,  # noqa: ANN401 - fields of the answer as they are
) -> Answer:
    """The last answer, with all that the ledger and the selections tell about it."""
    ledger, model = scene.ledger, scene.model
    selection, written = tries[-1].selection, tries[-1].written
    seconds = {stage: ledger.seconds[stage] for stage in STAGES}
    seconds["prefill"] = sum(entry.written.prefill_seconds for entry in tries)
    seconds["decode"] = sum(entry.written.decode_seconds for entry in tries)
    before = (answering_cost(scene, t.selection, t.written) for t in tries[:-1])
    on_gpu = model.device.type == "cuda"
    return Answer(
        text=written.text,
        question=scene.question,
        preface=scene.preface,
        image=str(scene.raster.path),
        size=whole_of(scene.raster).size,
        model=model.card.name,
        options=asdict(chosen) if is_dataclass(chosen) else {},
        relevance=tuple(ledger.passes),
        limits=selection.limits,
        seed=scene.seed,
        device=str(selection.tokens.embed.device),
        dtype=model.precision,
        counts=count_up(
            scene,
            selection,
            tries[-1].held,
            written,
            tuple(answering_of(scene, t.selection, t.written.steps) for t in tries[:-1]),
        ),
        cost=sum(before, cost_of(scene, selection, written)),
        seconds=seconds,
        bytes_read=ledger.bytes_read,
        requests=ledger.requests,
        peak_memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated(model.device) if on_gpu else None,
        evidence=_evidence(scene, selection),
        steps=selection.steps,
        choices=written.choices,
        notes=(*tries[-1].notes, *_hole_notes(look)),
        shown=look,
        roi=getattr(scene.raster, "roi", None),
        ground=ground_of(whole_of(scene.raster)),
        **asked,
    )


def _hole_notes(look: Mapping[str, Any]) -> tuple[str, ...]:
    count = look.get("masked_tiles", 0)
    tiles = "1 tile" if count == 1 else f"{count} tiles"
    return (f"masked in the image, as they cannot be decoded: {tiles}",) if count else ()


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
