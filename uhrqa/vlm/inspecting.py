"""A report on a checkpoint by its name, pickled or not; no weight is held in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from uhrqa.vlm.card import load_card
from uhrqa.vlm.pickles import as_safetensors, card_of_pickles, find_shards, is_pickled
from uhrqa.vlm.report import Report, inspect_checkpoint


def inspect_named(name: str, *, allow_pickle: bool = False) -> Report:
    """Look a checkpoint through without reading a weight.

    Args:
        name: a card's name, a directory, or a hub id that is in the local cache.
        allow_pickle: look into pickles where there is no safetensors. Shapes alone are taken from
            them; what stands for the weights meanwhile is empty.

    Raises:
        UnknownNameError: no such model.
        CardError: its card is not valid.
        CheckpointError: it is not at hand, or a pickle cannot be looked into.
    """
    path = Path(name).expanduser()
    path = path if path.is_dir() else load_card(name).find_weights()
    if not is_pickled(path, allow_pickle):
        return inspect_checkpoint(load_card(name))
    with as_safetensors(path, values=False) as place:
        report = inspect_checkpoint(card_of_pickles(name, path, place))
    fault = report.fault and report.fault.replace(str(place), str(path))
    if fault is None and report.layout.startswith("original"):
        from uhrqa.vlm.loading import hidden_layout

        fault = hidden_layout(name, path)
    files = {file.name: file.stat().st_size for file in find_shards(path)}
    return replace(report, directory=str(path), files=files, fault=fault)
