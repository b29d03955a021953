"""What a question would cost, without pixels and without weights.

The strategies themselves run, on a scene whose tokens have no embedding and whose attention is
diffuse, so that zooms use as many tiles as they ever may. Question and answer lengths are guesses
unless given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from uhrqa.budget import Budget
from uhrqa.cost import Cost
from uhrqa.forecast import Reads, Workload
from uhrqa.geometry import Box, Size
from uhrqa.planned import PlannedModel, PlannedRaster, PlannedScene
from uhrqa.raster import Raster, has_mask
from uhrqa.raster.foreseen import bytes_to_read, decoded_pixels, decoder_of, held_bytes
from uhrqa.scene import Scene
from uhrqa.selection import Selection, Strategy, TooFewTokensError, select_within_context
from uhrqa.strategies import make_strategy
from uhrqa.tally import Counts, answering_cost, answering_of, cost_of, count_up
from uhrqa.tile_batches import reads_ahead
from uhrqa.vlm.batching import TILE_BATCH
from uhrqa.vlm.card import Card

QUESTION_TOKENS = 32  # a short question with its chat template
PIXEL_BYTES = 4  # of a pixel that is held, a mask's among them
PASS_BYTES = 45_000_000  # rows that coarser levels are made of at once, as measured at 8192 px
STEPS = 4  # decoding steps of a short answer


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and cost a question would have.

    Attributes:
        counts: of tiles and tokens.
        cost: by stage.
        bound: `exact`, or `at most` where attention and pixels decide.
        steps: the strategy's decisions.
        notes: what the user should know, such as a lowered budget.
        work: what memory and seconds depend on.
        bytes_read: from storage, each block once; None where nothing is known of the storage.
    """

    counts: Counts
    cost: Cost
    bound: str
    work: Workload
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bytes_read: int | None = None


def plan(  # noqa: PLR0913 - mirrors `ask`
    image: Size | Raster,
    card: Card,
    strategy: str,
    budget: Budget | int | str,
    *,
    options: Mapping[str, Any] | None = None,
    question_tokens: int = QUESTION_TOKENS,
    steps: int = STEPS,
) -> Plan:
    """Run a strategy on dimensions alone.

    Args:
        image: its size, or an open raster, of which no pixel is read.
        card: of the model.
        strategy: its name.
        budget: the caps, as `ask` takes them.
        options: the strategy's own.
        question_tokens: text tokens of the prompt.
        steps: decoding steps the answer is taken to need.

    Raises:
        QuestionError: the question leaves no room in the model's context.
        BudgetError: a budget below 1, or less than the strategy can do with.
        ConfigError: a budget or option that is written wrongly.
        UnknownNameError: no such strategy or option.
    """
    cap = Budget.of(budget)
    chosen: Any = make_strategy(strategy, {**card.options.get(strategy, {}), **(options or {})})
    zooms = hasattr(chosen, "costliest")
    chosen = chosen.costliest() if zooms else chosen
    bound = zooms or cap.auto or (isinstance(image, Raster) and has_mask(image))
    raster = PlannedRaster(image)
    scene = PlannedScene(raster, PlannedModel(card, question_tokens), "?", max_tiles=cap.tiles)
    *smaller, last = cap.rungs()
    before = list(_attempts(chosen, scene, smaller, steps))
    selection, cap, notes = select_within_context(chosen, scene, last, steps + 1)
    passes = tuple(answering_of(scene, tried, steps) for tried in before)
    counts = count_up(scene, selection, cap, steps, passes)
    cost = cost_of(scene, selection, steps)
    cost = sum((answering_cost(scene, tried, steps) for tried in before), cost)
    reads = _reads(image, raster.reads)
    return Plan(
        counts,
        cost,
        "at most" if bound else "exact",
        Workload(
            counts,
            cost,
            tuple(scene.ledger.passes),
            tuple(scene.ledger.clusterings),
            tuple(scene.ledger.choosings),
            scene.features_kept * card.dims.token_width,
            reads,
        ),
        selection.steps,
        notes,
        reads.stored,
    )


def _attempts(
    strategy: Strategy, scene: Scene, rungs: Many[Budget], steps: int
) -> Iterator[Selection]:
    """What smaller budgets of `auto` select, those left out that are too small."""
    for rung in rungs:
        with suppress(TooFewTokensError):
            yield select_within_context(strategy, scene, rung, steps + 1)[0]


def _reads(image: Size | Raster, wanted: Many[tuple[Box, Size]]) -> Reads:
    """What reads of tiles come to, as far as the image tells."""
    pixels = sum(out.area for _, out in wanted)
    if isinstance(image, Size):
        return Reads(len(wanted), pixels)
    told = decoded_pixels(image, wanted)
    decoded, halved, held = None, 0, held_bytes(image)
    if told is not None:  # few blocks do not fill what is kept of them
        decoded, halved, held = told.pixels, told.halved, min(held, PIXEL_BYTES * told.kept)
        held += PASS_BYTES * (halved > 0)
    ahead = reads_ahead(image, "cpu")  # elsewhere what is held is not counted
    largest = max((out.area for _, out in wanted), default=0)
    held += PIXEL_BYTES * largest * min(ahead * TILE_BATCH, len(wanted))
    stored = bytes_to_read(image, wanted)
    return Reads(len(wanted), pixels, decoded, halved, stored, held, decoder_of(image))
