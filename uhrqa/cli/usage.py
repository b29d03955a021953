"""How a command's help looks, and which of its words are meant as a question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uhrqa.errors import UhrqaError


def tidy_help(command: Any, ctx: Any) -> None:  # noqa: ANN401 - typer's own types
    """Join the lines of each paragraph of a command's help; give flags no type to be read as one's.

    Sub-commands are tidied too.
    """
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    hide_flag_types(command.get_params(ctx))
    for inner in getattr(command, "commands", {}).values():
        tidy_help(inner, ctx)


def hide_flag_types(params: list[Any]) -> None:
    """Show no value behind options that take none."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""


def check_dashes(command: Any, args: list[str]) -> None:  # noqa: ANN401
    """Refuse a question that would be read as options because it starts with a dash.

    Raises:
        UhrqaError: there is one; the message says where it belongs.
    """
    if not any(param.name == "question" for param in command.params):
        return
    takes_value = {
        name: not (param.is_flag or param.count)
        for param in command.params
        if param.param_type_name == "option"
        for name in param.opts
    } | {"-h": False, "--help": False}
    for word in _option_words(args, takes_value):
        if _is_question(word, takes_value):
            raise UhrqaError(
                f"'{word}' is not an option; a question that starts with a dash goes behind --, "
                f"as in: uhrqa {command.name} IMAGE -- QUESTION"
            )


def _option_words(args: list[str], takes_value: dict[str, bool]) -> Iterator[str]:
    """Words that are read as options: those with a dash, before `--`, that are nobody's value."""
    words = iter(args)
    for word in words:
        if word == "--":
            return
        if takes_value.get(word):
            next(words, None)
        elif word.startswith("-") and word != "-":
            yield word


def _is_question(word: str, takes_value: dict[str, bool]) -> bool:
    spaced = any(letter.isspace() for letter in word)
    if word.startswith("--"):  # without a space it is a mistyped option: typer knows what is near
        return spaced and word.partition("=")[0] not in takes_value
    if takes_value.get(word[:2]):
        return word[2:3].isspace()
    return spaced or word[:2] not in takes_value
