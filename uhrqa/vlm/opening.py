"""From a card to a loaded model: weights, tokenizer, and what a checkpoint brings besides."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel

from uhrqa.relevance import probed_name
from uhrqa.vlm.card import Card
from uhrqa.vlm.device import (
    choose_attention,
    choose_device,
    choose_dtype,
    choose_placing,
    place_of,
    warn_of_precision,
)
from uhrqa.vlm.extras import load_focus, load_tables
from uhrqa.vlm.families import FAMILIES, find_class
from uhrqa.vlm.family import Family
from uhrqa.vlm.loading import Loading, load_strictly, weights_of
from uhrqa.vlm.paired import load_paired
from uhrqa.vlm.pickles import is_pickled
from uhrqa.vlm.source import source_of
from uhrqa.vlm.tokenizing import load_tokenizer, normalisation_of


def open_checkpoint(card: Card, wanted: Loading) -> Family:
    """Read weights, tokenizer and extras of a card.

    Raises:
        CheckpointError: any of them is missing, mismatched, pickled or damaged.
        ConfigError: no such device, dtype, attention backend or package.
    """
    place = choose_device(wanted.device)
    choose_attention(wanted.attention, place)  # what cannot run is told before weights are read
    placing = choose_placing(wanted.device_map, wanted.quantize, place)
    path = weights_of(card, allow_pickle=wanted.allow_pickle)
    source = source_of(card, path)
    family = card.family if source is None else source.layout.family
    kind: type[PreTrainedModel] = getattr(
        transformers, f"{FAMILIES[family].kind}ForConditionalGeneration"
    )
    model = load_strictly(
        kind,
        path,
        dtype=choose_dtype(wanted.dtype, place),
        attention=probed_name("sdpa"),  # of the vision tower: its sequences are short
        source=source,
        how={"use_safetensors": not is_pickled(path, wanted.allow_pickle), **placing},
    )
    if not placing:
        model.to(place)
    place = place_of(model.get_input_embeddings())
    decoder = model.get_decoder()
    backend = choose_attention(wanted.attention, place, model.dtype)
    decoder.set_attn_implementation(probed_name(backend))
    tables = load_tables(card, path, source)
    mean, std = (
        torch.tensor(part, device=place).view(3, 1, 1)
        for part in normalisation_of(path, family, source)
    )
    loaded = find_class(card.family)(
        card,
        model,
        load_tokenizer(path),
        mean,
        std,
        tables.to(place) if tables else None,
        load_focus(card, path, source, decoder, wanted.rfm),
        load_paired(Path(card.clip), place, model.dtype) if card.clip else None,
    )
    loaded.prompter.check()
    if wanted.quantize:
        warn_of_precision(decoder, wanted.quantize)
    return loaded
