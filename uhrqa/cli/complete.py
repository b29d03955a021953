"""What the shell offers behind an option when Tab is pressed. Imports no torch, and never fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from uhrqa.errors import UhrqaError


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completion from names that are known beforehand."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def complete_model(incomplete: str) -> list[str]:
    """Model cards; directories are the shell's own to offer."""
    from uhrqa.vlm.card import list_cards

    return among(list_cards())(incomplete)


def complete_strategy(incomplete: str) -> list[str]:
    """Strategies; behind a comma too, for options that take several."""
    from uhrqa.strategies import STRATEGIES

    before, comma, begun = incomplete.rpartition(",")
    with suppress(UhrqaError):
        return [before + comma + name for name in among(STRATEGIES)(begun)]
    return []


def complete_option(ctx: Any, incomplete: str) -> list[tuple[str, str]]:  # noqa: ANN401 - typer's
    """Keys of the strategy's options with their meanings, as `key=`."""
    from uhrqa.strategies import describe

    with suppress(UhrqaError):
        _, entries = describe(_strategy(ctx.params))
        words = [(f"{key}=", meaning) for key, _, meaning in entries]
        return [(word, meaning) for word, meaning in words if word.startswith(incomplete)]
    return []


def _strategy(params: dict[str, Any]) -> str:
    """The strategy a command line names so far; of several the last; else that of the settings."""
    from uhrqa.config import load_settings
    from uhrqa.vlm.card import load_card

    given = params.get("strategy") or ()
    words = [given] if isinstance(given, str) else given
    if words:
        return str(words[-1]).rpartition(",")[2]
    settings = load_settings({"model": params.get("model")})
    return settings.strategy or load_card(settings.model).strategy
