"""What a checkpoint is and whether it would load, from its headers and configuration alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.errors import CheckpointError
from uhrqa.rfm import rfm_depth
from uhrqa.vlm.assumed import PROCESSORS, assumptions, find_template, first_file
from uhrqa.vlm.directory import SCALE_TABLES, is_original
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.headers import TOKENIZERS, Entry, check_dtypes, read_header, read_headers
from uhrqa.vlm.layouts import rfm_name
from uhrqa.vlm.parts import Share, count_parts
from uhrqa.vlm.source import source_of

if TYPE_CHECKING:
    from uhrqa.vlm.card import Card
    from uhrqa.vlm.expected import Match

SCHEMA = "uhrqa.checkpoint/1"
REGHEAD = "reghead.safetensors"
"""File of GeoLLaVA-8K's own head in a converted checkpoint."""


@dataclass(frozen=True, slots=True)
class Report:
    """One checkpoint.

    Attributes:
        name: what the user calls it.
        directory: where its weights lie.
        family: `model_type`.
        kind: transformers class.
        layout: `stock`, or the release its tensors are named as in.
        decoder: its sizes; see `DecoderDims`.
        tower: its sizes; see `VisionDims`.
        context: longest sequence, in tokens.
        parts: numbers and bytes of each part.
        dtypes: bytes held in each dtype.
        files: bytes of each file of weights.
        tokenizer: its file, or None.
        template: file of the chat template, or None.
        processor: file of the image processor, or None.
        missing: names the class expects and no file has.
        unexpected: names the class has no place for.
        mismatched: names whose shape is another than the configuration's.
        assumed: lines about what no file says, or says otherwise than the card.
        renamed: tensors whose names in the files are others than the class's, and known.
        dropped: names of tables in old files that are computed now.
        fault: what is wrong first, with its fix; None when it loads.
    """

    name: str
    directory: str
    family: str
    kind: str
    layout: str
    decoder: Mapping[str, Any]
    tower: Mapping[str, Any]
    context: int
    parts: Mapping[str, Share] = field(default_factory=dict)
    dtypes: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    tokenizer: str | None = None
    template: str | None = None
    processor: str | None = None
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    renamed: int = 0
    dropped: tuple[str, ...] = ()
    fault: str | None = None

    @property
    def parameters(self) -> int:
        """Numbers of all parts."""
        return sum(share.parameters for share in self.parts.values())

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(share.bytes for share in self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        whole = {"parameters": self.parameters, "bytes": self.bytes}
        return {"schema": SCHEMA, "loads": self.fault is None, **asdict(self), **whole}


def inspect_checkpoint(card: Card) -> Report:
    """Look a checkpoint through without reading a weight.

    Raises:
        CheckpointError: it is not at hand. What is wrong with its files is told in the report.
    """
    directory = card.find_weights()
    found = _Found(card, directory)
    try:
        found.look()
        fault = None
    except CheckpointError as error:
        fault = str(error)
    matched = found.match
    return Report(
        name=card.name,
        directory=str(directory),
        family=card.family,
        kind=found.kind,
        layout=found.layout,
        decoder={**asdict(card.dims.decoder), "type": card.config["text_config"].get("model_type")},
        tower=asdict(card.dims.vision),
        context=card.context,
        parts=count_parts(found.entries),
        dtypes=_sums((entry.dtype, entry.bytes) for entry in found.entries.values()),
        files=_sums((entry.file, entry.bytes) for entry in found.entries.values()),
        tokenizer=first_file(directory, TOKENIZERS),
        template=find_template(directory),
        processor=first_file(directory, PROCESSORS),
        missing=matched.missing if matched else (),
        unexpected=matched.unexpected if matched else (),
        mismatched=tuple(sorted(matched.mismatched)) if matched else (),
        assumed=assumptions(card, directory),
        renamed=matched.renamed if matched else 0,
        dropped=matched.dropped if matched else (),
        fault=fault,
    )


class _Found:
    """What has been found of a checkpoint by the time something is wrong with it."""

    def __init__(self, card: Card, directory: Path) -> None:
        self.card, self.directory = card, directory
        self.entries: dict[str, Entry] = {}
        self.match: Match | None = None
        self.kind = f"{FAMILIES[card.family].kind}ForConditionalGeneration"
        self.original = is_original(directory)
        self.layout = f"stock, from {card.layout}" if card.layout else "stock"
        if self.original:
            self.layout = f"original LLaVA ({card.layout})"

    def look(self) -> None:
        """Look at one thing after the other, in the order of loading.

        Raises:
            CheckpointError: the first fault, as loading would tell it.
        """
        card, directory = self.card, self.directory
        self.entries = weights = read_headers(directory)
        companions = dict(_companions(card, directory))
        for part, entries in companions.items():
            self.entries = {**self.entries, **{f"{part}:{n}": e for n, e in entries.items()}}
        check_dtypes(directory, weights, card.config)
        source = source_of(card, directory)
        config = card.config if source is None else source.layout.config
        from uhrqa.vlm.expected import check_tokenizer, match  # only now torch

        self.match = match(self.kind, config, weights, source)
        if fault := self.match.fault:
            raise CheckpointError(
                f"{directory}: {fault}; the files do not match config.json ({self.kind})"
            )
        self._look_beside(companions)
        check_tokenizer(card, directory, self.match.model, source)

    def _look_beside(self, companions: Mapping[str, Mapping[str, Entry]]) -> None:
        from uhrqa.vlm.expected import match_rfm
        from uhrqa.vlm.extras import check_depth
        from uhrqa.vlm.placement import Placement

        card, directory = self.card, self.directory
        focus = companions.get("rfm") or rfm_entries(self.entries)
        if not focus and card.rfm_layers:
            raise CheckpointError(
                f"{directory}: no Region Focus Module, and the card says one of {card.rfm_layers} "
                "layers; is the download complete?"
            )
        if focus and self.match:
            where = directory / (card.rfm or "")
            check_depth(where, card.rfm_layers, self.match.model.get_decoder())
            if wrong := match_rfm(self.match.model, card.rfm_layers, focus):
                raise CheckpointError(f"{where}: {wrong}")
        if card.placement:
            Placement.load(directory / card.placement)  # small enough to be read
        if card.layout == "uhr-bat" and not self.original and "extras" not in companions:
            raise CheckpointError(
                f"{directory / SCALE_TABLES}: missing; convert the checkpoint again"
            )


def rfm_entries(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Tensors of a Region Focus Module among those of a checkpoint, as in its own file."""
    return {own: entry for name, entry in entries.items() if (own := rfm_name(name))}


def _companions(card: Card, directory: Path) -> Iterator[tuple[str, dict[str, Entry]]]:
    """Headers of the files beside the weights."""
    for part in ("rfm", "placement"):
        if file := getattr(card, part):
            yield part, read_header(directory / file)
            if part == "rfm":
                rfm_depth(directory / file)  # whether it is one
    if (directory / SCALE_TABLES).is_file():
        yield "extras", read_header(directory / SCALE_TABLES)
    if (directory / REGHEAD).is_file():
        yield "reghead", read_header(directory / REGHEAD)


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, value in pairs:
        sums[key] = sums.get(key, 0) + value
    return dict(sorted(sums.items()))
