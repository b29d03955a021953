"""What a question would cost, without pixels and without weights.

The strategies themselves run, on a scene whose tokens have no embedding and whose attention is
diffuse, so that zooms use as many tiles as they ever may. Question and answer lengths are guesses
unless given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from uhrqa.budget import Budget
from uhrqa.cost import Cost
from uhrqa.drops import Drop
from uhrqa.features import EncodedTile
from uhrqa.forecast import Reads, Workload
from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import Pixels, Raster, has_mask, in_source, whole_of
from uhrqa.raster.foreseen import bytes_to_read, decoded_pixels, held_bytes
from uhrqa.regions import grid_regions
from uhrqa.scene import Scene
from uhrqa.selection import select_within_context
from uhrqa.strategies import make_strategy
from uhrqa.tally import Counts, cost_of, count_up
from uhrqa.tokens import VisualTokens
from uhrqa.vlm import Generation, Prompt, Sequence
from uhrqa.vlm.card import Card
from uhrqa.vlm.choosing import Choices
from uhrqa.vlm.paired import paired_config, paired_flops
from uhrqa.vlm.placement import Placement
from uhrqa.vlm.prefix import Prefix
from uhrqa.vlm.turns import Turns

QUESTION_TOKENS = 32  # a short question with its chat template
PIXEL_BYTES = 4  # of a pixel that is held, a mask's among them
SIDE = 8  # of the scores of planned towers in a tile
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
    raster = _PlannedRaster(image)
    scene = _PlannedScene(raster, _PlannedModel(card, question_tokens), "?", max_tiles=cap.tiles)
    selection, cap, notes = select_within_context(chosen, scene, cap, steps + 1)
    counts = count_up(scene, selection, cap, steps)
    cost = cost_of(scene, selection, steps)
    reads = _reads(image, raster.reads)
    return Plan(
        counts,
        cost,
        "at most" if zooms or (isinstance(image, Raster) and has_mask(image)) else "exact",
        Workload(
            counts,
            cost,
            tuple(scene.ledger.passes),
            tuple(scene.ledger.clusterings),
            scene.features_kept * card.dims.token_width,
            reads,
        ),
        selection.steps,
        notes,
        reads.stored,
    )


def _reads(image: Size | Raster, wanted: Many[tuple[Box, Size]]) -> Reads:
    """What reads of tiles come to, as far as the image tells."""
    pixels = sum(out.area for _, out in wanted)
    if isinstance(image, Size):
        return Reads(len(wanted), pixels)
    moved = [(in_source(image, box), out) for box, out in wanted]  # what a window is of is decoded
    decoded, halved = decoded_pixels(whole_of(image), moved) or (None, 0)
    held = held_bytes(image)
    if decoded is not None:  # few blocks do not fill what is kept of them
        held = min(held, PIXEL_BYTES * (decoded + halved))
    return Reads(len(wanted), pixels, decoded, halved, bytes_to_read(image, wanted), held)


class _PlannedScene(Scene):
    """Counts the tiles it is asked for and encodes none.

    Attributes:
        features_kept: tokens of all tiles that would be kept encoded.
    """

    raster: _PlannedRaster
    features_kept = 0

    def _encode(
        self, level: Level, tiles: list[Tile], *, masked: bool, watch: bool
    ) -> dict[Tile, EncodedTile]:
        side = self._encoder.side(level)
        key = self._encoder.key
        blank = EncodedTile(
            torch.empty(side, side, 0), None, torch.zeros(side, side, 2) if watch else None
        )
        missing = [
            tile
            for tile in tiles
            if (kept := self.features.get(key(level, tile))) is None
            or (watch and kept.traits is None)
        ]
        for tile in missing:
            self.features.put(key(level, tile), blank)
            self.raster.note(level.box(tile), Size(level.tile, level.tile))
        self.features_kept += len(missing) * side**2
        self.ledger.encoded[level] += len(missing)
        self.ledger.watched += watch * len(missing)
        self._note_use(level, tiles, missing)
        return dict.fromkeys(tiles, blank)

    def kmeans(
        self,
        tokens: VisualTokens,
        places: Tensor,
        k: int,
        *,
        iterations: int,
        coord_weight: float,
        plain: bool,
    ) -> Tensor:
        """Noted, and a grid in its place: tokens of a plan have no features."""
        self._note_kmeans(len(tokens), k, iterations, plain)
        return grid_regions(places, k)


class _PlannedRaster:
    """A size, and what would be read of it; a window knows what it is of."""

    def __init__(self, image: Size | Raster) -> None:
        self.size = image if isinstance(image, Size) else image.size
        self.path = str(self.size)
        self.whole = self if isinstance(image, Size) else whole_of(image)
        self.levels = (self.size,)
        self._image = image
        self.bytes_read = 0
        self.has_mask = False
        self.reads: list[tuple[Box, Size]] = []

    def in_source(self, box: Box) -> Box:
        """See `uhrqa.raster.in_source`."""
        return box if isinstance(self._image, Size) else in_source(self._image, box)

    def note(self, box: Box, out: Size) -> None:
        """Remember a read."""
        self.reads.append((box, out))

    def read(self, box: Box, out: Size) -> Pixels:
        """A plan reads no pixel: paired towers see black."""
        self.note(box, out)
        return Pixels(np.zeros((*out, 3), np.uint8), np.ones(out, np.bool_), box)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _PlannedTowers:
    """Sizes in the place of paired towers, which see something everywhere."""

    scale = 1.0

    def __init__(self, path: Path, length: int) -> None:
        self._config = paired_config(path)
        self._length = min(length, self._config.text_config.max_position_embeddings)
        self._random = torch.Generator().manual_seed(0)

    def encode(self, pixels: Tensor) -> Tensor:
        """Diffuse scores."""
        return torch.rand(len(pixels), SIDE, SIDE, 1, generator=self._random)

    def read(self, question: str) -> tuple[Tensor, int]:
        """A question of the expected length."""
        return torch.ones(1), self._length

    def flops(self, tiles: int, length: int) -> int:
        """As the towers themselves count."""
        return paired_flops(self._config, tiles, length)


class _PlannedModel:
    """A card in the place of a model: tokens without embedding, attention without focus."""

    placement: Placement | None = None
    fill = (0, 0, 0)
    precision = "none"
    device = torch.device("cpu")

    def __init__(self, card: Card, question_tokens: int) -> None:
        self.card = card
        self.newline = torch.empty(0) if card.row_ends else None
        self.rfm_layers = card.rfm_layers
        self.paired = _PlannedTowers(Path(card.clip), question_tokens) if card.clip else None
        self._question_tokens = question_tokens

    def encode_tiles(self, pixels: Tensor) -> Tensor:
        """A plan encodes no tile."""
        raise NotImplementedError

    def watch_tiles(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """A plan encodes no tile."""
        raise NotImplementedError

    def build_prompt(self, question: str, history: Turns = ()) -> Prompt:
        """A prompt of the expected length."""
        return Prompt((), (0,) * self._question_tokens, (0,) * self.card.between_tokens)

    def assemble(self, prompt: Prompt, tokens: VisualTokens) -> Sequence:
        """A sequence of the right length and no width."""
        length = prompt.length(tokens)
        return Sequence(
            torch.empty(1, length, 0), torch.arange(len(tokens)), torch.arange(len(tokens), length)
        )

    def attend(
        self,
        sequence: Sequence,
        *,
        layer: int | None,
        rows: Tensor,
        columns: Tensor,
        blank: Tensor | None = None,
    ) -> Tensor:
        """Diffuse attention: the top share lies all over the image."""
        scores = torch.rand(len(columns), generator=torch.Generator().manual_seed(0)) + 1
        return scores / scores.sum()

    def generate(
        self,
        sequence: Sequence,
        max_new_tokens: int,
        drops: Iterable[Drop] = (),
        prefix: Prefix | None = None,
    ) -> Generation:
        """A plan answers nothing."""
        raise NotImplementedError

    def spell(self, choices: Many[str]) -> Choices:
        """A plan answers nothing."""
        raise NotImplementedError

    def choose(
        self,
        sequence: Sequence,
        choices: Choices,
        drops: Iterable[Drop] = (),
        prefix: Prefix | None = None,
    ) -> Generation:
        """A plan answers nothing."""
        raise NotImplementedError
