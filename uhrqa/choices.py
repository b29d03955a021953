"""The answers a question may be given, as a user writes them. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from uhrqa.errors import ConfigError

LEAST = 2


def parse_choices(text: str) -> tuple[str, ...]:
    """`A,B,C,D` as texts.

    Raises:
        ConfigError: fewer than two, an empty one, or one that is written twice.
    """
    return check_choices(text.split(","), f"choices '{text}'")


def check_choices(choices: Sequence[str], what: str = "choices") -> tuple[str, ...]:
    """Texts that differ, without the blanks around them.

    Args:
        choices: as they were given.
        what: the subject of a message.

    Raises:
        ConfigError: fewer than two, an empty one, or one that is written twice.
    """
    found = tuple(choice.strip() for choice in choices)
    if len(found) < LEAST or not all(found):
        raise ConfigError(f"{what}: write {LEAST} texts or more, none empty, for example A,B,C,D")
    for number, choice in enumerate(found):
        if choice in found[:number]:
            raise ConfigError(f"{what}: '{choice}' is there twice; write each once")
    return found
