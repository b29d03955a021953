"""Ask every question of a data set that has no row yet, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Self

from uhrqa.answer import Answer, ask
from uhrqa.benchmarks.items import Item, groups_of
from uhrqa.benchmarks.places import Places, opened
from uhrqa.benchmarks.rows import BenchLog, BenchRow, Key
from uhrqa.errors import BudgetError, UhrqaError
from uhrqa.evaluation.cases import Case
from uhrqa.evaluation.controls import BLIND, NO_CAP, Blind
from uhrqa.evaluation.rows import Trial, answered_row
from uhrqa.features import FeatureCache
from uhrqa.geometry import Box
from uhrqa.raster import Raster
from uhrqa.raster.side_by_side import SideBySide
from uhrqa.vlm import VisionLanguageModel
from uhrqa.vlm.turns import Turn

PLACES = ("left", "right")
PASTED = "The two images are shown side by side: the first on the left, the second on the right.\n"
SEVERAL = "The {count} images are shown side by side, in their order from left to right.\n"
NO_SUPPORT = (
    "needs {count} images and a model is shown one; --several paste shows them side by side"
)


@dataclass(frozen=True, slots=True)
class Asking:
    """How questions are asked.

    Attributes:
        prompt: makes the text.
        ways: name to the arguments of `ask`; the strategy first, then the controls.
        places: where the images are.
        paste: show several images side by side; else such questions are not supported.
        retry: ask again what failed.
    """

    prompt: Callable[[Item], str]
    ways: Mapping[str, Mapping[str, Any]]
    places: Places
    paste: bool = True
    retry: bool = False


def run_benchmark(
    items: Sequence[Item],
    asking: Asking,
    load: Callable[[], VisionLanguageModel],
    log: BenchLog,
    progress: Callable[[int], None] = lambda asked: None,
) -> None:
    """Ask what has no row yet, and put every row into the log.

    Args:
        items: the questions.
        asking: how they are asked.
        load: gives the model; called once, and only when there is something to ask it.
        log: where rows go.
        progress: called with the number of rows that were added, image by image.

    Raises:
        OutputError: the log cannot be written.
        UhrqaError: whatever `load` raises.
    """
    model = cache(load)
    for group in groups_of(items):
        before = len(log.rows)
        with _Group(group, asking, model, log.rows) as asker:
            for item in group:
                for way in asking.ways:
                    held = log.rows.get((way, item.number))
                    if held is None or (asking.retry and held.error):
                        log.append(asker.row(item, way))
        progress(len(log.rows) - before)


@dataclass
class _Group:
    """Questions about the same pictures, which are opened once."""

    items: Sequence[Item]
    asking: Asking
    model: Callable[[], VisionLanguageModel]
    rows: Mapping[Key, BenchRow]
    features: FeatureCache = field(default_factory=FeatureCache)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def raster(self) -> Raster:
        """Opened when it is first asked about."""
        return self._stack.enter_context(opened(self.items[0], self.asking.places))

    def row(self, item: Item, way: str) -> BenchRow:
        """The row of a question, whatever happens to it."""
        count = len(item.embedded or item.images)
        prompt = beside_prompt(self.asking.prompt(item), count)
        blank = BenchRow(
            item.id, item.id, item.number, self.items[0].number, way, item.category, item.subset,
            item.images, item.question, item.choices, item.truth, prompt,
            pasted=count, turn=self._turn(item), official=dict(item.official or {}),
        )  # fmt: skip
        if count > 1 and not self.asking.paste:
            return replace(blank, error=f"unsupported: {NO_SUPPORT.format(count=count)}")
        absent = [n for n in item.images if not item.embedded and not self.asking.places.find(n)]
        if absent:
            return replace(blank, error=f"missing image: {', '.join(absent)}")
        model = self.model()
        try:
            return self._asked(blank, item, model)
        except BudgetError as error:
            return replace(blank, error=f"budget: {error}")
        except UhrqaError as error:
            return replace(blank, error=str(error))

    def _turn(self, item: Item) -> int:
        """Which turn of its dialogue a question is: turns share pictures and category."""
        if not item.turns:
            return 0
        return 1 + sum(other.number < item.number for other in self._dialogue(item))

    def _dialogue(self, item: Item) -> Iterator[Item]:
        return (other for other in self.items if other.turns and other.category == item.category)

    def _history(self, item: Item, way: str, most: int) -> list[Turn]:
        """Earlier turns with the model's own answers, as many as its card lets stand."""
        if not item.turns or not most:
            return []
        earlier = [self.rows.get((way, other.number)) for other in self._dialogue(item)]
        told = [row for row in earlier if row is not None and row.number < item.number]
        return [Turn(row.prompt, row.prediction) for row in told if row.prediction][-most:]

    def _asked(self, blank: BenchRow, item: Item, model: VisionLanguageModel) -> BenchRow:
        history = self._history(item, blank.way, model.card.history)
        how = dict(self.asking.ways[blank.way])
        answer = ask(
            self.raster,
            blank.prompt,
            model=model,
            features=self.features,
            history=history,
            **how,
        )
        return _answered(blank, item, answer, self.raster, model, len(history))


def beside_prompt(text: str, count: int) -> str:
    """A prompt about so many images, which begins by saying how they are shown when several."""
    if count < 2:
        return text
    return (PASTED if count == len(PLACES) else SEVERAL.format(count=count)) + text


def _answered(
    blank: BenchRow,
    item: Item,
    answer: Answer,
    raster: Raster,
    model: VisionLanguageModel,
    history: int,
) -> BenchRow:
    """A row with its answer; the parts of the cost are those of `eval synth`."""
    things = _boxes(item, raster)
    case = Case(item.question, item.category, item.truth, things, things)
    row = answered_row(Trial(0, 0, blank.way, 0), max(raster.size), case, answer, model.card.dims)
    return replace(
        blank,
        prediction=answer.text,
        history=history,
        found=row.found,
        kept=row.kept,
        tiles=row.tiles,
        tflops=row.tflops,
        seconds=row.seconds,
    )


def _boxes(item: Item, raster: Raster) -> tuple[Box, ...]:
    """Boxes of what is asked about in pixels of the image, cut at its edges."""
    if isinstance(raster, SideBySide):
        return ()
    scale = max(raster.size) / item.frame if item.frame else 1.0
    whole = Box.whole(raster.size)
    boxes = (Box(*corners).scale(scale, scale).intersect(whole) for corners in item.boxes)
    return tuple(box for box in boxes if not box.is_empty)


def control_ways(seed: int, max_new_tokens: int, budget: object) -> dict[str, dict[str, Any]]:
    """The controls: without image, with the thumbnail alone, and with a plain resize that fits.

    Args:
        seed: of every random choice.
        max_new_tokens: longest answer.
        budget: that the resize has to meet.
    """
    common = {"seed": seed, "max_new_tokens": max_new_tokens}
    return {
        BLIND: {"strategy": Blind(), "budget": NO_CAP, **common},
        "thumbnail": {"strategy": "thumbnail", "budget": NO_CAP, **common},
        "downsample": {"strategy": "downsample", "budget": budget, **common},
    }
