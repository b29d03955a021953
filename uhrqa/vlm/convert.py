"""Writing an original LLaVA checkpoint in the stock layout, once.

What comes out is a directory like any other: stock weights, `rfm.safetensors`,
`multiscale.safetensors`, the tokenizer's files as they were. Its `config.json` names the release it
came from, so that pooling, packing and prompt stay; what else a card said stands in a card beside.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import transformers
import yaml
from safetensors.torch import save_file
from torch import Tensor

from uhrqa.errors import CheckpointError, OutputError
from uhrqa.rfm import FORMAT
from uhrqa.vlm.card import Card, card_of_directory, load_card
from uhrqa.vlm.directory import LAYOUT_KEY, SCALE_TABLES, companions
from uhrqa.vlm.extras import load_focus, load_tables, rfm_tensors, scale_tensors
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.layouts import EXTRAS
from uhrqa.vlm.loading import is_pickled, load_strictly, weights_of
from uhrqa.vlm.pickles import rewrite_pickles
from uhrqa.vlm.shards import read_under
from uhrqa.vlm.source import Source, source_of
from uhrqa.vlm.tokenizing import load_tokenizer, normalisation_of

TOKENIZER = ("*token*", "vocab.*", "merges.txt", "*.model", "chat_template*", "generation_config.*")
FOLLOWS = (
    "name", "weights", "config", "family", "rfm", "rfm_layers", "placement", "vision_tower",
    "views", "overruled",
)  # fmt: skip
"""Fields of a card that a converted checkpoint gives by itself."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written.

    Attributes:
        path: the directory.
        release: name of the original layout.
        tensors: number of tensors in each file that was written, by the file's kind.
        card: file of the card beside the directory; None where it needs none.
    """

    path: Path
    release: str
    tensors: dict[str, int]
    card: Path | None


def convert(
    name: str, target: Path, *, vision_tower: Path | None = None, allow_pickle: bool = False
) -> Converted:
    """Write a checkpoint in the stock layout.

    Args:
        name: a card's name, a directory, or a hub id that is in the local cache.
        target: directory to write; must not hold anything.
        vision_tower: directory of the vision tower, where the checkpoint only names it.
        allow_pickle: read tensors from pickles where there is no safetensors.

    Raises:
        UnknownNameError: no such model.
        CheckpointError: it is damaged or incomplete, or stock already.
        OutputError: the target is not empty or cannot be written.
    """
    _check_target(target)
    with ExitStack() as stack:
        if allow_pickle:
            name = str(_without_pickles(load_card(name).find_weights(), target, stack))
            if vision_tower:
                vision_tower = _without_pickles(vision_tower, target, stack)
        return _convert(name, target, vision_tower)


def _without_pickles(path: Path, target: Path, stack: ExitStack) -> Path:
    """The directory itself, or one that holds its pickles as safetensors until the stack closes."""
    if not is_pickled(path, allow_pickle=True):
        return path
    target.parent.mkdir(parents=True, exist_ok=True)
    place = tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent.resolve())
    stack.callback(shutil.rmtree, place, ignore_errors=True)
    rewrite_pickles(path, Path(place))
    return Path(place)


def _convert(name: str, target: Path, vision_tower: Path | None) -> Converted:
    card = load_card(name, vision_tower=str(vision_tower.resolve()) if vision_tower else None)
    path = weights_of(card)
    source = source_of(card, path)
    if source is None:
        raise CheckpointError(f"{name}: is in the stock layout already; use it with -m {name}")
    try:
        with _written_whole(target) as place:
            tensors = _write(card, path, source, place)
        return Converted(target, source.layout.name, tensors, _write_card(card, target))
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target}: is there and not empty; name a new directory")
    if (file := _card_file(target)).exists():
        raise OutputError(f"{file}: is there, and a card of that name is to be written")


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A directory beside the target that takes its name in the end, or is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent.resolve()))
    try:
        yield place
        place.chmod(0o755)
        place.replace(target)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write(card: Card, path: Path, source: Source, place: Path) -> dict[str, int]:
    """Write weights, extras, tokenizer and normalisation; return the number of tensors by kind."""
    family = source.layout.family
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    model = load_strictly(kind, path, dtype="auto", attention="sdpa", source=source)
    load_tables(card, path, source)  # only to see that they fit
    load_focus(card, path, source, model.get_decoder(), None)
    model.save_pretrained(place, save_original_format=False)
    counts = {"model": len(model.state_dict())}
    for stem, tensors in _extras(card, path).items():
        metadata = {"format": FORMAT if stem == "rfm" else "pt"}
        save_file(tensors, place / f"{stem}.safetensors", metadata)
        counts[stem] = len(tensors)
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    config[LAYOUT_KEY] = source.layout.name
    _write_json(place / "config.json", config)
    mean, std = normalisation_of(path, family, source)
    _write_json(place / "preprocessor_config.json", {"image_mean": mean, "image_std": std})
    _copy(card, path, place)
    return counts


def _copy(card: Card, path: Path, place: Path) -> None:
    """Take the tokenizer along, and the files that a card names."""
    tokenizer = load_tokenizer(path)
    if not (path / "tokenizer.json").is_file():  # what is written is quicker to read than this
        tokenizer.save_pretrained(place)
    for pattern in TOKENIZER if (path / "tokenizer.json").is_file() else TOKENIZER[-1:]:
        for file in filter(Path.is_file, path.glob(pattern)):
            shutil.copyfile(file, place / file.name)
    for stem, name in (("rfm", card.rfm), ("placement", card.placement)):
        if name:
            shutil.copyfile(path / name, place / f"{stem}.safetensors")


def _extras(card: Card, path: Path) -> dict[str, dict[str, Tensor]]:
    """Tensors besides the stock model's, by the stem of the file they belong in."""
    found = {
        "rfm": {} if card.rfm else rfm_tensors(path),
        Path(SCALE_TABLES).stem: scale_tensors(path),
        "reghead": read_under(path, EXTRAS["reghead"]),
    }
    return {stem: tensors for stem, tensors in found.items() if tensors}


def _write_json(file: Path, content: Any) -> None:  # noqa: ANN401 - JSON
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _card_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.yaml")


def _write_card(card: Card, target: Path) -> Path | None:
    """Write what the card says beyond what the new directory gives; None when that is nothing."""
    fresh = card_of_directory(target, card.name)
    said = {
        entry.name: getattr(card, entry.name)
        for entry in fields(Card)
        if entry.name not in FOLLOWS and getattr(card, entry.name) != getattr(fresh, entry.name)
    }
    if not said:
        return None
    found = {**said, **companions(target)}
    file = _card_file(target)
    text = yaml.safe_dump({"weights": target.name, **found}, sort_keys=False)
    file.write_text(text, encoding="utf-8")
    return file
