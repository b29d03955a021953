"""From settings to a card, a strategy and a budget; messages say where a bad name was set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.budget import Budget
from uhrqa.cli.console import print_note
from uhrqa.cli.signals import end_at_once, end_with_cleanup
from uhrqa.config import Settings
from uhrqa.errors import CardError, ConfigError, UhrqaError, UnknownNameError

if TYPE_CHECKING:
    from uhrqa.cli.options import Given
    from uhrqa.selection import Strategy
    from uhrqa.vlm import VisionLanguageModel
    from uhrqa.vlm.card import Card


@dataclass(frozen=True, slots=True)
class Choice:
    """What a question is answered with.

    Attributes:
        card: of the model.
        strategy: its name.
        options: the strategy's own, as given.
        budget: the hard cap.
    """

    card: Card
    strategy: str
    options: Mapping[str, str]
    budget: Budget

    @property
    def all_options(self) -> dict[str, Any]:
        """The options given, and under them those of the card; the rest have defaults."""
        return {**self.card.options.get(self.strategy, {}), **self.options}

    @property
    def made(self) -> Strategy:
        """The strategy with these options."""
        from uhrqa.strategies import make_strategy

        return make_strategy(self.strategy, self.all_options)

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """What `ask` is called with beside image, question and model."""
        return {
            "strategy": self.strategy,
            "budget": self.budget,
            "options": self.options,
            "seed": settings.seed,
            "max_new_tokens": settings.max_new_tokens,
        }

    def with_strategy(self, name: str) -> Choice:
        """The same with another strategy, at its defaults."""
        return Choice(self.card, name, {}, self.budget)


def choose(
    settings: Settings,
    options: Mapping[str, str],
    *,
    strategy: str | None = None,
    budget: int | None = None,
    rfm: str | None = None,
    clip: str | None = None,
) -> Choice:
    """Look every name up before anything heavy is read.

    Args:
        settings: what holds unless one of the others is given.
        options: of the strategy.
        strategy: instead of the settings'.
        budget: in tokens, instead of the settings'.
        rfm: file of a Region Focus Module, instead of the card's.
        clip: directory of a whole CLIP or SigLIP, instead of the card's.

    Raises:
        UnknownNameError: no such model, strategy or option.
        ConfigError: the same, where a file or variable gave the name; or a bad option value, or one
            that does not go with the card's.
        CardError: the card is not valid, or names a strategy or option that there is not.
        CheckpointError: the model's directory or the file of the RFM is none.
    """
    from uhrqa.rfm import rfm_depth
    from uhrqa.strategies import STRATEGIES, make_strategy

    card = choose_card(settings)
    if rfm is not None:
        card = replace(card, rfm_layers=rfm_depth(Path(rfm)))
    if clip is not None:
        card = replace(card, clip=clip)
    name = strategy or settings.strategy or card.strategy
    try:
        STRATEGIES[name]
    except UnknownNameError as error:
        if strategy is not None:
            raise
        if settings.strategy is None:
            raise CardError(f"model card '{card.name}': {error}") from error
        raise _traced(error, settings, "strategy") from error
    make_strategy(name, options)  # first without the card's options: a mistake here is the user's
    written = budget or settings.budget or card.budget
    cap = Budget.of(written, settings.max_tiles, usual=card.budget)
    choice = Choice(card, name, options, cap)
    try:
        chosen = make_strategy(name, choice.all_options)
    except (UnknownNameError, ConfigError) as error:
        raise _refused(error, choice) from error
    if getattr(chosen, "relevance", None) == "clip":
        _check_clip(card)
    return choice


def _refused(error: UhrqaError, choice: Choice) -> UhrqaError:
    """Why the user's options, good by themselves, do not go with those of the card."""
    from uhrqa.strategies import as_text, make_strategy

    card, name = choice.card, choice.strategy
    said = card.options.get(name, {})
    try:
        make_strategy(name, said)
    except (UnknownNameError, ConfigError) as own:
        return CardError(f"model card '{card.name}': {own}")
    left = {key: as_text(value) for key, value in said.items() if key not in choice.options}
    yours, cards = (
        ", ".join(f"{key}={value}" for key, value in pairs.items() if key in str(error))
        for pairs in (choice.options, left)
    )
    return ConfigError(f"{error} (you gave {yours}; {cards} is of the model card '{card.name}')")


def _check_clip(card: Card) -> None:
    """Refuse `relevance=clip` before anything is loaded where it cannot be had.

    Raises:
        ConfigError: no checkpoint with a paired text tower is named.
        CheckpointError: what is named is none.
    """
    from uhrqa.vlm.card import NO_CLIP
    from uhrqa.vlm.directory import read_config

    if card.clip is None:
        raise ConfigError(NO_CLIP.format(name=card.name))
    read_config(Path(card.clip))


def choose_card(settings: Settings) -> Card:
    """The card of the model that the settings name.

    Raises:
        UnknownNameError: no such model.
        ConfigError: the same, where a file or variable gave the name.
        CardError: the card is not valid.
        CheckpointError: the model's directory is none.
    """
    from uhrqa.vlm.card import load_card
    from uhrqa.vlm.config_checks import check_counts

    try:
        card = load_card(settings.model)
    except UnknownNameError as error:
        raise _traced(error, settings, "model") from error
    check_counts(card.name, card.config)
    return card


def check_model(given: Given) -> None:
    """Refuse at once what could not be loaded: torch, whose import takes seconds, is not needed.

    Raises:
        CheckpointError: the model's files are not on this machine, or not whole.
        ConfigError: a package that an option needs is not installed.
    """
    from uhrqa.vlm.at_hand import check_at_hand

    settings = given.settings
    check_at_hand(
        choose_card(settings),
        allow_pickle=given.allow_pickle,
        device_map=settings.device_map,
        quantize=settings.quantize,
        attention=settings.attention,
    )


def load(given: Given) -> VisionLanguageModel:
    """Load the model, with what should be read about it; that is left out with `--quiet`.

    Raises:
        CheckpointError: weights, configuration or tokenizer cannot be used.
        ConfigError: a device, or a package that an option needs, is not there.
    """
    end_at_once()
    check_model(given)
    from uhrqa.vlm import load_model

    settings = given.settings
    vlm = load_model(
        settings.model,
        device=settings.device,
        dtype=settings.dtype,
        attention=settings.attention,
        rfm=given.rfm,
        clip=given.clip,
        allow_pickle=given.allow_pickle,
        device_map=settings.device_map,
        quantize=settings.quantize,
    )
    end_with_cleanup()
    from uhrqa.vlm.assumed import assumptions

    notes = [vlm.card.notice, *assumptions(vlm.card, vlm.card.find_weights())]
    for note in () if given.quiet else filter(None, notes):
        print_note(f"uhrqa: note: {note}")
    return vlm


def _traced(
    error: UnknownNameError, settings: Settings, name: str
) -> UnknownNameError | ConfigError:
    origin = settings.origins.get(name, "--")
    return error if origin.startswith("--") else ConfigError(f"{origin}: {error}")
