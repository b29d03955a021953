"""From settings to a card, a strategy and a budget; messages say where a bad name was set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uhrqa.budget import Budget
from uhrqa.cli.console import print_note
from uhrqa.config import Settings
from uhrqa.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from uhrqa.vlm import VisionLanguageModel
    from uhrqa.vlm.card import Card


@dataclass(frozen=True, slots=True)
class Choice:
    """What a question is answered with.

    Attributes:
        card: of the model.
        strategy: its name.
        options: the strategy's own, as given; the rest have defaults.
        budget: the hard cap.
    """

    card: Card
    strategy: str
    options: Mapping[str, str]
    budget: Budget

    def with_strategy(self, name: str) -> Choice:
        """The same with another strategy, at its defaults."""
        return Choice(self.card, name, {}, self.budget)


def choose(
    settings: Settings,
    options: Mapping[str, str],
    *,
    strategy: str | None = None,
    budget: int | None = None,
) -> Choice:
    """Look every name up before anything heavy is read.

    Args:
        settings: what holds unless one of the others is given.
        options: of the strategy.
        strategy: instead of the settings'.
        budget: in tokens, instead of the settings'.

    Raises:
        UnknownNameError: no such model, strategy or option.
        ConfigError: the same, where a file or variable gave the name; or a bad option value.
        CheckpointError: the model's directory is none.
    """
    from uhrqa.strategies import make_strategy
    from uhrqa.vlm.card import load_card

    try:
        card = load_card(settings.model)
    except UnknownNameError as error:
        raise _traced(error, settings, "model") from error
    name = strategy or settings.strategy or card.strategy
    try:
        make_strategy(name, options)
    except UnknownNameError as error:
        raise _traced(error, settings, "strategy") from error
    tokens = budget or settings.budget or card.budget
    return Choice(card, name, options, Budget(tokens, settings.max_tiles))


def load(settings: Settings, quiet: bool) -> VisionLanguageModel:
    """Load the model, with the line its card wants read.

    Raises:
        CheckpointError: weights, configuration or tokenizer cannot be used.
    """
    from uhrqa.vlm import load_model

    vlm = load_model(settings.model, device=settings.device, dtype=settings.dtype)
    if vlm.card.notice and not quiet:
        print_note(f"uhrqa: note: {vlm.card.notice}")
    return vlm


def _traced(
    error: UnknownNameError, settings: Settings, name: str
) -> UnknownNameError | ConfigError:
    origin = settings.origins.get(name, "--")
    return error if origin.startswith("--") else ConfigError(f"{origin}: {error}")
