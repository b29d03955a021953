"""Writing a checkpoint in the stock layout as safetensors, once: an original LLaVA, or pickles.

What comes out is a directory like any other: stock weights, `rfm.safetensors`,
`multiscale.safetensors`, the tokenizer's files as they were. Its `config.json` names the release it
came from, so that pooling, packing and prompt stay; what else a card said stands in a card beside.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import transformers
import yaml
from safetensors.torch import save_file
from torch import Tensor

from uhrqa.aside import draft_of
from uhrqa.errors import ConfigError, OutputError
from uhrqa.rfm import FORMAT
from uhrqa.vlm.card import Card, card_of_directory, load_card
from uhrqa.vlm.directory import LAYOUT_KEY, SCALE_TABLES, companions
from uhrqa.vlm.extras import load_focus, load_tables, rfm_tensors, scale_tensors
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.layouts import EXTRAS
from uhrqa.vlm.loading import load_strictly, weights_of
from uhrqa.vlm.pickles import as_safetensors, card_differences, card_of_pickles
from uhrqa.vlm.shards import read_under
from uhrqa.vlm.source import Source, source_of
from uhrqa.vlm.tokenizing import load_tokenizer, normalisation_of

TOKENIZER = ("*token*", "vocab.*", "merges.txt", "*.model", "chat_template*", "generation_config.*")
NOT_TAKEN = ("model*.safetensors*", "*.bin", "*.pt", "*.pth", "*.index.json", "config.json", "*.py")
"""Files of a stock checkpoint that are written anew, or that nothing reads."""
SUFFIXES = (".json", ".jinja", ".txt", ".model", ".safetensors")


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written.

    Attributes:
        path: the directory.
        release: name of the original layout; `stock` where only pickles became safetensors.
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
        CheckpointError: it is damaged or incomplete.
        ConfigError: it is in the stock layout already.
        OutputError: the target is not empty or cannot be written.
    """
    _check_target(target)
    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(target, error) from error
        tower = None
        if vision_tower:
            tower = str(_readable(vision_tower, target, allow_pickle, stack).resolve())
        if not allow_pickle:
            return _convert(load_card(name, vision_tower=tower), target)
        path = Path(name).expanduser()
        path = path if path.is_dir() else load_card(name).find_weights()
        place = _readable(path, target, allow_pickle, stack)
        if place == path:
            return _convert(load_card(name, vision_tower=tower), target)
        return _convert(card_of_pickles(name, path, place, tower), target, pickled=True)


def _readable(path: Path, target: Path, allow_pickle: bool, stack: ExitStack) -> Path:
    """The directory itself, or one that holds its pickles as safetensors until the stack closes."""
    if not allow_pickle:
        return path
    try:
        return stack.enter_context(as_safetensors(path, target.parent.resolve()))
    except OSError as error:
        raise _unwritable(target, error) from error


def _convert(card: Card, target: Path, *, pickled: bool = False) -> Converted:
    path = weights_of(card)
    source = source_of(card, path)
    if source is None and not pickled:
        raise ConfigError(
            f"{card.name}: is in the stock layout already; use it with -m {quote(card.name)}"
        )
    try:
        with draft_of(target) as place:
            place.mkdir()
            tensors = _write(card, path, source, place)
        release = source.layout.name if source else card.layout or "stock"
        return Converted(target, release, tensors, _write_card(card, target))
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> OutputError:
    return OutputError(f"{target}: cannot be written: {error.strerror or error}")


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target}: is there and not empty; name a new directory")
    if (file := _card_file(target)).exists():
        raise OutputError(f"{file}: is there, and a card of that name is to be written")


def _write(card: Card, path: Path, source: Source | None, place: Path) -> dict[str, int]:
    """Write weights, extras, tokenizer and normalisation; return the number of tensors by kind."""
    family = source.layout.family if source else card.family
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    model = load_strictly(kind, path, dtype="auto", attention="sdpa", source=source)
    load_tables(card, path, source)  # only to see that they fit
    load_focus(card, path, source, model.get_decoder(), None)
    model.save_pretrained(place, save_original_format=False)
    counts = {"model": len(model.state_dict())}
    if source is None:
        _copy_beside(card, path, place)
        return counts
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


def _copy_beside(card: Card, path: Path, place: Path) -> None:
    """Take along what lies beside a stock checkpoint's weights."""
    load_tokenizer(path)
    for file in filter(Path.is_file, path.iterdir()):
        taken = file.suffix in SUFFIXES and not any(map(file.match, NOT_TAKEN))
        if taken:
            shutil.copyfile(file, place / file.name)
    _copy_named(card, path, place)


def _copy(card: Card, path: Path, place: Path) -> None:
    """Take the tokenizer along, and the files that a card names."""
    tokenizer = load_tokenizer(path)
    if not (path / "tokenizer.json").is_file():  # what is written is quicker to read than this
        tokenizer.save_pretrained(place)
    for pattern in TOKENIZER if (path / "tokenizer.json").is_file() else TOKENIZER[-1:]:
        for file in filter(Path.is_file, path.glob(pattern)):
            shutil.copyfile(file, place / file.name)
    _copy_named(card, path, place)


def _copy_named(card: Card, path: Path, place: Path) -> None:
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
    said = card_differences(card, fresh)
    if not said:
        return None
    found = {**said, **companions(target)}
    file = _card_file(target)
    text = yaml.safe_dump({"weights": target.name, **found}, sort_keys=False)
    file.write_text(text, encoding="utf-8")
    return file
