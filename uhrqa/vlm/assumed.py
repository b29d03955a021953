"""What a checkpoint's files leave open, and what is taken instead. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from uhrqa.vlm.card_fields import Card
from uhrqa.vlm.families import CLIP, FAMILIES, HALVES, IMAGENET

TEMPLATES = ("chat_template.jinja", "chat_template.json")
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_NORMALISATIONS = {
    CLIP: "CLIP's means and deviations",
    HALVES: "means and deviations of 0.5",
    IMAGENET: "ImageNet's means and deviations",
}


def assumptions(card: Card, directory: Path) -> tuple[str, ...]:
    """Lines a user should read: what the card and its files disagree in, and what no file says.

    Of a release in the original LLaVA layout, converted or not, its layout says the rest.

    Args:
        card: of the checkpoint.
        directory: its files.
    """
    notes = [card.overruled] if card.overruled else []
    open_ends = [] if card.layout else list(_open_ends(card, directory))
    if open_ends:
        notes.append(f"{directory}: {'; '.join(open_ends)}")
    return tuple(notes)


def first_file(directory: Path, names: Iterable[str]) -> str | None:
    """The first of some files that a directory has."""
    return next((name for name in names if (directory / name).is_file()), None)


def find_template(directory: Path) -> str | None:
    """The file that holds a checkpoint's chat template."""
    return first_file(directory, TEMPLATES) or _inside(directory, "tokenizer_config.json")


def _inside(directory: Path, name: str) -> str | None:
    """A file of that name, if it holds a chat template; one that is damaged is told elsewhere."""
    try:
        content = json.loads((directory / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return name if isinstance(content, dict) and content.get("chat_template") else None


def _open_ends(card: Card, directory: Path) -> Iterable[str]:
    family = FAMILIES[card.family]
    plain = next(entry.default for entry in fields(Card) if entry.name == "prompt")
    usual = family.defaults.get("prompt", plain)
    if card.template and card.prompt and card.prompt == usual and not find_template(directory):
        words = json.dumps(card.prompt.replace("{question}", "..."))
        yield f"no chat template, so it is asked with {words}"
    if not first_file(directory, PROCESSORS):
        yield f"no {PROCESSORS[0]}, so {_NORMALISATIONS[family.normalisation]} are taken"
    if not (directory / "generation_config.json").is_file():
        yield "no generation_config.json, so config.json and tokenizer say where an answer ends"
