"""Ask one question about one raster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from uhrqa.account import Answer, Evidence
from uhrqa.asker import Asker, watch_memory
from uhrqa.budget import Budget
from uhrqa.choices import check_choices
from uhrqa.config import MAX_NEW_TOKENS
from uhrqa.features import FeatureCache
from uhrqa.raster import Array, Raster, open_raster
from uhrqa.selection import Strategy
from uhrqa.vlm import VisionLanguageModel, load_model
from uhrqa.vlm.prefix import Prefix
from uhrqa.vlm.turns import Turns

__all__ = ["Answer", "Evidence", "ask"]


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
    choices: Sequence[str] | None = None,
    seed: int = 0,
    features: FeatureCache | None = None,
    prefix: Prefix | None = None,
    history: Turns = (),
    gsd_in_prompt: bool = False,
    ahead: int | None = None,
) -> Answer:
    """Answer a question about an image within a hard budget of visual tokens.

    Args:
        raster: an open raster, an array `[h, w, 3]` uint8, or a path.
        question: the user's words.
        model: a loaded model, or what `load_model` takes.
        strategy: its name, or an instance; the model card's default when None.
        options: the strategy's own options, where it is given by name.
        budget: visual tokens that may enter the answering pass, as a number, as text (`"4k"` is
            4000, `"4Ki"` 4096) or as a `Budget`; the card's default when None. `"auto"` starts
            with an eighth of it and goes on only while the answer changes.
        max_tiles: cap on tiles used, those of the relevance passes and of the cache included.
        max_new_tokens: longest answer.
        choices: the answers there are, such as letters: the most probable is taken, and nothing is
            written freely. The question is asked as it is: it should say what they mean.
        seed: of every random choice.
        features: encoded tiles shared between questions about the same image.
        prefix: keys and values of the visual tokens, shared between questions about the same image
            where a strategy that reads no relevance gives each the same tokens.
        history: questions asked before, with their answers; they stand in the prompt.
        gsd_in_prompt: tell the model, before the question, how many metres a pixel is.
        ahead: batches of tiles that are read while others are encoded; when None, two where a GPU
            encodes or the image is on a server, else none.

    Raises:
        RasterError: the image cannot be opened or read.
        CheckpointError: the model cannot be loaded.
        QuestionError: the question is empty, too long, or holds the image token.
        BudgetError: a budget below 1, or less than the strategy can do with.
        ConfigError: a budget, option, seed or choice that is written wrongly.
        UnknownNameError: no such model, strategy or option.
    """
    offered = () if choices is None else check_choices(choices)
    loaded = load_model(str(model)) if isinstance(model, str | Path) else model
    asker = Asker.of(
        loaded,
        strategy=strategy,
        options=options,
        budget=budget,
        max_tiles=max_tiles,
        max_new_tokens=max_new_tokens,
        seed=seed,
        features=features,
        prefix=prefix,
        gsd_in_prompt=gsd_in_prompt,
        ahead=ahead,
    )
    with ExitStack() as stack:
        source = raster if isinstance(raster, Raster) else stack.enter_context(open_raster(raster))
        watch_memory(loaded)
        steps = asker.steps(source, question, offered, history)
        unwritten = next(steps)
        while True:
            try:
                unwritten = steps.send(unwritten.write(loaded))
            except StopIteration as end:
                answer: Answer = end.value
                return answer
