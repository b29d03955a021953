"""lmms-eval's tasks, asked with our strategies. Needs lmms-eval: `pip install 'uhrqa[lmms]'`.

    python -m lmms_eval --model uhrqa --tasks xlrs-lite --model_args
        pretrained=longva-7b,strategy=rfm-dip,budget=4k,keep_ratio=0.25

Pictures come decoded from lmms-eval, so that whole images are in memory; it prompts and scores as
its tasks say. Several pictures of a question are shown side by side, as `uhrqa eval` does it.
Answers are greedy, one question at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms
from tqdm import tqdm

from uhrqa.answer import ask
from uhrqa.benchmarks.run import beside_prompt
from uhrqa.config import MAX_NEW_TOKENS
from uhrqa.errors import ConfigError, QuestionError
from uhrqa.raster import Raster, open_raster
from uhrqa.raster.side_by_side import SideBySide
from uhrqa.strategies import make_strategy
from uhrqa.vlm import load_model


class UhrqaModel(lmms):
    """A checkpoint with a strategy and a budget.

    Args:
        pretrained: card, directory or hub id, as `uhrqa ask -m` takes it.
        strategy: its name; the card's by default.
        budget: visual tokens, as `uhrqa ask -b` takes them; the card's by default.
        device: where the model runs; the first GPU if there is one.
        dtype: precision of the weights.
        seed: of every random choice.
        settings: `batch_size` and `max_batch_size` are lmms-eval's own and change nothing here;
            all others are the strategy's options.

    Raises:
        ConfigError: one of several processes, or an option without a strategy.
        UhrqaError: as `load_model` and `make_strategy` raise it.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "tiny",
        *,
        strategy: str | None = None,
        budget: int | str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        seed: int = 0,
        **settings: Any,  # noqa: ANN401 - whatever --model_args holds
    ) -> None:
        super().__init__()
        if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
            raise ConfigError(
                f"{processes} processes: uhrqa runs in one; start lmms-eval without launcher"
            )
        for name in ("batch_size", "max_batch_size"):
            settings.pop(name, None)
        options = {name: str(value) for name, value in settings.items()}
        if options and strategy is None:
            raise ConfigError(
                f"{next(iter(options))} is an option of a strategy; add strategy=NAME"
            )
        if strategy is not None:
            make_strategy(strategy, options)  # refused before weights are loaded
        self.asked: dict[str, Any] = {
            "strategy": strategy,
            "options": options,
            "budget": budget,
            "seed": seed,
        }
        self.model = load_model(pretrained, device=device, dtype=dtype)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """An answer for each request, in their order.

        Raises:
            QuestionError: a question is about no image.
            UhrqaError: as `ask` raises it.
        """
        return [self._answer(*request.args) for request in tqdm(requests, desc="uhrqa")]

    def _answer(
        self,
        text: str,
        generation: dict[str, Any],
        pictures_of: Any,  # noqa: ANN401
        number: int,
        task: str,
        split: str,
    ) -> str:
        pictures = pictures_of(self.task_dict[task][split][number])
        if not pictures:
            raise QuestionError(f"{task}, question {number}: has no picture to be asked about")
        longest = int(generation.get("max_new_tokens") or MAX_NEW_TOKENS)
        with _raster(pictures) as raster:
            text = beside_prompt(text, len(pictures))
            found = ask(raster, text, model=self.model, max_new_tokens=longest, **self.asked)
        return _cut(found.text, generation.get("until") or ())

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not given: strategies choose tokens for an answer.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("uhrqa gives answers, no likelihoods; choose a generate_until task")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not given: a round would need what lmms-eval's tasks do between rounds.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("uhrqa answers in one round; choose a generate_until task")


@contextmanager
def _raster(pictures: Sequence[Any]) -> Iterator[Raster]:
    """What `ask` takes, from PIL images or paths of files."""
    with ExitStack() as stack:
        parts = [stack.enter_context(open_raster(_source(picture))) for picture in pictures]
        yield parts[0] if len(parts) == 1 else SideBySide(parts)


def _source(picture: Any) -> Any:  # noqa: ANN401 - a PIL image, or the path of a file
    """A path as it is, a picture as an array `[h, w, 3]` uint8."""
    if isinstance(picture, str | Path):
        return picture
    return np.asarray(picture.convert("RGB"))


def _cut(text: str, until: str | Iterable[str]) -> str:
    """A text up to the first of some words that end it."""
    for word in [until] if isinstance(until, str) else until:
        text = text.partition(word)[0] if word else text
    return text
