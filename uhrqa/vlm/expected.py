"""What a model's class expects of a checkpoint, told without any weight in memory.

The class is built on torch's meta device, where tensors have shapes and no content, and is given
the shapes in the files' headers by transformers' own loader: its renamings of older names, its
merging of experts and its tied weights hold here as they do when weights are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.modeling_utils import LoadStateDictConfig
from transformers.utils import logging

from uhrqa.errors import CheckpointError
from uhrqa.rfm import describe_misfit, empty_rfm
from uhrqa.vlm.card import Card
from uhrqa.vlm.config_checks import check_counts, reason_of
from uhrqa.vlm.families import find_class
from uhrqa.vlm.faults import describe_fault
from uhrqa.vlm.headers import Entry
from uhrqa.vlm.layouts import RENAMES, STOCK_TOWER, kind_of
from uhrqa.vlm.source import Source
from uhrqa.vlm.tokenizing import load_tokenizer, normalisation_of

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Match:
    """How the tensors of a checkpoint meet what its class expects.

    Attributes:
        model: the class, built without content.
        missing: names the class expects and no file has.
        unexpected: names in the files that the class has no place for.
        mismatched: name to the shape in the file and the one by the configuration.
        renamed: tensors the files hold under other names than the class's.
        dropped: names of tables in old files that are computed now.
    """

    model: PreTrainedModel
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: Mapping[str, Shapes] = field(default_factory=dict)
    renamed: int = 0
    dropped: tuple[str, ...] = ()

    @property
    def fault(self) -> str | None:
        """What does not fit, in the words of loading; None when all does."""
        return describe_fault(
            {
                "missing_keys": self.missing,
                "unexpected_keys": self.unexpected,
                "mismatched_keys": [(name, *shapes) for name, shapes in self.mismatched.items()],
            }
        )


def match(
    kind: str,
    config: Mapping[str, Any],
    entries: Mapping[str, Entry],
    source: Source | None = None,
) -> Match:
    """Hold a checkpoint's headers against its class.

    Args:
        kind: name of the transformers class.
        config: its configuration.
        entries: tensors by name, see `read_headers`.
        source: how a checkpoint in the original LLaVA layout maps to the class.

    Raises:
        CheckpointError: the class cannot be built from the configuration.
    """
    logging.disable_progress_bar()
    check_counts(kind, config)
    model: Any = _build(getattr(transformers, kind), config)
    names = set(model.state_dict())
    found = {name: torch.empty(entry.shape, device="meta") for name, entry in entries.items()}
    conversions: Any = get_model_conversion_mapping(model, dict(RENAMES) if source else None, None)
    how = LoadStateDictConfig(
        ignore_mismatched_sizes=True, device_map={"": "meta"}, weight_mapping=conversions
    )
    info, _ = convert_and_load_state_dict_in_model(model, found, how)
    model.mark_tied_weights_as_initialized(info)
    model.tie_weights(missing_keys=info.missing_keys, recompute_mapping=False)
    strange = set(info.unexpected_keys)
    model._adjust_missing_and_unexpected_keys(info)
    missing, unexpected = info.missing_keys, info.unexpected_keys
    if source is not None:
        unexpected = {name for name in unexpected if not source.layout.sets_aside(name)}
        if source.tower is not None:
            missing = {name for name in missing if not name.startswith(STOCK_TOWER)}
    return Match(
        model,
        tuple(sorted(missing)),
        tuple(sorted(unexpected)),
        {name: (tuple(there), tuple(wanted)) for name, there, wanted in info.mismatched_keys},
        len(entries) - len(entries.keys() & names) - len(strange),
        tuple(sorted(name for name in strange - set(unexpected) if kind_of(name) is None)),
    )


def _build(kind: Any, config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - classes of transformers
    try:
        with torch.device("meta"):
            return kind(kind.config_class.from_dict(dict(config))).eval()
    except Exception as error:
        raise CheckpointError(
            f"config.json: no {kind.__name__} from it: {reason_of(error)}; compare it with the "
            "original"
        ) from error


def match_rfm(model: PreTrainedModel, depth: int, entries: Mapping[str, Entry]) -> str | None:
    """What of a Region Focus Module does not fit a model's decoder; None when all does."""
    rfm = empty_rfm(model.get_decoder(), depth)
    wanted = {name: tuple(value.shape) for name, value in rfm.state_dict().items()}
    fault = describe_misfit({name: entry.shape for name, entry in entries.items()}, wanted)
    return fault and f"does not fit this model's decoder: {fault}"


def check_tokenizer(
    card: Card, directory: Path, model: PreTrainedModel, source: Source | None = None
) -> None:
    """See that questions can be asked; of the model, its configuration is enough.

    Raises:
        CheckpointError: no usable tokenizer, image token or template.
    """
    normalisation_of(directory, card.family, source)
    nothing = torch.zeros(3, 1, 1)
    family = find_class(card.family)
    family(card, model, load_tokenizer(directory), nothing, nothing).prompter.check()
